"""Patches as entries of batches and transactions.

Source: core specification, "Batch and transaction", "Patch"; FHIR R4, "transaction".
"""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from tests.integration.runtime.making import (
    BASES,
    OAK,
    batch,
    entry,
    fresh,
    outcome,
    transaction,
)

BUNDLES = pytest.mark.parametrize("bundle", [batch, transaction])
GENDER = [{"op": "add", "path": "/gender", "value": "male"}]


def binary(patch, media=None):
    made = {"resourceType": "Binary", "data": base64.b64encode(json.dumps(patch).encode()).decode()}
    return made if media is None else {**made, "contentType": media}


def replace_gender(value):
    return {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "add"},
                    {"name": "path", "valueString": "Patient"},
                    {"name": "name", "valueString": "gender"},
                    {"name": "value", "valueCode": value},
                ],
            }
        ],
    }


async def made(box, **more):
    id_ = fresh()
    answer = await box.client.put(f"/fhir/Patient/{id_}", json={**OAK, **more})
    assert answer.status_code == 201
    return id_


@BASES
@BUNDLES
async def test_an_entry_carries_its_patch_as_it_is(box, base, bundle):
    one, two = await made(box), await made(box)
    answer = await box.client.post(
        f"{base}/",
        json=bundle(
            entry("PATCH", f"Patient/{one}", GENDER),
            entry("PATCH", f"/Patient/{two}?_method=merge-patch", {"gender": "male"}),
        ),
    )
    assert answer.status_code == 200, answer.text
    for item, id_ in zip(answer.json()["entry"], (one, two), strict=True):
        assert item["response"]["status"] == "200"
        assert item["resource"]["gender"] == "male"
        assert (await box.client.get(f"{base}/Patient/{id_}")).json() == item["resource"]
        assert item["response"]["etag"]


@BUNDLES
@pytest.mark.parametrize(
    "resource",
    [
        binary(GENDER, "application/json-patch+json"), binary(GENDER, "application/json"),
        binary(GENDER), binary({"gender": "male"}, "application/merge-patch+json"),
        binary(replace_gender("male"), "application/fhir+json"), replace_gender("male"),
    ],
)  # fmt: skip
async def test_at_fhir_a_patch_may_come_as_binary_or_parameters(box, bundle, resource):
    id_ = await made(box)
    answer = await box.client.post("/fhir", json=bundle(entry("PATCH", f"Patient/{id_}", resource)))
    assert answer.json()["entry"][0]["response"]["status"] == "200", answer.text
    assert (await box.client.get(f"/fhir/Patient/{id_}")).json()["gender"] == "male"


@pytest.mark.parametrize(
    ("resource", "status"),
    [
        ({"resourceType": "Binary", "data": "%%%", "contentType": "application/json"}, "400"),
        ({"resourceType": "Binary"}, "400"), (binary(GENDER, "text/plain"), "415"),
        (binary({}, "application/json-patch+json"), "400"), (None, "400"), (5, "400"),
        ([{"op": "test", "path": "/gender", "value": "x"}], "400"),
        ([{"op": "test", "path": "/name/0/family", "value": "x"}], "409"),
        ({"gender": "spam"}, "422"),
    ],
)  # fmt: skip
async def test_an_entry_that_fails(box, resource, status):
    """In a batch alone; in a transaction nothing happens at all."""
    id_ = await made(box)
    before = (await box.client.get(f"/fhir/Patient/{id_}")).json()
    failing = entry("PATCH", f"Patient/{id_}", resource)
    other = await made(box)
    good = entry("PATCH", f"Patient/{other}", GENDER)
    answer = (await box.client.post("/fhir", json=batch(failing, good))).json()
    assert [item["response"]["status"] for item in answer["entry"]] == [status, "200"]
    new = fresh()
    body = outcome(
        await box.client.post(
            "/fhir", json=transaction(entry("PUT", f"Patient/{new}", {**OAK, "id": new}), failing)
        ),
        int(status),
    )
    assert body["issue"][0]["expression"][0].startswith("Bundle.entry[1]")
    assert (await box.client.get(f"/fhir/Patient/{new}")).status_code == 404
    assert (await box.client.get(f"/fhir/Patient/{id_}")).json() == before


