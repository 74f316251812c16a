"""Who may patch.

Source: authentication specification, "Operation", "Decision algorithm".
"""

from __future__ import annotations

from contextlib import asynccontextmanager

from tests.integration.runtime.making import BASES, OAK, batch, entry, fresh

SECRET = "a secret"
BODY = {"active": True}


async def make_client(box):
    id_ = fresh()
    client = {"secret": SECRET, "grant_types": ["basic"]}
    assert (await box.client.put(f"/Client/{id_}", json=client)).status_code == 201
    return id_


@asynccontextmanager
async def allowed(box, resource_type, id_):
    """A policy that allows what is linked, for a while."""
    policy = {"engine": "allow", "link": [{"resourceType": resource_type, "id": id_}]}
    path = f"/AccessPolicy/{fresh()}"
    made = await box.client.put(path, json=policy)
    assert made.status_code == 201, made.text
    yield
    assert (await box.client.delete(path)).status_code == 200


@BASES
async def test_without_a_policy_nobody_can_tell_what_exists(box, base):
    id_ = fresh()
    await box.client.put(f"/Patient/{id_}", json=OAK)
    async with box.client_of((await make_client(box), SECRET)) as nobody:
        for path in (f"Patient/{id_}", "Patient/none-such", f"Patient?_id={id_}", "Nothing/x"):
            assert (await nobody.patch(f"{base}/{path}", json=BODY)).status_code == 403


@BASES
async def test_entries_are_judged_like_requests(box, base):
    id_, client = fresh(), await make_client(box)
    await box.client.put(f"/Patient/{id_}", json=OAK)
    patch = batch(entry("PATCH", f"Patient/{id_}", BODY))
    operation = "FhirTransaction" if base else "Transaction"
    async with allowed(box, "Operation", operation), box.client_of((client, SECRET)) as sender:
        answer = await sender.post(f"{base}/", json=patch)
        assert answer.json()["entry"][0]["response"]["status"] == "403"


@BASES
async def test_a_policy_may_link_to_the_operation_of_one_base(box, base):
    id_, client = fresh(), await make_client(box)
    await box.client.put(f"/Patient/{id_}", json=OAK)
    operation, other = ("FhirPatch", "") if base else ("Patch", "/fhir")
    async with allowed(box, "Operation", operation), box.client_of((client, SECRET)) as patcher:
        assert (await patcher.patch(f"{base}/Patient/{id_}", json=BODY)).status_code == 200
        assert (await patcher.patch(f"{other}/Patient/{id_}", json=BODY)).status_code == 403
        assert (await patcher.put(f"{base}/Patient/{id_}", json=OAK)).status_code == 403
