"""Many at once: no lost update, no gap in a history, versions that rise with time.

Source: core specification, "Storage model"; architecture, "Box runtime", 3.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.fixtures_box import connect
from tests.integration.runtime.making import OAK, entry, fresh, outcome, transaction


def counter(value):
    return {**OAK, "multipleBirthInteger": value}


async def versions_of(box, id_):
    """Return the versions in order of time, oldest first."""
    return await box.sql(
        "SELECT txid, ts, cts, status::text AS status, resource FROM (SELECT * FROM patient UNION ALL "
        "SELECT * FROM patient_history) AS every WHERE id = $1 ORDER BY txid",
        id_,
    )


async def test_two_clients_updating_one_resource(box):
    id_ = fresh()
    first = await box.client.put(f"/fhir/Patient/{id_}", json=counter(0))
    answered = [int(first.json()["meta"]["versionId"])]

    async def write(count):
        for number in range(count):
            answer = await box.client.put(f"/fhir/Patient/{id_}", json=counter(number))
            assert answer.status_code == 200
            answered.append(int(answer.json()["meta"]["versionId"]))

    await asyncio.gather(write(250), write(250))
    rows = await versions_of(box, id_)
    assert [row["txid"] for row in rows] == sorted(answered)
    assert len(set(answered)) == 501
    assert all(one["ts"] < two["ts"] for one, two in itertools.pairwise(rows))
    assert len({row["cts"] for row in rows}) == 1
    assert [row["status"] for row in rows] == ["created"] + ["updated"] * 500
    body = (await box.client.get(f"/fhir/Patient/{id_}/_history?_count=1000")).json()
    assert body["total"] == 501


async def test_versioned_updates_lose_nothing(box):
    """Read, add one, write if unchanged: the sum must be right."""
    id_ = fresh()
    await box.client.put(f"/Patient/{id_}", json={"multipleBirth": {"integer": 0}})

    async def add():
        while True:
            read = (await box.client.get(f"/Patient/{id_}")).json()
            read["multipleBirth"]["integer"] += 1
            version = read["meta"]["versionId"]
            answer = await box.client.put(
                f"/Patient/{id_}", json=read, headers={"If-Match": version}
            )
            if answer.status_code == 200:
                return
            outcome(answer, 409)

    await asyncio.gather(*(add() for _ in range(20)))
    assert (await box.client.get(f"/Patient/{id_}")).json()["multipleBirth"]["integer"] == 20


async def test_creating_deleting_and_updating_one_id(box):
    id_ = fresh()
    statuses = []

    async def put():
        statuses.append((await box.client.put(f"/Patient/{id_}", json=OAK)).status_code)

    async def delete():
        statuses.append((await box.client.delete(f"/fhir/Patient/{id_}")).status_code)

    await asyncio.gather(*(put() if n % 3 else delete() for n in range(90)))
    assert set(statuses) <= {200, 201, 204}
    rows = await versions_of(box, id_)
    assert len(rows) == len(statuses) - statuses.count(204)
    for one, two in itertools.pairwise(rows):
        assert one["ts"] < two["ts"]
        following = {"deleted": {"recreated"}}.get(one["status"], {"updated", "deleted"})
        assert two["status"] in following


async def test_clients_creating_one_id(box):
    id_ = fresh()
    answers = await asyncio.gather(
        *(box.client.post("/Patient", json={**OAK, "id": id_}) for _ in range(10)),
        *(box.client.put(f"/Patient/{fresh()}", json=OAK) for _ in range(5)),
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 6 + [409] * 9


async def test_transactions_that_lock_each_other(box):
    """In opposite orders they deadlock; all succeed in the end, or conflict cleanly."""
    one, two = fresh(), fresh()
    for id_ in (one, two):
        await box.client.put(f"/Patient/{id_}", json=counter(0) | {"multipleBirthInteger": None})

    async def write(ids):
        bundle = transaction(*(entry("PUT", f"/Patient/{id_}", OAK) for id_ in ids))
        answer = await box.client.post("/", json=bundle)
        if answer.status_code != 200:
            outcome(answer, 409)
        return answer.status_code

    statuses = await asyncio.gather(
        *(write((one, two) if n % 2 else (two, one)) for n in range(16))
    )
    done = statuses.count(200)
    assert done >= 8
    for id_ in (one, two):
        rows = await versions_of(box, id_)
        assert len(rows) == done + 1
        assert all(a["ts"] <= b["ts"] for a, b in itertools.pairwise(rows))


async def test_versions_rise_even_when_a_transaction_drew_its_own_early(box):
    """A transaction draws its version first and meets the row later: another writer was faster."""
    id_ = fresh()
    await box.client.put(f"/Patient/{id_}", json=OAK)
    slow = transaction(
        *(entry("POST", "/Basic", {"code": {"text": "x"}}) for _ in range(300)),
        entry("PUT", f"/Patient/{id_}", counter(1) | {"multipleBirthInteger": None}),
        entry("DELETE", f"/Patient/{id_}"),
        entry("PUT", f"/Patient/{id_}", OAK),
    )

    async def quick():
        for _ in range(40):
            await box.client.put(f"/Patient/{id_}", json=OAK)

    answers = await asyncio.gather(
        box.client.post("/", json=slow), quick(), box.client.post("/", json=slow), quick()
    )
    assert [answers[0].status_code, answers[2].status_code] == [200, 200]
    rows = await versions_of(box, id_)
    assert all(a["ts"] < b["ts"] for a, b in itertools.pairwise(rows))
    current = await box.sql("SELECT txid FROM patient WHERE id = $1", id_)
    assert current[0]["txid"] == rows[-1]["txid"]
    body = (await box.client.get(f"/Patient/{id_}/_history?_count=1000")).json()
    assert body["entry"][0]["resource"]["meta"]["versionId"] == str(current[0]["txid"])


async def test_more_requests_than_connections(box):
    answers = await asyncio.gather(*(box.client.get("/fhir/Patient?_count=1") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_transaction_of_two_writers_to_new_ids(box):
    """Both PUT the same new ids in opposite orders: one creates, the other updates."""
    ids = [fresh() for _ in range(6)]
    bundles = [
        transaction(*(entry("PUT", f"/Patient/{id_}", OAK) for id_ in order))
        for order in (ids, ids[::-1])
    ]
    answers = await asyncio.gather(*(box.client.post("/", json=bundle) for bundle in bundles))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert 200 in {answer.status_code for answer in answers}


async def test_many_clients_reading_and_creating_at_once(box):
    made = await asyncio.gather(
        *(
            box.client.post("/fhir/Patient", json={"name": [{"family": f"n{n}"}]})
            for n in range(200)
        )
    )
    assert {answer.status_code for answer in made} == {201}
    patients = [answer.json() for answer in made]
    assert len({patient["meta"]["versionId"] for patient in patients}) == 200
    read = await asyncio.gather(
        *(box.client.get(f"/fhir/Patient/{patient['id']}") for patient in patients),
        box.client.get("/fhir/Patient/nobody"),
    )
    assert [answer.json() for answer in read[:-1]] == patients
    assert read[-1].status_code == 404


async def test_a_create_that_fails_takes_no_other_along(box):
    bodies = [{"resourceType": "Observation", "status": "final", "code": {"text": "x"}}] * 20
    huge = '{"status":"final","code":{"text":"x"},"valueQuantity":{"value":1e999999}}'
    answers = await asyncio.gather(
        *(box.client.post("/fhir/Observation", json=body) for body in bodies),
        box.client.post(
            "/fhir/Observation", content=huge, headers={"content-type": "application/json"}
        ),
    )
    assert [answer.status_code for answer in answers] == [201] * 20 + [422]
    assert "outside the range" in answers[-1].text  # said by PostgreSQL, not by the validator


async def test_a_large_transaction_lets_others_have_their_turn(box):
    entry = {
        "resource": {"resourceType": "Patient"},
        "request": {"method": "POST", "url": "Patient"},
    }
    large = {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * 3000}
    transaction = asyncio.ensure_future(box.client.post("/fhir", json=large))
    answered = 0
    while not transaction.done():
        assert (await box.client.get("/fhir/Patient/nobody")).status_code == 404
        answered += 1
    assert (await transaction).status_code == 200
    # Without turns it is 3 or 4: one each time the transaction waits for the database.
    assert answered > 20


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_single_write_that_loses_a_deadlock_is_run_again(box, method):
    """People change tables by SQL and lock them in other orders than the box does."""
    id_ = fresh()
    made = await box.client.put(f"/Patient/{id_}", json=OAK)
    version = int(made.json()["meta"]["versionId"])
    other = await connect(box.environment)
    try:
        await other.execute("BEGIN")
        await other.execute(
            "INSERT INTO patient_history (id, txid, status, resource) VALUES ($1, $2, 'created', '{}')",
            id_,
            version,
        )
        more = {"json": OAK} if method == "PUT" else {}
        write = asyncio.create_task(box.client.request(method, f"/Patient/{id_}", **more))
        await asyncio.sleep(0.3)  # it holds the row and waits for its place in the history
        await other.execute("UPDATE patient SET ts = ts WHERE id = $1", id_)
        await other.execute("ROLLBACK")
        answer = await write
    finally:
        await other.close()
    assert answer.status_code == 200
    rows = await versions_of(box, id_)
    last = "updated" if method == "PUT" else "deleted"
    assert [row["status"] for row in rows] == ["created", last]
