"""AidboxProfile over HTTP: it holds from the next request on, for every write of its type.

Source: core specification, "AidboxProfile".
"""

from __future__ import annotations

import json

import pytest

from tests.integration.runtime.making import BASES, batch, entry, fresh, outcome, transaction

NAMED = {"properties": {"name": {"items": {"required": ["family"]}}}, "required": ["name"]}


def profile(schema, bound="Patient", **more):
    return {"bind": {"resourceType": "Entity", "id": bound}, "schema": schema, **more}


@pytest.fixture
async def save(box):
    """Save a profile; it is gone after the test."""
    ids = []

    async def save(schema, bound="Patient", *, id_=None, **more):
        id_ = id_ or fresh()
        ids.append(id_)
        body = profile(schema, bound, **more)
        answer = await box.client.put(f"/AidboxProfile/{id_}", json=body)
        assert answer.status_code == 201, answer.text
        return id_

    yield save
    for id_ in ids:
        await box.client.delete(f"/AidboxProfile/{id_}")


async def test_a_saved_profile_holds_for_the_next_write_and_its_errors_name_it(box, save):
    body = {"name": [{"given": ["Ann"]}]}
    assert (await box.client.post("/Patient", json=body)).status_code == 201
    id_ = await save(NAMED)
    refused = outcome(await box.client.post("/Patient", json=body), 422)
    assert refused["errors"] == [
        {
            "path": ["name", 0],
            "message": "Property family is required",
            "profile": {"id": id_, "resourceType": "AidboxProfile"},
        }
    ]
    assert refused["issue"][0]["expression"] == ["Patient.name.0"]
    refused = outcome(await box.client.post("/fhir/Patient", json=body), 422)
    assert refused["issue"][0]["expression"] == ["Patient.name[0]"]
    assert "errors" not in refused
    assert (
        await box.client.post("/Patient", json={"name": [{"family": "Oak"}]})
    ).status_code == 201


async def test_deletion_ends_it(box, save):
    id_ = await save(NAMED)
    outcome(await box.client.post("/Patient", json={}), 422)
    assert (await box.client.delete(f"/AidboxProfile/{id_}")).status_code == 200
    assert (await box.client.post("/Patient", json={})).status_code == 201


async def test_an_update_of_a_profile_replaces_its_rules(box, save):
    id_ = await save(NAMED)
    body = profile({"required": ["gender"]})
    assert (await box.client.put(f"/AidboxProfile/{id_}", json=body)).status_code == 200
    refused = outcome(await box.client.post("/Patient", json={}), 422)
    assert [error["message"] for error in refused["errors"]] == ["Property gender is required"]


@BASES
async def test_updates_and_entries_of_bundles_are_held_to_it(box, base, save):
    made = (await box.client.post(f"{base}/Patient", json={})).json()["id"]
    await save(NAMED)
    outcome(await box.client.put(f"{base}/Patient/{made}", json={}), 422)
    refused = outcome(
        await box.client.post(f"{base}/", json=transaction(entry("POST", "Patient", {}))), 422
    )
    assert refused["issue"][0]["expression"] == ["Bundle.entry[0].resource"]
    answer = await box.client.post(f"{base}/", json=batch(entry("POST", "Patient", {})))
    assert answer.json()["entry"][0]["response"]["status"] == "422"


async def test_what_is_stored_stays_as_it_is(box, save):
    made = (await box.client.post("/Patient", json={})).json()["id"]
    await save(NAMED)
    assert (await box.client.get(f"/fhir/Patient/{made}")).status_code == 200


async def test_several_profiles_are_conjunctive_and_all_findings_come_at_once(box, save):
    first = await save({"required": ["name"]})
    second = await save({"required": ["gender"]})
    third = await save({"required": ["gender"]})
    refused = outcome(await box.client.post("/Patient", json={"nick": 1}), 422)
    assert {(e["message"], e.get("profile", {}).get("id")) for e in refused["errors"]} == {
        ("Property name is required", first),
        ("Property gender is required", second),
        ("Property gender is required", third),
        ("extra property", None),
    }
    refused = outcome(await box.client.post("/fhir/Patient", json={}), 422)
    assert [issue["diagnostics"] for issue in refused["issue"]] == [
        "Property gender is required",
        "Property name is required",
    ]


async def test_it_sees_the_aidbox_format(box, save):
    await save({"properties": {"value": {"required": ["Quantity"]}}}, "Observation")
    body = {"status": "final", "code": {"text": "x"}}
    ok = await box.client.post("/fhir/Observation", json={**body, "valueQuantity": {"value": 1}})
    assert ok.status_code == 201
    refused = await box.client.post("/fhir/Observation", json={**body, "valueString": "x"})
    assert outcome(refused, 422)["issue"][0]["expression"] == ["Observation.value"]


async def test_it_binds_to_custom_types_also_to_one_made_in_the_same_transaction(box):
    name = f"Note{fresh().replace('-', '')}"
    entity = {"id": name, "type": "resource", "isOpen": True}
    bundle = transaction(
        entry("POST", "Entity", entity),
        entry("PUT", f"AidboxProfile/{name}", profile({"required": ["mood"]}, name)),
    )
    assert (await box.client.post("/", json=bundle)).status_code == 200
    outcome(await box.client.post(f"/{name}", json={"tone": "low"}), 422)
    assert (await box.client.post(f"/{name}", json={"mood": "calm"})).status_code == 201