async def test_a_patch_follows_other_writes_of_its_transaction(box):
    """Two writes to one resource: the second has a version of its own; FHIR R4 has them fail."""
    id_ = fresh()
    bundle = transaction(
        entry("PUT", f"Patient/{id_}", {**OAK, "id": id_}),
        entry("PATCH", f"Patient/{id_}", GENDER),
        entry("PATCH", f"Patient/{id_}", {"active": True}),
    )
    outcome(await box.client.post("/fhir", json=bundle), 422)
    answer = await box.client.post("/", json=bundle)
    assert answer.status_code == 200, answer.text
    versions = [int(item["resource"]["meta"]["versionId"]) for item in answer.json()["entry"]]
    assert versions == sorted(set(versions))
    read = (await box.client.get(f"/Patient/{id_}")).json()
    assert (read["gender"], read["active"]) == ("male", True)
    assert (await box.client.get(f"/Patient/{id_}/_history")).json()["total"] == 3


@BASES
async def test_references_inside_a_patch_mean_other_entries(box, base):
    id_ = await made(box)
    link = {"reference": "urn:uuid:org"} if base else {"uri": "urn:uuid:org"}
    patch = {"managingOrganization": link}
    answer = await box.client.post(
        f"{base}/",
        json=transaction(
            entry("PATCH", f"Patient/{id_}", patch, fullUrl="urn:uuid:pat"),
            entry("POST", "Organization", {"name": "A"}, fullUrl="urn:uuid:org"),
            entry(
                "POST",
                "Flag",
                {
                    "status": "active",
                    "code": {"text": "x"},
                    "subject": {"reference" if base else "uri": "urn:uuid:pat"},
                },
            ),
        ),
    )
    assert answer.status_code == 200, answer.text
    patient, organization, flag = (item["resource"] for item in answer.json()["entry"])
    fhir = (await box.client.get(f"/fhir/Patient/{id_}")).json()
    assert fhir["managingOrganization"] == {"reference": f"Organization/{organization['id']}"}
    assert patient["id"] == id_
    fhir = (await box.client.get(f"/fhir/Flag/{flag['id']}")).json()
    assert fhir["subject"] == {"reference": f"Patient/{id_}"}


@BASES
@BUNDLES
async def test_conditional_entries(box, base, bundle):
    mrn = fresh()
    id_ = await made(box, identifier=[{"system": "mrn", "value": mrn}])
    url = f"Patient?identifier=mrn|{mrn}"
    answer = await box.client.post(f"{base}/", json=bundle(entry("PATCH", url, GENDER)))
    (item,) = answer.json()["entry"]
    assert (item["response"]["status"], item["resource"]["id"]) == ("200", id_)
    missing = entry("PATCH", f"Patient?identifier=mrn|{fresh()}", GENDER)
    await made(box, identifier=[{"system": "mrn", "value": mrn}])
    for failing, status in ((missing, 404), (entry("PATCH", url, GENDER), 412)):
        answer = await box.client.post(f"{base}/", json=bundle(failing))
        if bundle is batch:
            assert answer.json()["entry"][0]["response"]["status"] == str(status)
        else:
            outcome(answer, status)


@BASES
@BUNDLES
async def test_if_match_of_an_entry(box, base, bundle):
    id_ = await made(box)
    version = (await box.client.get(f"/Patient/{id_}")).json()["meta"]["versionId"]
    wrong = entry("PATCH", f"Patient/{id_}", GENDER, ifMatch='W/"1"')
    answer = await box.client.post(f"{base}/", json=bundle(wrong))
    mismatch = 412 if base else 409
    if bundle is batch:
        assert answer.json()["entry"][0]["response"]["status"] == str(mismatch)
    else:
        outcome(answer, mismatch)
    right = entry("PATCH", f"Patient/{id_}", GENDER, ifMatch=f'W/"{version}"')
    answer = await box.client.post(f"{base}/", json=bundle(right))
    assert answer.json()["entry"][0]["response"]["status"] == "200"


async def test_transactions_that_patch_one_resource_lose_nothing(box):
    id_ = await made(box, telecom=[{"value": "first"}])

    async def patch(number):
        add = [{"op": "add", "path": "/telecom/-", "value": {"value": f"n{number}"}}]
        if number % 3 == 0:
            answer = await box.client.patch(f"/fhir/Patient/{id_}", json=add)
        else:
            entries = transaction(
                entry("POST", "Basic", {"code": {"text": "x"}}),
                entry("PATCH", f"Patient/{id_}", add),
            )
            answer = await box.client.post("/fhir", json=entries)
        assert answer.status_code == 200, answer.text

    await asyncio.gather(*(patch(number) for number in range(30)))
    read = (await box.client.get(f"/fhir/Patient/{id_}")).json()
    assert len(read["telecom"]) == 31
