"""Both formats over HTTP: what is stored, what is checked, and what comes back.

The tables themselves are held to their rows in tests/unit/fhir. Source: core specification, "Aidbox
and FHIR format".
"""

from __future__ import annotations

import pytest

from tests.integration.runtime.defining import attribute, define, entity, new_type
from tests.integration.runtime.making import entry, fresh, outcome, transaction


def places(answer):
    return [issue["expression"][0] for issue in answer["issue"]]


async def put(box, url, body, status=201):
    answer = await box.client.put(url, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def both(box, path):
    """Return what either base answers, without what the server adds."""
    found = []
    for base in ("", "/fhir"):
        body = (await box.client.get(f"{base}/{path}")).json()
        del body["meta"]
        found.append(
            {key: value for key, value in body.items() if key not in {"id", "resourceType"}}
        )
    return found


@pytest.fixture(scope="module")
async def patient(box):
    id_ = fresh()
    await put(box, f"/Patient/{id_}", {})
    return id_


REFERENCES = [
    ({"reference": "https://ext.example/fhir/Patient/p"}, {"uri": "https://ext.example/fhir/Patient/p"}),
    ({"reference": "urn:uuid:7d0"}, {"uri": "urn:uuid:7d0"}),
    ({"reference": "#m1"}, {"localRef": "m1"}),
    ({"reference": "#"}, {"localRef": ""}),
    ({"identifier": {"value": "1"}, "display": "D"}, {"identifier": {"value": "1"}, "display": "D"}),
    ({"type": "Patient", "identifier": {"value": "1"}}, {"type": "Patient", "identifier": {"value": "1"}}),
    ({"display": "D"}, {"display": "D"}),
    ({"reference": "Patient/nobody/_history/2"}, {"uri": "Patient/nobody/_history/2"}),
    ({"reference": "Patient?name=x"}, {"uri": "Patient?name=x"}),
    ({"reference": "http://box.test/fhir/Patient/nobody"}, {"uri": "http://box.test/fhir/Patient/nobody"}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFERENCES)))
async def test_a_reference_that_is_not_checked_in_both_formats(box, number):
    fhir, aidbox = REFERENCES[number]
    rest = {"code": {"text": "x"}, "contained": [{"resourceType": "Patient", "id": "m1"}]}
    for url, body in (("/fhir/Basic", fhir), ("/Basic", aidbox)):
        id_ = fresh()
        await put(box, f"{url}/{id_}", {**rest, "subject": body})
        root, at_fhir = await both(box, f"Basic/{id_}")
        assert root["subject"] == aidbox
        assert at_fhir["subject"] == fhir
    if "reference" in fhir:  # root takes the FHIR form too, and never shows it
        answer = await put(box, f"/Basic/{fresh()}", {**rest, "subject": fhir})
        assert answer["subject"] == aidbox


async def test_a_relative_reference_is_checked_wherever_it_stands(box, patient):
    code = {"code": {"text": "x"}}
    link, aidbox = {"reference": f"Patient/{patient}"}, {"resourceType": "Patient", "id": patient}
    id_ = fresh()
    await put(
        box, f"/fhir/Basic/{id_}", {**code, "subject": {**link, "type": "Patient", "display": "D"}}
    )
    root, at_fhir = await both(box, f"Basic/{id_}")
    assert root["subject"] == {**aidbox, "display": "D"}
    assert at_fhir["subject"] == {**link, "display": "D"}
    nobody = {"reference": "Patient/nobody"}
    for url, body, expression in (
        ("/fhir/Basic", {**code, "subject": nobody}, "Basic.subject"),
        ("/Basic", {**code, "subject": {"resourceType": "Patient", "id": "nobody"}}, "Basic.subject"),
        ("/Basic", {**code, "subject": nobody}, "Basic.subject"),
        ("/fhir/Basic", {**code, "identifier": [{"assigner": {"reference": "Organization/no"}}]},
         "Basic.identifier[0].assigner"),
        ("/fhir/Basic", {**code, "contained": [{"resourceType": "Observation", "id": "o", "status": "final",
         "code": {"text": "x"}, "subject": nobody}]}, "Basic.contained[0].subject"),
        ("/fhir/Observation", {"status": "final", **code, "note": [{"text": "t",
         "authorReference": {"reference": "Practitioner/no"}}]}, "Observation.note[0].author.ofType(Reference)"),
        ("/fhir/Basic", {**code, "subject": {"reference": "#gone"}}, "Basic.subject"),
        ("/fhir/Basic", {**code, "subject": {**link, "type": "Group"}}, "Basic.subject.type"),
        ("/Basic", {**code, "subject": {"id": patient}}, "Basic.subject"),
        ("/fhir/Observation", {"status": "final", **code, "subject": {"reference": "Organization/no"}},
         "Observation.subject"),
    ):  # fmt: skip
        refused = outcome(await box.client.post(url, json=body), 422)
        assert places(refused) == [expression]