async def test_a_profile_is_saved_when_its_transaction_commits(box):
    name = f"Note{fresh().replace('-', '')}"
    bundle = transaction(
        entry("POST", "Entity", {"id": name, "type": "resource", "isOpen": True}),
        entry("PUT", f"AidboxProfile/{name}", profile({"required": ["mood"]}, name)),
        entry("PUT", f"{name}/first", {"tone": "low"}),
    )
    assert (await box.client.post("/", json=bundle)).status_code == 200
    outcome(await box.client.put(f"/{name}/first", json={"tone": "low"}), 422)


async def test_another_process_of_the_box_sees_it(box, make_box, save):
    async with make_box() as other:
        await save(NAMED)
        for _ in range(50):
            answer = await other.client.post("/Patient", json={})
            if answer.status_code == 422:
                break
        outcome(answer, 422)


async def test_it_holds_after_a_restart(box, make_box, save):
    await save(NAMED)
    async with make_box() as again:
        outcome(await again.client.post("/Patient", json={}), 422)


UNUSABLE = [
    {"type": "nonsense"},
    {"properties": {"name": {"pattern": "("}}},
    {"$ref": "#/definitions/Nowhere"},
    {"$ref": "https://example.org/schema"},
    {"$schema": "https://example.org/draft", "type": "object"},
    {"minProperties": -1},
    {"required": "name"},
]


@pytest.mark.parametrize("number", range(len(UNUSABLE)))
@BASES
async def test_what_is_no_schema_is_refused_and_not_stored(box, base, number):
    id_ = fresh()
    body = profile(UNUSABLE[number])
    if base:
        body["bind"] = {"reference": "Entity/Patient"}
    answer = await box.client.put(f"{base}/AidboxProfile/{id_}", json=body)
    refused = outcome(answer, 422)
    assert refused["issue"][0]["expression"] == ["AidboxProfile.schema"]
    assert (await box.client.get(f"/AidboxProfile/{id_}")).status_code == 404
    assert (await box.client.post("/Patient", json={})).status_code == 201


@pytest.mark.parametrize("bound", ["HumanName", "string", "Nowhere", "DomainResource"])
async def test_what_is_no_resource_type_cannot_be_bound(box, bound):
    outcome(await box.client.post("/AidboxProfile", json=profile(NAMED, bound)), 422)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"bind": 5, "schema": {}},
        {"bind": {"id": "Patient"}},
        {"bind": {"id": ["Patient"]}, "schema": {}},
        {"bind": {"id": "Patient"}, "schema": {"required": ["name"]}, "url": 5},
    ],
)
async def test_rows_by_sql_that_say_too_little_change_nothing(box, row):
    id_ = fresh()
    await box.sql(
        "INSERT INTO aidboxprofile (id, txid, status, resource) VALUES ($1, 1, 'created', $2)",
        id_,
        json.dumps(row),
    )
    try:
        await box.application.reload(None)
        assert (await box.client.post("/Patient", json={})).status_code == 201
    finally:
        await box.sql("DELETE FROM aidboxprofile WHERE id = $1", id_)


async def test_a_row_by_sql_whose_schema_cannot_be_used_lets_nothing_in(box):
    id_ = fresh()
    await box.sql(
        "INSERT INTO aidboxprofile (id, txid, status, resource) VALUES ($1, 1, 'created', "
        """'{"bind": {"id": "Patient"}, "schema": {"type": "nonsense"}}')""",
        id_,
    )
    try:
        await box.application.reload(None)
        refused = outcome(await box.client.post("/Patient", json={}), 422)
        assert refused["errors"][0]["profile"]["id"] == id_
    finally:
        await box.sql("DELETE FROM aidboxprofile WHERE id = $1", id_)
        await box.application.reload(None)


async def test_one_with_a_url_holds_only_for_what_declares_it(box, save):
    url = f"http://example.org/{fresh()}"
    await save(NAMED, url=url, version="1.0")
    declaring = {"meta": {"profile": [url]}}
    assert (await box.client.post("/fhir/Patient", json={})).status_code == 201
    outcome(await box.client.post("/fhir/Patient", json=declaring), 422)
    versioned = {"meta": {"profile": [f"{url}|1.0"]}}
    outcome(await box.client.post("/fhir/Patient", json=versioned), 422)
    unknown = {"meta": {"profile": ["http://example.org/unknown", f"{url}|2.0"]}}
    assert (await box.client.post("/fhir/Patient", json=unknown)).status_code == 201
    ok = {**declaring, "name": [{"family": "Oak"}]}
    assert (await box.client.post("/fhir/Patient", json=ok)).status_code == 201


async def test_a_declared_profile_of_another_type_is_a_finding(box, save):
    url = f"http://example.org/{fresh()}"
    await save(NAMED, url=url)
    answer = await box.client.post("/fhir/Group", json={"meta": {"profile": [url]}})
    refused = outcome(answer, 422)
    assert "Group.meta.profile" in [issue["expression"][0] for issue in refused["issue"]]


async def test_resources_inside_are_held_to_what_they_declare(box, save):
    url = f"http://example.org/{fresh()}"
    await save(NAMED, url=url)
    inner = {"resourceType": "Patient", "id": "p", "meta": {"profile": [url]}}
    body = {"contained": [inner], "status": "final", "code": {"text": "x"},
            "subject": {"reference": "#p"}}  # fmt: skip
    refused = outcome(await box.client.post("/fhir/Observation", json=body), 422)
    assert refused["issue"][0]["expression"] == ["Observation.contained[0]"]
