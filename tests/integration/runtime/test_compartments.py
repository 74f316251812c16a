"""Compartments that people define. Source: core specification, "Compartments and `$lastn`"."""

from __future__ import annotations

import pytest

from tests.integration.runtime.making import BASES, fresh, outcome
from tests.integration.runtime.test_access import bearer


@pytest.fixture
async def organization(own_box):
    """A box in which an organization has a compartment, with one member of each kind."""
    client = own_box.client
    definition = {
        "resourceType": "CompartmentDefinition", "url": "urn:c", "name": "C", "status": "active",
        "code": "Organization", "search": True,
        "resource": [
            {"code": "Patient", "param": ["organization", "general-practitioner"]},
            {"code": "Organization", "param": ["{def}"]},
            {"code": "Observation", "param": ["subject.organization", "no-such-parameter"]},
            {"code": "Device"},
        ],
    }  # fmt: skip
    answer = await client.post("/fhir/CompartmentDefinition", json=definition)
    assert answer.status_code == 201, answer.text
    for id_ in ("o1", "o2"):
        await client.put(f"/fhir/Organization/{id_}", json={"resourceType": "Organization"})
    for id_, body in {
        "managed": {"managingOrganization": {"reference": "Organization/o1"}},
        "treated": {"generalPractitioner": [{"reference": "Organization/o1"}]},
        "both": {"managingOrganization": {"reference": "Organization/o1"},
                 "generalPractitioner": [{"reference": "Organization/o1"}]},
        "other": {"managingOrganization": {"reference": "Organization/o2"}},
    }.items():  # fmt: skip
        await client.put(f"/fhir/Patient/{id_}", json={"resourceType": "Patient", **body})
    for patient in ("managed", "other"):
        body = {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
                "subject": {"reference": f"Patient/{patient}"}}  # fmt: skip
        answer = await client.put(f"/fhir/Observation/of-{patient}", json=body)
        assert answer.status_code == 201
    return own_box, answer


def ids(answer):
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    found = sorted(entry["resource"]["id"] for entry in bundle.get("entry", ()))
    assert bundle["total"] == len(found)
    return found


@BASES
async def test_a_compartment_works_as_soon_as_it_is_defined(organization, base):
    client = organization[0].client
    of = f"{base}/Organization/o1"
    assert ids(await client.get(f"{of}/Patient")) == ["both", "managed", "treated"]
    assert ids(await client.get(f"{of}/Patient?_id=both,other")) == ["both"]
    assert ids(await client.get(f"{of}/Organization")) == ["o1"]
    assert ids(await client.get(f"{of}/Observation")) == ["of-managed"]
    assert ids(await client.get(f"{of}/Device")) == []
    assert ids(await client.get(f"{of}/*")) == ["both", "managed", "o1", "of-managed", "treated"]
    assert ids(await client.get(f"{base}/Organization/none/Patient")) == []


@BASES
async def test_what_no_compartment_lists_is_not_found(organization, base):
    client = organization[0].client
    outcome(await client.get(f"{base}/Organization/o1/Encounter"), 404)
    outcome(await client.get(f"{base}/Location/l1/Patient"), 404)


@BASES
async def test_an_id_that_none_can_have_finds_nothing(organization, base):
    client = organization[0].client
    assert ids(await client.get(f"{base}/Organization/o2,o1/Observation")) == []


async def test_a_definition_replaces_the_one_that_came_with_the_box_until_it_is_deleted(own_box):
    client = own_box.client
    await client.put("/fhir/Patient/p1", json={"resourceType": "Patient"})
    person = {"resourceType": "Person", "link": [{"target": {"reference": "Patient/p1"}}]}
    assert (await client.put("/fhir/Person/n1", json=person)).status_code == 201
    assert ids(await client.get("/fhir/Patient/p1/Person")) == ["n1"]
    shipped = (await client.get("/fhir/CompartmentDefinition/patient")).json()
    changed = {**shipped, "resource": [{"code": "Person"}]}
    changed.setdefault("status", "active")
    changed.setdefault("name", "x")
    changed.setdefault("search", True)
    answer = await client.put(
        "/CompartmentDefinition/own-patient", json={**changed, "id": "own-patient"}
    )
    assert answer.status_code == 201, answer.text
    assert ids(await client.get("/fhir/Patient/p1/Person")) == []
    outcome(await client.get("/fhir/Patient/p1/Encounter"), 404)
    assert (await client.delete("/CompartmentDefinition/own-patient")).status_code < 300
    assert ids(await client.get("/fhir/Patient/p1/Person")) == ["n1"]


async def test_another_process_hears_of_a_compartment(organization, make_box):
    box, _ = organization
    async with make_box() as other:
        assert ids(await other.client.get("/Organization/o1/Organization")) == ["o1"]
    await box.sql("UPDATE compartmentdefinition SET resource = '{\"code\": 7}' WHERE txid > 0")
    await box.sql("INSERT INTO compartmentdefinition (id, txid, status, resource) VALUES "
                  "('odd', nextval('transaction_id_seq'), 'created', '[1]')")  # fmt: skip
    async with make_box() as other:
        outcome(await other.client.get("/Organization/o1/Organization"), 404)


async def test_who_does_not_administer_defines_none(box):
    definition = {"code": "Location", "resource": [{"code": "Patient", "param": ["organization"]}]}
    async with box.client_of() as person:
        answer = await person.put(
            f"/CompartmentDefinition/{fresh()}", json=definition, headers=bearer(role="writer")
        )
        outcome(answer, 403)