async def test_what_is_content_is_not_checked(box):
    nobody = {"reference": "Patient/nobody"}
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": nobody,
    }
    raw = [{"url": "urn:raw", "valueReference": nobody}]
    for type_name, body in (
        ("Parameters", {"parameter": [{"name": "r", "resource": observation}, {"name": "v", "valueReference": nobody}]}),
        ("Bundle", {"type": "collection", "entry": [{"resource": observation}]}),
        ("Basic", {"code": {"text": "x"}, "extension": raw, "modifierExtension": raw}),
    ):  # fmt: skip
        id_ = fresh()
        await put(box, f"/fhir/{type_name}/{id_}", body)
        root, at_fhir = await both(box, f"{type_name}/{id_}")
        assert at_fhir == body
        await put(box, f"/{type_name}/{id_}", root, 200)
        assert (await both(box, f"{type_name}/{id_}"))[1] == body
    assert root["extension"] == raw


async def test_root_may_nest_the_value_of_a_raw_extension(box):
    id_ = fresh()
    nested = [{"url": "urn:x", "value": {"string": "x"}}, {"url": "urn:y", "valueString": "y"}]
    await put(box, f"/Patient/{id_}", {"extension": nested})
    root, at_fhir = await both(box, f"Patient/{id_}")
    assert root["extension"] == nested
    assert at_fhir["extension"] == [{"url": "urn:x", "valueString": "x"}, nested[1]]


async def test_extensions_with_attributes_are_elements_and_checked(box, patient):
    name = new_type()
    await define(
        box,
        entity(name),
        attribute(name, "origin", extensionUrl="http://ex.org/origin", isCollection=True, order=1),
        attribute(name, "origin", "village", type="string", extensionUrl="village"),
        attribute(name, "origin", "keeper", type="Reference", refers=["Patient"], extensionUrl="http://ex.org/keeper"),
        attribute(name, "tribe", type="keyword", extensionUrl="http://ex.org/tribe", order=2),
        attribute(name, "mails", type="email", extensionUrl="http://ex.org/mail", isCollection=True, order=3),
        attribute(name, "voided", type="boolean", extensionUrl="http://ex.org/voided", isModifier=True),
    )  # fmt: skip
    fhir = {
        "extension": [
            {"url": "http://ex.org/other", "valueReference": {"reference": "Organization/no"}},
            {
                "url": "http://ex.org/origin",
                "extension": [
                    {
                        "url": "http://ex.org/keeper",
                        "valueReference": {"reference": f"Patient/{patient}"},
                    },
                    {"url": "village", "valueString": "Alma"},
                ],
            },
            {
                "url": "http://ex.org/origin",
                "extension": [{"url": "village", "valueString": "Bela"}],
            },
            {"url": "http://ex.org/tribe", "valueCode": "t"},
            {"url": "http://ex.org/mail", "valueString": "a@b.c"},
            {"url": "http://ex.org/mail", "valueString": "d@e.f"},
        ],
        "modifierExtension": [{"url": "http://ex.org/voided", "valueBoolean": False}],
    }
    id_ = fresh()
    await put(box, f"/fhir/{name}/{id_}", fhir)
    root, at_fhir = await both(box, f"{name}/{id_}")
    assert root == {
        "extension": [fhir["extension"][0]],
        "origin": [
            {"village": "Alma", "keeper": {"resourceType": "Patient", "id": patient}},
            {"village": "Bela"},
        ],
        "tribe": "t",
        "mails": ["a@b.c", "d@e.f"],
        "voided": False,
    }
    assert [item["url"] for item in at_fhir["extension"]] == [
        item["url"] for item in fhir["extension"]
    ]
    await put(box, f"/fhir/{name}/{id_}", at_fhir, 200)
    assert (await both(box, f"{name}/{id_}"))[0] == root
    for wrong in ("Patient/nobody", "Organization/no"):
        fhir["extension"][1]["extension"][0]["valueReference"]["reference"] = wrong
        refused = outcome(await box.client.post(f"/fhir/{name}", json=fhir), 422)
        (place,) = places(refused)
        assert place.startswith(
            f"{name}.extension.where(url = 'http://ex.org/origin')[0].extension"
        )
    twice = {"extension": [fhir["extension"][3]] * 2}
    outcome(await box.client.post(f"/fhir/{name}", json=twice), 422)
    other = {"extension": [{"url": "http://ex.org/tribe", "valueString": "t"}]}
    outcome(await box.client.post(f"/fhir/{name}", json=other), 422)


