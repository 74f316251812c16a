"""Patches and other writers: preconditions, criteria, races.

Source: core specification, "Patch"; FHIR R4, "patch", "Managing Resource Contention".
"""

from __future__ import annotations

import asyncio

import pytest

from tests.fixtures_box import connect
from tests.integration.runtime.making import BASES, OAK, entry, fresh, made, outcome, transaction

FORMS = pytest.mark.parametrize(
    ("base", "mismatch"), [("", 409), ("/fhir", 412)], ids=["root", "fhir"]
)


@BASES
async def test_a_patch_never_creates(box, base):
    path = f"{base}/Patient/{fresh()}"
    for headers in ({}, {"If-Match": "5"}, {"If-Match": "*"}):
        outcome(await box.client.patch(path, json={"active": True}, headers=headers), 404)
    await box.client.put(path, json=OAK)
    await box.client.delete(path)
    for headers in ({}, {"If-Match": "5"}, {"If-Match": "*"}):
        outcome(await box.client.patch(path, json={"active": True}, headers=headers), 410)
    outcome(await box.client.patch(f"{base}/Nothing/x", json={}), 404)
    outcome(await box.client.patch(f"{base}/Patient/%7B%7Bx%7D%7D", json={}), 404)


@FORMS
async def test_versioned_patch(box, base, mismatch):
    path, before = await made(box, base)
    version = before["meta"]["versionId"]
    for tag in ("1", 'W/"1"', "abc", ""):
        answer = await box.client.patch(path, json={"active": True}, headers={"If-Match": tag})
        assert outcome(answer, mismatch)["issue"][0]["diagnostics"] == "Version Id mismatch"
    taken = await box.client.patch(path, json={}, headers={"If-None-Match": "*"})
    outcome(taken, 412)
    assert (await box.client.get(path)).json() == before
    for tag in (f'W/"1", W/"{version}"', "*"):
        right = await box.client.patch(path, json={"active": True}, headers={"If-Match": tag})
        assert right.status_code == 200


@BASES
async def test_conditional_patch(box, base):
    mrn = fresh()
    path = f"{base}/Patient?identifier=mrn|{mrn}"
    body = {"active": True}
    outcome(await box.client.patch(path, json=body), 404)
    identifier = [{"system": "mrn", "value": mrn}]
    one, before = await made(box, base, identifier=identifier)
    answer = await box.client.patch(
        path + "&_method=merge-patch",
        json=body,
        headers={"content-type": "application/json-patch+json"},
    )
    assert (answer.status_code, answer.json()["id"]) == (200, before["id"])
    assert (await box.client.get(one)).json()["active"] is True
    mismatch = 412 if base else 409
    outcome(await box.client.patch(path, json=body, headers={"If-Match": "1"}), mismatch)
    await made(box, base, identifier=identifier)
    assert outcome(await box.client.patch(path, json=body), 412)["id"] == "multiple-matches"
    for query in ("", "?", "?_method=merge-patch", "?identifier=", "?spam=1"):
        outcome(await box.client.patch(f"{base}/Patient{query}", json=body), 400)


async def test_concurrent_patches_all_count(box):
    """A patch is read, change, write: none may write over another."""
    path, _ = await made(box, "/fhir")
    add = [{"op": "add", "path": "/telecom/-", "value": None}]
    await box.client.patch(path, json={"telecom": [{"value": "first"}]})

    async def patch(number):
        value = {"value": f"n{number}"}
        return await box.client.patch(path, json=[{**add[0], "value": value}])

    answers = await asyncio.gather(*(patch(number) for number in range(60)))
    assert [answer.status_code for answer in answers] == [200] * 60
    read = (await box.client.get(path)).json()
    assert {item["value"] for item in read["telecom"]} == {
        "first", *(f"n{number}" for number in range(60))
    }  # fmt: skip
    assert len({answer.json()["meta"]["versionId"] for answer in answers}) == 60
    history = (await box.client.get(f"{path}/_history?_count=100")).json()
    assert history["total"] == 62


@BASES
async def test_only_one_of_several_patches_passes_its_test(box, base):
    path, _ = await made(box, base, gender="unknown")
    patch = [
        {"op": "test", "path": "/gender", "value": "unknown"},
        {"op": "replace", "path": "/gender", "value": "male"},
    ]
    answers = await asyncio.gather(*(box.client.patch(path, json=patch) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9


@FORMS
async def test_only_one_of_several_versioned_patches_passes(box, base, mismatch):
    path, before = await made(box, base)
    headers = {"If-Match": before["meta"]["versionId"]}
    answers = await asyncio.gather(
        *(box.client.patch(path, json={"active": True}, headers=headers) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [mismatch] * 9


@BASES
async def test_only_one_of_several_conditional_patches_finds_its_criteria(box, base):
    path, before = await made(box, base, gender="unknown")
    query = f"{base}/Patient?_id={before['id']}&gender=unknown"
    answers = await asyncio.gather(
        *(box.client.patch(query, json={"gender": "male"}) for _ in range(8)),
        *(box.client.patch(path, json={"gender": "male"}) for _ in range(2)),
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses[8:] == [200, 200]
    assert statuses[:8].count(200) <= 1
    assert set(statuses[:8]) <= {200, 404}


async def test_patches_racing_deletions_create_nothing(box):
    path, _ = await made(box)

    async def patch():
        return (await box.client.patch(path, json={"active": True})).status_code

    async def delete():
        return (await box.client.delete(path)).status_code

    statuses = await asyncio.gather(*(patch() if n % 4 else delete() for n in range(40)))
    assert set(statuses) <= {200, 204, 410}
    assert (await box.client.get(path)).status_code == 410


@pytest.mark.parametrize("as_entry", [False, True], ids=["request", "entry"])
@pytest.mark.parametrize(("method", "status"), [("PATCH", 404), ("PUT", 201), ("DELETE", 204)])
async def test_criteria_still_hold_when_the_write_happens(box, method, status, as_entry):
    """Somebody changes what the criteria are about while a request has found its resource."""
    path, before = await made(box, "/fhir", gender="unknown")
    query = f"Patient?_id={before['id']}&gender=unknown"
    how, url, body = method, f"/fhir/{query}", OAK
    if as_entry:
        how, url, body = "POST", "/fhir", transaction(entry(method, query, OAK))
    other = await connect(box.environment)
    try:
        async with other.transaction():
            await other.execute(
                "UPDATE patient SET txid = nextval('transaction_id_seq'), "
                """resource = resource || '{"gender": "male"}' WHERE id = $1""",
                before["id"],
            )
            request = asyncio.create_task(box.client.request(how, url, json=body))
            await waiting_for_a_lock(box)
        answer = await request
    finally:
        await other.close()
    if as_entry and answer.status_code == 200:
        (item,) = answer.json()["entry"]
        assert item["response"]["status"] == str(status)
    else:
        assert answer.status_code == status, answer.text
    read = (await box.client.get(path)).json()
    assert (read["gender"], read["name"]) == ("male", before["name"])


async def waiting_for_a_lock(box):
    """Return when a statement of the box waits for a row that another transaction holds."""
    for _ in range(500):
        (row,) = await box.sql(
            "SELECT count(*) AS n FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if row["n"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")
