"""What an Attribute asks of resources, and what is asked of an Attribute.

Source: core specification, "Attribute", "Custom resources", "First-class extensions".
"""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.runtime.defining import attribute, define, entity, named, new_type
from tests.integration.runtime.making import BASES, entry, fresh, outcome, transaction


async def post(box, name, body, status=201, base=""):
    answer = await box.client.post(f"{base}/{name}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def places(answer):
    return [issue["expression"][0] for issue in answer["issue"]]


# What attributes ask for


async def test_groups_flags_and_choices_at_depth(box):
    name = new_type()
    await define(
        box,
        entity(name),
        attribute(name, "score", isCollection=True),
        attribute(name, "score", "total", type="integer", isRequired=True),
        attribute(name, "score", "value", union=["string", "Quantity", "Reference"]),
        attribute(name, "score", "part", contentRef=["score"], isCollection=True),
        attribute(name, "score", "free", isOpen=True),
    )
    await post(box, name, {})  # required inside its parent only
    made = await post(
        box,
        name,
        {
            "score": [
                {
                    "total": 1,
                    "valueQuantity": {"value": 2},
                    "part": [{"total": 3, "valueString": "x"}],
                }
            ]
        },
        base="/fhir",
    )
    stored = (await box.client.get(f"/{name}/{made['id']}")).json()
    assert stored["score"] == [
        {
            "total": 1,
            "value": {"Quantity": {"value": 2}},
            "part": [{"total": 3, "value": {"string": "x"}}],
        }
    ]
    await post(box, name, {"score": [{"total": 1, "free": {"any": [1, {"x": None}]}}]})
    refused = await post(box, name, {"score": [{"part": [{"total": "x"}]}]}, 422)
    assert places(refused) == [f"{name}.score.0", f"{name}.score.0.part.0.total"]
    refused = await post(
        box,
        name,
        {"score": [{"total": 1, "valueReference": {"reference": "Patient/nobody"}}]},
        422,
        "/fhir",
    )
    assert places(refused) == [f"{name}.score[0].value.ofType(Reference)"]


async def test_schemas_of_entity_and_attribute_are_enforced(box):
    name = new_type()
    await define(
        box,
        entity(name, isOpen=True, schema={"required": ["mood"]}),
        attribute(name, "mood", type="string", schema={"maxLength": 4}),
    )
    await post(box, name, {"mood": "calm"})
    assert places(await post(box, name, {"mood": "tense"}, 422)) == [f"{name}.mood"]
    assert places(await post(box, name, {}, 422)) == [name]


async def test_a_schema_may_stand_in_the_place_of_attributes(box):
    name = new_type()
    mood = {"properties": {"mood": {"enum": ["calm", "tense"]}}, "required": ["mood"]}
    await define(
        box,
        entity(name, schema=mood),
        attribute(name, "marks", schema={"type": "array", "items": {"type": "integer"}}),
        attribute(name, "place", schema={"properties": {"seat": {"type": "integer"}}}),
        attribute(name, "place", "row", type="string"),
    )
    good = {"mood": "calm", "marks": [1, 2], "place": {"seat": 1, "row": "a"}}
    for base in ("", "/fhir"):
        made = await post(box, name, good, base=base)
        assert {key: made[key] for key in good} == good
    for wrong, place in (
        ({"mood": "sad"}, "mood"),
        ({"marks": ["x"]}, "marks.0"),
        ({"place": {"seat": "x"}}, "place.seat"),
        ({"place": {"other": 1}}, "place.other"),
        ({"other": 1}, "other"),
    ):
        assert places(await post(box, name, {**good, **wrong}, 422)) == [f"{name}.{place}"]


async def test_a_data_type_of_ones_own(box):
    name = new_type()
    await define(
        box,
        attribute(f"{name}Dose", "amount", type="decimal", isRequired=True),
        entity(f"{name}Dose", type="type"),
        attribute(name, "dose", type=f"{name}Dose"),
        attribute(name, "given", union=[f"{name}Dose", "string"]),
        entity(name),
    )
    key = f"given{name}Dose"
    made = await post(box, name, {"dose": {"amount": 1}, key: {"amount": 2}}, base="/fhir")
    assert made[key] == {"amount": 2}
    refused = await post(box, name, {"dose": {"other": 1}}, 422)
    assert places(refused) == [f"{name}.dose", f"{name}.dose.other"]
    # A type in use stays.
    refused = outcome(await box.client.delete(f"/Entity/{name}Dose"), 422)
    assert f"{name}.dose" in refused["issue"][0]["diagnostics"]
    bundle = transaction(entry("DELETE", f"/Entity/{name}Dose"), entry("DELETE", f"/Entity/{name}"))
    assert (await box.client.post("/", json=bundle)).status_code == 200


async def test_attributes_of_complex_and_abstract_types_reach_all_their_users(box):
    word = new_type()
    await define(
        box,
        attribute("HumanName", f"nick{word}", type="string", extensionUrl=f"urn:nick:{word}"),
        attribute("DomainResource", f"tenant{word}", type="string"),
    )
    try:
        extension = {"url": f"urn:nick:{word}", "valueString": "Al"}
        for type_name, holder in (("Patient", {}), ("Practitioner", {})):
            body = {"name": [{"family": "Oak", "extension": [extension]}], f"tenant{word}": "t"}
            made = await post(box, type_name, {**body, **holder}, base="/fhir")
            assert made["name"][0]["extension"] == [extension]
            stored = (await box.client.get(f"/{type_name}/{made['id']}")).json()
            assert stored["name"] == [{"family": "Oak", f"nick{word}": "Al"}]
        await post(box, "Binary", {"contentType": "a/b", f"tenant{word}": "t"}, 422)
    finally:
        for owner, member in (("HumanName", "nick"), ("DomainResource", "tenant")):
            gone = await box.client.delete(f"/Attribute/{owner}.{member}{word}")
            assert gone.status_code == 200
    await post(box, "Patient", {f"tenant{word}": "t"}, 422)


async def test_a_type_without_history_keeps_the_current_version_only(box):
    name = new_type()
    await define(box, entity(name, isOpen=True, history="none"))
    id_ = fresh()
    for number in range(3):
        await box.client.put(f"/{name}/{id_}", json={"n": number})
    history = (await box.client.get(f"/fhir/{name}/{id_}/_history")).json()
    assert [item["resource"]["n"] for item in history["entry"]] == [2]
    (row,) = await box.sql(f'SELECT count(*) AS n FROM "{name.lower()}_history"')
    assert row["n"] == 0


async def test_a_summary_flag_and_a_modifier(box):
    name = new_type()
    await define(
        box,
        entity(name),
        attribute(name, "mood", type="string", isSummary=True),
        attribute(name, "note", type="string"),
        attribute(name, "voided", type="boolean", isModifier=True, extensionUrl="urn:voided"),
    )
    made = await post(
        box,
        name,
        {
            "mood": "calm",
            "note": "n",
            "modifierExtension": [{"url": "urn:voided", "valueBoolean": True}],
        },
        base="/fhir",
    )
    assert (await box.client.get(f"/{name}/{made['id']}")).json()["voided"] is True
    (found,) = (await box.client.get(f"/fhir/{name}?_id={made['id']}&_summary=true")).json()[
        "entry"
    ]
    assert found["resource"]["mood"] == "calm"
    assert "note" not in found["resource"]


# Uniqueness


async def test_a_unique_value_is_given_once_even_to_many_at_once(box):
    name = new_type()
    await define(box, entity(name), attribute(name, "code", type="string", isUnique=True))
    answers = await asyncio.gather(
        *(box.client.post(f"/{name}", json={"code": "a"}) for _ in range(12))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 11
    for base, expression in (("", f"{name}.code"), ("/fhir", f"{name}.code")):
        refused = await post(box, name, {"code": "a"}, 422, base)
        assert places(refused) == [expression]
        assert '"a"' not in str(refused)
    await post(box, name, {})
    await post(box, name, {})
    second = await post(box, name, {"code": "b"})
    taken = await box.client.put(f"/fhir/{name}/{second['id']}", json={**second, "code": "a"})
    assert places(outcome(taken, 422)) == [f"{name}.code"]
    (row,) = await box.sql(f"SELECT id FROM \"{name.lower()}\" WHERE resource->>'code' = 'a'")
    assert (await box.client.delete(f"/{name}/{row['id']}")).status_code == 200
    await post(box, name, {"code": "a"})


async def test_a_transaction_names_the_entry_whose_value_is_taken(box):
    name = new_type()
    await define(box, entity(name), attribute(name, "code", type="string", isUnique=True))
    for base in ("", "/fhir"):
        bundle = transaction(*(entry("POST", name, {"code": code}) for code in ("a", "b", "a")))
        refused = outcome(await box.client.post(f"{base}/", json=bundle), 422)
        assert places(refused) == ["Bundle.entry[2].resource.code"]
    items = [{"resourceType": name, "id": fresh(), "code": "a"} for _ in range(2)]
    refused = outcome(await box.client.put("/", json=items), 422)
    assert places(refused) == ["Bundle.entry[1].resource.code"]
    (row,) = await box.sql(f'SELECT count(*) AS n FROM "{name.lower()}"')
    assert row["n"] == 0


async def test_a_reference_is_unique_by_its_target_and_a_number_by_its_value(box):
    name = new_type()
    await define(
        box,
        entity(name),
        attribute(name, "about", type="Reference", isUnique=True),
        attribute(name, "place", "seat", type="decimal", isUnique=True),
    )
    patient = await post(box, "Patient", {})
    link = {"resourceType": "Patient", "id": patient["id"]}
    await post(box, name, {"about": link})
    refused = await post(box, name, {"about": {**link, "display": "D"}}, 422)
    assert places(refused) == [f"{name}.about"]
    assert places(
        await post(box, name, {"about": {"reference": f"Patient/{patient['id']}"}}, 422, "/fhir")
    ) == [f"{name}.about"]
    await post(box, name, {"place": {"seat": 1}})
    await box.client.post(f"/{name}", content='{"place": {"seat": 1.0}}')
    refused = outcome(await box.client.post(f"/{name}", content='{"place": {"seat": 1.0}}'), 422)
    assert places(refused) == [f"{name}.place.seat"]


async def test_stored_values_that_are_equal_forbid_a_unique_attribute(box):
    name = new_type()
    await define(box, entity(name), attribute(name, "code", type="string"))
    first = await post(box, name, {"code": "a"})
    await post(box, name, {"code": "a"})
    unique = attribute(name, "code", type="string", isUnique=True)
    refused = outcome(await box.client.put(f"/Attribute/{name}.code", json=unique), 422)
    assert places(refused) == ["Attribute.isUnique"]
    assert "isUnique" not in (await box.client.get(f"/Attribute/{name}.code")).json()
    await post(box, name, {"code": "a"})  # and nothing is unique
    await box.sql(f'DELETE FROM "{name.lower()}" WHERE id <> $1', first["id"])
    await define(box, unique)
    await post(box, name, {"code": "a"}, 422)
    await define(box, attribute(name, "code", type="string"))
    await post(box, name, {"code": "a"})


async def test_a_deleted_unique_attribute_takes_its_index_with_it(box):
    name = new_type()
    await define(
        box, entity(name, isOpen=True), attribute(name, "code", type="string", isUnique=True)
    )
    await post(box, name, {"code": "a"})
    await box.client.delete(f"/Attribute/{name}.code")
    await post(box, name, {"code": "a"})
    indexes = await box.sql(
        "SELECT indexname FROM pg_indexes WHERE tablename = $1 AND indexname LIKE 'unique%'",
        name.lower(),
    )
    assert indexes == []


async def test_a_unique_element_with_a_long_path(box):
    name = new_type()
    path = ["a" * 30, "b" * 30]
    await define(box, entity(name), attribute(name, *path, type="string", isUnique=True))
    await post(box, name, {path[0]: {path[1]: "x"}})
    refused = await post(box, name, {path[0]: {path[1]: "x"}}, 422)
    assert refused["issue"][0]["diagnostics"] == "Another resource has the same unique value."


# What is asked of an attribute


WRONG = {
    "a step with a dot": ({"path": ["a.b"]}, "path.0"),
    "a free key": ({"path": ["_a"]}, "path.0"),
    "an Entity that is not there": ({"resource": named("Nowhere")}, "resource"),
    "an owner without elements": ({"resource": named("string")}, "resource"),
    "a type that is not there": ({"type": named("Nothing")}, "type"),
    "a choice that is not there": ({"union": [named("string"), named("Nothing")]}, "union.1"),
    "a type that is no reference": ({"type": {"display": "x"}}, "type"),
    "a type and a choice": ({"type": named("string"), "union": [named("string")]}, "union"),
    "a target that is not there": ({"type": named("Reference"), "refers": ["Nothing"]}, "refers.0"),
    "a repetition of nothing": ({"contentRef": ["nowhere"]}, "contentRef"),
    "a repetition of a value": ({"contentRef": ["kept"]}, "contentRef"),
    "an element of a primitive": ({"path": ["kept", "more"], "type": named("string")}, "path.1"),
    "a schema that is none": ({"type": named("string"), "schema": {"type": "nonsense"}}, "schema"),
    "a pattern that is none": ({"type": named("string"), "schema": {"pattern": "("}}, "schema"),
    "a unique collection": ({"type": named("string"), "isCollection": True, "isUnique": True}, "isUnique"),
    "a unique password": ({"type": named("password"), "isUnique": True}, "isUnique"),
    "an extension that is a choice": ({"union": [named("string")], "extensionUrl": "urn:x"}, "extensionUrl"),
    "an extension twice": ({"type": named("string"), "extensionUrl": "urn:kept"}, "extensionUrl"),
    "an extension of no type": ({"type": named("Patient"), "extensionUrl": "urn:x"}, "extensionUrl"),
    "a list of choices": ({"union": [named("string")], "isCollection": True}, "isCollection"),
    "a part of an extension": ({"resource": named("Extension"), "type": named("string")}, "resource"),
    "an extension of a Reference": (
        {"resource": named("Reference"), "type": named("string"), "extensionUrl": "urn:x"},
        "extensionUrl",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
async def target(box):
    name = new_type()
    await define(box, entity(name), attribute(name, "kept", type="string", extensionUrl="urn:kept"))
    return name


@BASES
@pytest.mark.parametrize("what", WRONG)
async def test_an_attribute_that_cannot_be_is_refused_with_its_place(box, target, base, what):
    facts, place = WRONG[what]
    body = {**attribute(target, "odd"), **facts, "id": f"{target}.odd"}
    if base:
        for member in ("resource", "type"):
            if isinstance(body.get(member), dict) and "id" in body[member]:
                body[member] = {"reference": f"Entity/{body[member]['id']}"}
        body["union"] = [{"reference": f"Entity/{one['id']}"} for one in body.get("union", ())]
        place = place.replace(".0", "[0]").replace(".1", "[1]")
    refused = outcome(await box.client.put(f"{base}/Attribute/{target}.odd", json=body), 422)
    assert places(refused) == [f"Attribute.{place}"]
    assert (await box.client.get(f"/Attribute/{target}.odd")).status_code == 404
    await post(box, target, {"kept": "x"})
    bundle = transaction(
        entry("POST", "Patient", {}), entry("PUT", f"Attribute/{target}.odd", body)
    )
    refused = outcome(await box.client.post(f"{base}/", json=bundle), 422)
    assert places(refused) == [f"Bundle.entry[1].resource.{place}"]


@pytest.mark.parametrize("path", ["Entity/Patient", "Attribute/Patient.gender", "Entity/string"])
async def test_what_every_box_has_cannot_be_deleted(new_box, path):
    outcome(await new_box.client.delete(f"/{path}"), 422)
    before = (await new_box.client.get(f"/{path}")).json()
    changed = {**before, "description": fresh()}
    assert (await new_box.client.put(f"/{path}", json=changed)).status_code == 200
    outcome(await new_box.client.delete(f"/fhir/{path}"), 422)
    await new_box.client.put(f"/{path}", json=before)


# Transactions


@BASES
async def test_a_transaction_may_define_in_any_order_and_use_what_it_defines(box, base):
    name = new_type()
    owner = {"reference": f"Entity/{name}"} if base else named(name)
    string = {"reference": "Entity/string"} if base else named("string")
    bundle = transaction(
        entry("POST", name, {"mood": "calm"}, fullUrl="urn:note"),
        entry(
            "PUT",
            f"Attribute/{name}.mood",
            {"path": ["mood"], "resource": owner, "type": string, "enum": ["calm"]},
        ),
        entry("PUT", f"Entity/{name}", {"type": "resource", "isOpen": False}),
        entry(
            "POST",
            "Basic",
            {"code": {"text": "x"}, "subject": {("reference" if base else "uri"): "urn:note"}},
        ),
    )
    answer = await box.client.post(f"{base}/", json=bundle)
    assert answer.status_code == 200, answer.text
    note = answer.json()["entry"][0]["resource"]
    assert (await box.client.get(f"{base}/{name}/{note['id']}")).json()["mood"] == "calm"
    await post(box, name, {"mood": "sad"}, 422)
    bundle["entry"][0]["resource"] = {"mood": "sad"}
    refused = outcome(await box.client.post(f"{base}/", json=bundle), 422)
    assert places(refused) == ["Bundle.entry[0].resource.mood"]


async def test_an_upsert_may_define_and_use(box):
    name = new_type()
    id_ = fresh()
    await define(
        box,
        {"resourceType": name, "id": id_, "mood": "calm"},
        attribute(name, "mood", type="string"),
        entity(name),
    )
    assert (await box.client.get(f"/{name}/{id_}")).json()["mood"] == "calm"


async def test_a_failing_transaction_leaves_nothing_of_what_it_defined(box):
    name = new_type()
    bundle = transaction(
        entry("PUT", f"Entity/{name}", {"type": "resource"}),
        entry("POST", name, {"unknown": 1}),
    )
    refused = outcome(await box.client.post("/", json=bundle), 422)
    assert places(refused) == ["Bundle.entry[1].resource.unknown"]
    (row,) = await box.sql("SELECT to_regclass($1) IS NULL AS gone", f'"{name.lower()}"')
    assert row["gone"]
    outcome(await box.client.get(f"/{name}"), 404)


async def test_without_rights_nothing_is_defined_on_the_way(box):
    """A transaction of somebody who may not define types makes no table, not even for a moment."""
    name = new_type()
    async with box.client_of() as anonymous:
        bundle = transaction(entry("PUT", f"Entity/{name}", {"type": "resource"}))
        outcome(await anonymous.post("/", json=bundle), 403)
    (row,) = await box.sql("SELECT to_regclass($1) IS NULL AS gone", f'"{name.lower()}"')
    assert row["gone"]


async def test_stored_resources_are_not_looked_at_again(box):
    name = new_type()
    await define(box, entity(name, isOpen=True))
    await post(box, name, {"mood": "calm"})
    await define(box, attribute(name, "mood", type="integer"))
    await post(box, name, {"mood": "calm"}, 422)
    (found,) = (await box.client.get(f"/fhir/{name}")).json()["entry"]
    assert found["resource"]["mood"] == "calm"


ODD = [
    None,
    5,
    "x",
    [],
    {},
    [None],
    [5],
    ["x"],
    [{}],
    {"id": 5},
    {"reference": 5},
    True,
    "a" * 3000,
]


@pytest.mark.parametrize(
    "member", ["resource", "path", "type", "union", "enum", "refers", "schema", "contentRef"]
)
async def test_no_shape_of_metadata_breaks_the_box(box, member):
    """Refused or harmless: the type can be used all the same."""
    name = new_type()
    await define(box, entity(name, isOpen=True))
    for odd in ODD:
        body = {**attribute(name, "m", type="string"), member: odd}
        answer = await box.client.put(f"/Attribute/{name}.m", json=body)
        assert answer.status_code in {200, 201, 422}, (odd, answer.text)
        made = await box.client.post(f"/fhir/{name}", json={"n": 1})
        assert made.status_code == 201, (odd, made.text)
        definitions = {name: {"attrs": {"m": {member: odd}}}}
        answer = await box.client.post("/$metadata", json={"definitions": definitions})
        assert answer.status_code in {200, 422}, (odd, answer.text)
        await box.client.delete(f"/Attribute/{name}.m")
