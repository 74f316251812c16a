"""AlphaSDC and creates that capture. Source: core specification, "Structured data capture"."""

from __future__ import annotations

import uuid

import pytest

from tests.integration.runtime.making import BASES, batch, entry, fresh, outcome, transaction
from tests.integration.runtime.test_access import basic, bearer, make_client

BODY = {
    "status": "final",
    "code": {"text": "heart rate"},
    "subject": {"$path!": ["patient"]},
    "value": {"Quantity": {"value": {"$path!": ["rate"]}, "unit": "/min"}},
}
PATIENT = {"resourceType": "Patient", "id": "of-vitals"}


NOTE = {**BODY, "code": {"text": "note"}, "value": {"string": {"$path!": ["note"]}}}
TEMPLATE = {"Observation": {"hr": BODY, "note": NOTE}}


@pytest.fixture
async def vitals(box):
    """A type whose creates under both bases capture; gives its name."""
    name = f"Vitals{uuid.uuid4().hex[:10]}"
    client = box.client
    await client.put("/Patient/of-vitals", json={})
    await client.put(f"/Entity/{name}", json={"type": "resource", "isOpen": True})
    answers = [
        await client.put(f"/AlphaSDC/{name}", json={"template": TEMPLATE}),
        await client.put(
            f"/Operation/{name}", json={"request": ["post", name], "action": "sdc/create"}
        ),
        await client.put(
            f"/Operation/{name}-fhir",
            json={"request": ["post", "fhir", name], "action": "sdc/create"},
        ),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    yield name
    for path in (f"/Operation/{name}", f"/Operation/{name}-fhir", f"/AlphaSDC/{name}"):
        await client.delete(path)


def source(**more):
    return {"patient": PATIENT, "rate": 71, **more}


@BASES
async def test_a_create_stores_source_and_captured_resources_together(box, vitals, base):
    id_ = fresh()
    made = await box.client.post(f"{base}/{vitals}", json=source(id=id_, note="n"))
    assert made.status_code == 201, made.text
    assert made.json()["rate"] == 71
    heart = (await box.client.get(f"/Observation/hr-{id_}")).json()
    assert heart["value"]["Quantity"] == {"value": 71, "unit": "/min"}
    assert heart["subject"] == PATIENT
    assert heart["meta"]["sourceId"] == id_
    assert heart["meta"]["versionId"] == made.json()["meta"]["versionId"]
    fhir = (await box.client.get(f"/fhir/Observation/note-{id_}")).json()
    assert fhir["valueString"] == "n"
    assert "sourceId" not in fhir["meta"]
    assert {"url": "ex:sourceId", "valueString": id_} in fhir["meta"]["extension"]
    again = await box.client.put(f"/fhir/Observation/note-{id_}", json=fhir)
    assert again.status_code == 200, again.text
    root = (await box.client.get(f"/Observation/note-{id_}")).json()
    assert root["meta"]["sourceId"] == id_


async def test_an_id_is_made_for_a_source_without_one(box, vitals):
    made = (await box.client.post(f"/{vitals}", json=source())).json()
    assert (await box.client.get(f"/Observation/hr-{made['id']}")).status_code == 200


@BASES
async def test_where_a_captured_resource_is_wrong_nothing_is_stored(box, vitals, base):
    id_ = fresh()
    for wrong in ({"rate": "fast"}, {"patient": {"resourceType": "Patient", "id": "none"}}):
        refused = await box.client.post(f"{base}/{vitals}", json={**source(id=id_), **wrong})
        assert outcome(refused, 422)["issue"]
        outcome(await box.client.get(f"/{vitals}/{id_}"), 404)
        outcome(await box.client.get(f"/Observation/hr-{id_}"), 404)


@BASES
async def test_entries_of_bundles_capture_too(box, vitals, base):
    ids = [fresh() for _ in range(3)]
    entries = [entry("POST", vitals, source(id=id_)) for id_ in ids]
    for bundle in (transaction(*entries[:2]), batch(entries[2])):
        answer = await box.client.post(f"{base}/", json=bundle)
        assert answer.status_code == 200, answer.text
    for id_ in ids:
        assert (await box.client.get(f"/Observation/hr-{id_}")).status_code == 200
    failing = transaction(
        entry("POST", vitals, source(id="a" + ids[0])), entry("POST", vitals, source(rate="x"))
    )
    outcome(await box.client.post(f"{base}/", json=failing), 422)
    outcome(await box.client.get(f"/Observation/hr-a{ids[0]}"), 404)


async def test_a_conditional_create_captures_only_what_it_creates(box, vitals):
    id_ = fresh()
    first = await box.client.post(f"/{vitals}?_id={id_}", json=source(id=id_))
    second = await box.client.post(f"/{vitals}?_id={id_}", json=source(id=id_, rate=99))
    assert [first.status_code, second.status_code] == [201, 200]
    heart = (await box.client.get(f"/Observation/hr-{id_}")).json()
    assert heart["value"]["Quantity"]["value"] == 71


async def test_updates_and_other_types_capture_nothing(box, vitals):
    id_ = fresh()
    assert (await box.client.put(f"/{vitals}/{id_}", json=source())).status_code == 201
    outcome(await box.client.get(f"/Observation/hr-{id_}"), 404)


async def test_without_its_template_an_overridden_create_is_refused(box, vitals):
    await box.client.delete(f"/AlphaSDC/{vitals}")
    outcome(await box.client.post(f"/{vitals}", json=source()), 422)
    assert (await box.client.get(f"/{vitals}")).json()["total"] == 0


async def test_an_override_ends_with_its_operation(box, vitals):
    await box.client.delete(f"/Operation/{vitals}")
    id_ = fresh()
    assert (await box.client.post(f"/{vitals}", json=source(id=id_))).status_code == 201
    outcome(await box.client.get(f"/Observation/hr-{id_}"), 404)


async def test_debug_and_extract_store_nothing(box, vitals):
    id_ = fresh()
    sent = source(id=id_, resourceType=vitals)
    by_id = (await box.client.post(f"/AlphaSDC/{vitals}/$extract", json=sent)).json()
    debug = {"source": sent, "template": TEMPLATE}
    assert (await box.client.post("/AlphaSDC/$debug", json=debug)).json() == by_id
    assert by_id.keys() == {"source", "template", "extracted"}
    assert [each["id"] for each in by_id["extracted"]] == [f"hr-{id_}", f"note-{id_}"]
    assert by_id["extracted"][1]["value"] == {}
    outcome(await box.client.get(f"/Observation/hr-{id_}"), 404)


async def test_what_cannot_be_extracted(box):
    outcome(await box.client.post("/AlphaSDC/none/$extract", json={}), 404)
    outcome(await box.client.post("/AlphaSDC/$debug", json={"source": {}, "template": 1}), 422)
    outcome(await box.client.post("/AlphaSDC/$debug", json={"template": {}}), 422)
    outcome(await box.client.post("/AlphaSDC/$debug", json=[]), 400)
    outcome(await box.client.post("/fhir/AlphaSDC/$debug", json={}), 404)


# Who may


async def test_a_policy_for_the_operation_lets_the_whole_capture_through(box, vitals):
    client = await make_client(box)
    policy = {"engine": "allow", "link": [{"resourceType": "Operation", "id": vitals}]}
    assert (await box.client.put(f"/AccessPolicy/{vitals}", json=policy)).status_code == 201
    id_ = fresh()
    async with box.client_of() as form:
        headers = basic(f"{client}:s3:cret ü")
        answer = await form.post(f"/{vitals}", json=source(id=id_), headers=headers)
        assert answer.status_code == 201, answer.text
        outcome(await form.post("/Observation", json={}, headers=headers), 403)
        outcome(await form.post(f"/fhir/{vitals}", json=source(), headers=headers), 403)
    assert (await box.client.get(f"/Observation/hr-{id_}")).status_code == 200
    await box.client.delete(f"/AccessPolicy/{vitals}")


async def test_nobody_comes_by_administrative_rights_through_a_template(box, vitals):
    id_ = fresh()
    template = {"AccessPolicy": {"mine": {"engine": "allow"}}}
    await box.client.put(f"/AlphaSDC/{vitals}", json={"template": template})
    async with box.client_of() as person:
        headers = bearer(role="writer")
        outcome(await person.post(f"/{vitals}", json=source(id=id_), headers=headers), 403)
        outcome(
            await person.put(f"/AlphaSDC/{vitals}", json={"template": {}}, headers=headers), 403
        )
        operation = {"request": ["post", "Patient"], "action": "sdc/create"}
        outcome(await person.put("/Operation/mine", json=operation, headers=headers), 403)
    outcome(await box.client.get(f"/{vitals}/{id_}"), 404)
    outcome(await box.client.get(f"/AccessPolicy/mine-{id_}"), 404)
