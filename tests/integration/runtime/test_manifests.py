"""App manifests and $metadata: what they bring about, and what they take away again.

Source: core specification, "App.entities shorthand", "$metadata".
"""

from __future__ import annotations

import uuid

import pytest

from tests.integration.runtime.defining import attribute, define, entity, named, new_type
from tests.integration.runtime.making import BASES, entry, fresh, outcome, transaction


def app(id_, **more):
    return {"resourceType": "App", "id": id_, "apiVersion": 1, "type": "app", **more}


async def save(box, manifest, status=None, base=""):
    answer = await box.client.put(f"{base}/App/{manifest['id']}", json=manifest)
    assert answer.status_code == (status or answer.status_code), answer.text
    assert status or answer.status_code in {200, 201}, answer.text
    return answer.json()


def places(answer):
    return [issue["expression"][0] for issue in answer["issue"]]


def notes(name):
    return {
        name: {
            "isOpen": False,
            "attrs": {
                "mood": {"type": "string", "enum": ["calm", "tense"], "isRequired": True},
                "subject": {"type": "Reference", "refers": ["Patient"]},
                "score": {"attrs": {"total": {"type": "integer"}}},
                "value": {"union": ["string", "Quantity"]},
            },
        }
    }


@BASES
async def test_an_app_brings_its_types_and_elements_at_once(box, base):
    name, id_ = new_type(), fresh()
    word = name.lower()
    manifest = app(
        id_,
        entities={
            **notes(name),
            "Patient": {"attrs": {word: {"type": "code", "extensionUrl": f"urn:{word}"}}},
        },
    )
    assert (await save(box, manifest, 201, base))["entities"] == manifest["entities"]
    body = {"mood": "calm", "score": {"total": 3}, "valueString": "x"}
    made = await box.client.post(f"/fhir/{name}", json=body)
    assert made.status_code == 201, made.text
    outcome(await box.client.post(f"/{name}", json={"mood": "sad"}), 422)
    stored = (await box.client.get(f"/Attribute/{name}.mood")).json()
    assert {key: stored[key] for key in ("resource", "path", "type", "enum", "isRequired")} == {
        "resource": named(name),
        "path": ["mood"],
        "type": named("string"),
        "enum": ["calm", "tense"],
        "isRequired": True,
    }
    assert (await box.client.get(f"/Attribute/{name}.value.Quantity")).json()["path"] == [
        "value",
        "Quantity",
    ]
    assert (await box.client.get(f"/Attribute/{name}.score.total")).status_code == 200
    patient = {"extension": [{"url": f"urn:{word}", "valueCode": "t"}]}
    made = (await box.client.post("/fhir/Patient", json=patient)).json()
    assert (await box.client.get(f"/Patient/{made['id']}")).json()[word] == "t"


async def test_saving_again_changes_only_what_differs_and_removes_what_disappeared(box):
    name, other, id_ = new_type(), new_type(), fresh()
    first = app(id_, entities={**notes(name), other: {"isOpen": True}})
    await save(box, first)
    await box.client.post(f"/{other}", json={"kept": 1})
    versions = {
        path: (await box.client.get(path)).json()["meta"]["versionId"]
        for path in (f"/Entity/{name}", f"/Attribute/{name}.mood")
    }
    await save(box, first, 200)
    second = app(id_, entities=notes(name))
    del second["entities"][name]["attrs"]["score"]
    second["entities"][name]["attrs"]["subject"] = {"type": "string"}
    await save(box, second, 200)
    for path, version in versions.items():
        assert (await box.client.get(path)).json()["meta"]["versionId"] == version
    for gone in (f"Attribute/{name}.score", f"Attribute/{name}.score.total", f"Entity/{other}"):
        assert (await box.client.get(f"/{gone}")).status_code == 410
    outcome(
        await box.client.post(f"/{name}", json={"mood": "calm", "score": {}, "subject": 1}), 422
    )
    assert (
        await box.client.post(f"/{name}", json={"mood": "calm", "subject": "x"})
    ).status_code == 201
    outcome(await box.client.get(f"/{other}"), 404)
    (row,) = await box.sql(f'SELECT count(*) AS n FROM "{other.lower()}"')
    assert row["n"] == 1
    assert (await box.client.delete(f"/App/{id_}")).status_code == 200
    outcome(await box.client.get(f"/{name}"), 404)