async def test_a_first_class_reference_to_an_entry_is_rewritten(box):
    name = new_type()
    await define(
        box, entity(name), attribute(name, "keeper", type="Reference", extensionUrl="urn:keeper")
    )
    link = {"url": "urn:keeper", "valueReference": {"reference": "urn:uuid:p"}}
    bundle = transaction(
        entry("POST", name, {"extension": [link]}),
        entry("POST", "Patient", {}, fullUrl="urn:uuid:p"),
    )
    answer = await box.client.post("/fhir", json=bundle)
    assert answer.status_code == 200, answer.text
    note, person = (item["resource"]["id"] for item in answer.json()["entry"])
    stored = (await box.client.get(f"/{name}/{note}")).json()
    assert stored["keeper"] == {"resourceType": "Patient", "id": person}


async def test_rows_older_than_their_attribute_stay_raw(box):
    name = new_type()
    await define(box, entity(name))
    raw = [{"url": "urn:tribe", "valueCode": "t"}]
    id_ = fresh()
    await put(box, f"/fhir/{name}/{id_}", {"extension": raw})
    await define(box, attribute(name, "tribe", type="code", extensionUrl="urn:tribe"))
    root, at_fhir = await both(box, f"{name}/{id_}")
    assert root == at_fhir == {"extension": raw}
    await put(box, f"/fhir/{name}/{id_}", at_fhir, 200)
    assert (await both(box, f"{name}/{id_}"))[0] == {"tribe": "t"}


async def test_primitive_extensions_and_free_keys(box):
    id_ = fresh()
    fhir = {
        "birthDate": "1970-03-30",
        "_birthDate": {"extension": [{"url": "urn:t", "valueDateTime": "1970-03-30T12:00:00Z"}]},
        "name": [
            {
                "given": ["A", None],
                "_given": [None, {"extension": [{"url": "urn:x", "valueCode": "c"}]}],
            }
        ],
        "_deceasedBoolean": {"extension": [{"url": "urn:x", "valueCode": "c"}]},
    }
    await put(box, f"/fhir/Patient/{id_}", fhir)
    root, at_fhir = await both(box, f"Patient/{id_}")
    assert at_fhir == fhir
    assert root["deceased"] == {"_boolean": fhir["_deceasedBoolean"]}
    assert root["name"] == fhir["name"]
    free = {"_any": [1, {"x": "y"}], "fhir_comments": "c"}
    await put(box, f"/Patient/{fresh()}", free)
    outcome(await box.client.post("/fhir/Patient", json=free), 422)


async def test_the_first_creation_is_an_extension_whose_url_can_be_chosen(box, make_box):
    id_ = fresh()
    await put(box, f"/Patient/{id_}", {})
    created = (await box.client.get(f"/Patient/{id_}")).json()["meta"]["createdAt"]
    async with make_box(BOX_FHIR_CREATED_AT_URL="urn:born") as other:
        for each, url in ((box, "ex:createdAt"), (other, "urn:born")):
            found = (await each.client.get(f"/fhir/Patient/{id_}")).json()
            assert found["meta"]["extension"] == [{"url": url, "valueInstant": created}]
            # What comes back is no content.
            back = await each.client.put(f"/fhir/Patient/{id_}", json=found)
            assert back.json()["meta"]["extension"] == found["meta"]["extension"]
            listed = (await each.client.get(f"/fhir/Patient?_id={id_}")).json()["entry"][0]
            assert listed["resource"]["meta"]["extension"] == found["meta"]["extension"]
        (row,) = await box.sql("SELECT resource::text AS text FROM patient WHERE id = $1", id_)
        assert row["text"] == "{}"
        name = new_type()
        await define(other, entity(name, isOpen=True))  # the setting outlives a change of metadata
        found = (await other.client.get(f"/fhir/Patient/{id_}")).json()
        assert found["meta"]["extension"][0]["url"] == "urn:born"


async def test_common_queries_of_metadata(box):
    name = new_type()
    await define(box, entity(name, module="mine"), attribute(name, "mood", type="string"))
    url = "/Entity?type=resource&_result=array&_elements=id,module&_sort=_id&_count=500"
    listed = (await box.client.get(url)).json()
    assert ("Patient", "fhir-4.0.1") in [
        (each["id"], each["module"]) for each in listed if "module" in each
    ]
    assert (name, "mine") in [(each["id"], each.get("module")) for each in listed]
    assert [each["id"] for each in listed] == sorted(each["id"] for each in listed)
    attributes = (await box.client.get(f"/Attribute?entity={name}&_elements=path,type.id")).json()
    (found,) = attributes["entry"]
    assert found["resource"]["path"] == ["mood"]
    assert found["resource"]["type"] == {"id": "string"}
    everything = (await box.client.get("/Attribute?entity=Patient&_count=200")).json()
    assert {each["resource"]["resource"]["id"] for each in everything["entry"]} == {"Patient"}