async def test_what_every_box_has_is_changed_for_a_while_and_never_removed(new_box):
    id_ = fresh()
    before = (await new_box.client.get("/Attribute/Basic.code")).json()
    manifest = app(
        id_,
        entities={
            "Basic": {
                "attrs": {
                    "author": {"isRequired": True},
                    "code": {"attrs": {"nick": {"type": "string"}}},
                }
            }
        },
    )
    await save(new_box, manifest)
    try:
        refused = outcome(
            await new_box.client.post("/Basic", json={"code": {"text": "x", "nick": "y"}}), 422
        )
        assert [issue["diagnostics"] for issue in refused["issue"]] == [
            "Property author is required"
        ]
        changed = (await new_box.client.get("/Attribute/Basic.author")).json()
        assert changed["type"] == named("Reference")
        assert (await new_box.client.get("/Attribute/Basic.code")).json() == before
    finally:
        await save(new_box, app(id_), 200)
    assert (await new_box.client.post("/Basic", json={"code": {"text": "x"}})).status_code == 201
    author = (await new_box.client.get("/Attribute/Basic.author")).json()
    assert "isRequired" not in author
    assert author["type"] == named("Reference")
    outcome(await new_box.client.post("/Basic", json={"code": {"nick": "y"}}), 422)
    await new_box.client.delete(f"/App/{id_}")


async def test_a_search_parameter_beside_its_element(new_box):
    name, id_ = new_type(), fresh()
    attrs = {"mood": {"type": "string", "search": {"name": "feeling", "type": "token"}}}
    gender = {"attrs": {"gender": {"search": {"name": "gender", "type": "string"}}}}
    await save(new_box, app(id_, entities={name: {"attrs": attrs}, "Patient": gender}))
    await new_box.client.post(f"/{name}", json={"mood": "calm"})
    assert (await new_box.client.get(f"/{name}?feeling=calm")).json()["total"] == 1
    assert (await new_box.client.get("/SearchParameter/Patient.gender")).json()["type"] == "string"
    del attrs["mood"]["search"]
    await save(new_box, app(id_, entities={name: {"attrs": attrs}}))
    assert (await new_box.client.get(f"/SearchParameter/{name}.feeling")).status_code == 410
    assert (await new_box.client.get("/SearchParameter/Patient.gender")).json()["type"] == "token"
    await new_box.client.delete(f"/App/{id_}")


async def test_what_somebody_else_made_stays_theirs(box):
    name, id_ = new_type(), fresh()
    await define(box, entity(name, isOpen=True), attribute(name, "mood", type="string"))
    await save(box, app(id_, entities={name: {"attrs": {"tone": {"type": "string"}}}}))
    assert (await box.client.get(f"/Entity/{name}")).json()["isOpen"] is True
    await save(box, app(id_), 200)
    assert (await box.client.get(f"/Entity/{name}")).status_code == 200
    assert (await box.client.get(f"/Attribute/{name}.mood")).status_code == 200
    assert (await box.client.get(f"/Attribute/{name}.tone")).status_code == 410


async def test_resources_of_a_manifest(box):
    id_, client, policy, both = fresh(), fresh(), fresh(), fresh()
    manifest = app(
        id_,
        resources={
            "AccessPolicy": {
                policy: {"engine": "allow", "link": [{"resourceType": "Client", "id": client}]},
                both: {"engine": "allow", "link": [{"resourceType": "Client", "id": client}]},
            },
            "Client": {client: {"secret": "s", "grant_types": ["basic"]}},
        },
    )
    await save(box, manifest)
    async with box.client_of((client, "s")) as reader:
        assert (await reader.get("/Patient")).status_code == 200
        second = fresh()
        await save(
            box,
            app(
                second,
                resources={"AccessPolicy": {both: manifest["resources"]["AccessPolicy"][both]}},
            ),
        )
        del manifest["resources"]["AccessPolicy"]
        await save(box, manifest, 200)
        assert (await box.client.get(f"/AccessPolicy/{policy}")).status_code == 410
        assert (await box.client.get(f"/AccessPolicy/{both}")).status_code == 200  # the other's too
        await box.client.delete(f"/App/{second}")
        outcome(await reader.get("/Patient"), 403)
        await box.client.delete(f"/App/{id_}")
        outcome(await reader.get("/Patient"), 401)


WRONG = {
    "entities": (5, "App.entities"),
    "an entity": ({"V": 5}, "App.entities.V"),
    "a name": ({"visit_note": {}}, "App.entities.visit_note"),
    "a flag": ({"V": {"isClosed": True}}, "App.entities.V.isClosed"),
    "a flag's type": ({"V": {"isOpen": "yes"}}, "App.entities.V.isOpen"),
    "attrs": ({"V": {"attrs": []}}, "App.entities.V.attrs"),
    "an attribute": ({"V": {"attrs": {"a": "string"}}}, "App.entities.V.attrs.a"),
    "an attribute's flag": ({"V": {"attrs": {"a": {"typ": "x"}}}}, "App.entities.V.attrs.a.typ"),
    "a type": ({"V": {"attrs": {"a": {"type": "Nothing"}}}}, "App.entities.V.attrs.a.type"),
    "a type's form": ({"V": {"attrs": {"a": {"type": 5}}}}, "App.entities.V.attrs.a.type"),
    "a choice": ({"V": {"attrs": {"a": {"union": ["string", "Nothing"]}}}}, "App.entities.V.attrs.a.union.1"),
    "an enum": ({"V": {"attrs": {"a": {"type": "string", "enum": "x"}}}}, "App.entities.V.attrs.a.enum"),
    "a target": ({"V": {"attrs": {"a": {"type": "Reference", "refers": ["X"]}}}}, "App.entities.V.attrs.a.refers.0"),
    "depth": ({"V": {"attrs": {"a": {"attrs": {"b": {"type": "X"}}}}}}, "App.entities.V.attrs.a.attrs.b.type"),
    "a step": ({"V": {"attrs": {"a.b": {"type": "string"}}}}, "App.entities.V.attrs.a.b"),
    "a schema": ({"V": {"schema": {"type": "x"}}}, "App.entities.V.schema"),
    "a unique collection": (
        {"V": {"attrs": {"a": {"type": "string", "isCollection": True, "isUnique": True}}}},
        "App.entities.V.attrs.a.isUnique",
    ),
    "a built-in's type": ({"Patient": {"type": "type"}}, "App.entities.Patient.type"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_manifest_names_the_place_and_leaves_nothing(box, what):
    entities, place = WRONG[what]
    name, id_ = new_type(), fresh()
    if isinstance(entities, dict) and "V" in entities:
        entities, place = {name: entities["V"]}, place.replace(".V", f".{name}")
    manifest = app(id_, entities=entities)
    refused = outcome(await box.client.put(f"/App/{id_}", json=manifest), 422)
    assert place in {issue.get("expression", [""])[0] for issue in refused["issue"]}, refused
    assert (await box.client.get(f"/App/{id_}")).status_code == 404
    assert (await box.client.get(f"/Entity/{name}")).status_code == 404
    if what == "entities":
        return
    bundle = transaction(entry("POST", "Patient", {}), entry("PUT", f"App/{id_}", manifest))
    refused = outcome(await box.client.post("/", json=bundle), 422)
    inside = place.removeprefix("App.")
    assert f"Bundle.entry[1].resource.{inside}" in places(refused)
    # The same grammar.
    refused = outcome(await box.client.post("/$metadata", json={"definitions": entities}), 422)
    wanted = inside.removeprefix("entities.")
    assert f"definitions.{wanted}" in {i.get("expression", [""])[0] for i in refused["issue"]}


@pytest.mark.parametrize(
    ("resources", "place"),
    [
        ({"Nothing": {"x": {}}}, "App.resources.Nothing.x"),
        ({"Client": {"x": 5}}, "App.resources.Client.x"),
        ({"Client": {"x": {"unknown": 5}}}, "App.resources.Client.x.unknown"),
        ({"App": {"x": {}}}, "App.resources.App"),
        (
            {"AccessPolicy": {"x": {"engine": "allow", "link": [{"resourceType": "Client", "id": "nobody"}]}}},
            "App.resources.AccessPolicy.x.link.0",
        ),
    ],
)  # fmt: skip
async def test_a_wrong_resource_of_a_manifest(box, resources, place):
    id_ = fresh()
    refused = outcome(await box.client.put(f"/App/{id_}", json=app(id_, resources=resources)), 422)
    assert places(refused) == [place]
    assert (await box.client.get("/Client/x")).status_code == 404


async def test_metadata_takes_the_same_grammar_and_answers_what_it_made(box):
    name = new_type()
    answer = await box.client.post("/$metadata", json={"definitions": notes(name)})
    assert answer.status_code == 200
    made = {(each["resourceType"], each["id"]) for each in answer.json()}
    assert made == {
        ("Entity", name),
        *(("Attribute", f"{name}.{path}") for path in (
            "mood", "subject", "score", "score.total", "value", "value.string", "value.Quantity",
        )),
    }  # fmt: skip
    assert (await box.client.post(f"/{name}", json={"mood": "calm"})).status_code == 201
    assert (await box.client.post("/$metadata", json={"definitions": {}})).json() == []
    outcome(await box.client.post("/$metadata", json={}), 422)
    outcome(await box.client.post("/$metadata", json=[]), 400)


async def test_metadata_is_read_whole_and_by_path(box):
    name = new_type()
    await define(box, entity(name), attribute(name, "mood", type="string"))
    whole = (await box.client.get("/$metadata")).json()
    assert {"Entity", "Attribute", "SearchParameter", "Operation"} == whole.keys()
    assert whole["Entity"][name]["type"] == "resource"
    assert whole["Attribute"]["Patient.name"]["isCollection"] is True
    for path, value in (
        (f"Entity.{name}.type", "resource"),
        (f"Attribute.{name}.mood.path", ["mood"]),
        ("Attribute.Patient.name.isCollection", True),
        ("Attribute.Observation.value.Quantity.type.id", "Quantity"),
    ):
        assert (await box.client.get("/$metadata", params={"path": path})).json() == value
    assert (await box.client.get("/%24metadata?path=SearchParameter")).json().keys() >= {
        "Patient.name"
    }
    text = (await box.client.get("/$metadata?path=Entity.Patient&_format=yaml")).text
    assert "type: resource" in text
    for path in (
        "Nothing",
        "Entity.Nothing",
        "Entity.Patient.nothing",
        "Client",
        "Entity.Patient.type.x",
    ):
        outcome(await box.client.get("/$metadata", params={"path": path}), 404)
    assert (await box.client.get("/fhir/$metadata")).status_code == 404


async def test_clients_ask_for_the_types_of_a_box(box):
    name = new_type()
    await define(box, entity(name))
    types = (await box.client.get("/$resource-types")).json()
    assert {"Patient", "Entity", name} <= types.keys()
    listed = await box.client.get("/Entity?type=resource&_elements=id&_count=999")
    assert {item["resource"]["id"] for item in listed.json()["entry"]} == types.keys()


async def test_only_administrators_see_and_change_metadata(box):
    async with box.client_of() as anonymous:
        outcome(await anonymous.get("/$metadata"), 403)
        outcome(await anonymous.post("/$metadata", json={"definitions": {}}), 403)
        outcome(await anonymous.put("/App/x", json=app("x")), 403)


@pytest.mark.parametrize("app_first", [True, False])
async def test_what_a_manifest_defines_holds_for_the_other_entries_of_its_transaction(
    box, app_first
):
    name = f"Told{uuid.uuid4().hex[:10]}"
    app = {"apiVersion": 1, "type": "app", "entities": {name: {"attrs": {"a": {"type": "code"}}}}}
    entries = [
        {"resource": app, "request": {"method": "PUT", "url": f"/App/{name.lower()}"}},
        {"resource": {"a": "x"}, "request": {"method": "PUT", "url": f"/{name}/seed"}},
    ]
    if not app_first:
        entries.reverse()
    answer = await box.client.post("/", json={"type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    assert (await box.client.get(f"/{name}/seed")).json()["a"] == "x"
    items = [
        {"resourceType": "App", "id": f"{name.lower()}2", **app, "entities": {f"{name}2": {}}},
        {"resourceType": f"{name}2", "id": "seed"},
    ]
    assert (await box.client.put("/", json=items)).status_code == 200
    for id_ in (name.lower(), f"{name.lower()}2"):
        assert (await box.client.delete(f"/App/{id_}")).status_code == 200
