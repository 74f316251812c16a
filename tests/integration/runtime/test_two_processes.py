"""Two processes of one box write the same resources: nothing is lost, no version is missing.

Real processes on one database, spoken to over sockets.
Source: core specification, "Storage model", "History", "Batch and transaction".
"""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import ExitStack, asynccontextmanager

import httpx
import psycopg
import pytest

from tests.integration.runtime.making import OAK, entry, fresh, transaction
from tests.integration.runtime.processes import ROOT, box_process

SEED = 20200105


@pytest.fixture(scope="module")
def two(box_databases, tmp_path_factory):
    """Return the base URLs of two processes of one box, and the DSN of their database."""
    directory = tmp_path_factory.mktemp("two")
    name = box_databases.create()
    environment = box_databases.environment(name)
    dsn = box_databases.postgres.dsn(box_databases.role, box_databases.password, name)
    with ExitStack() as stack:
        bases = []
        for number in (1, 2):
            log = directory / f"box{number}.log"
            _, client = stack.enter_context(box_process(environment, log))
            bases.append(str(client.base_url))
        yield bases, dsn
        for number in (1, 2):
            assert '"lvl":"error"' not in (directory / f"box{number}.log").read_text()
    box_databases.drop(name)


@asynccontextmanager
async def clients_of(bases, *, each):
    """Give `each` clients of every process."""
    clients = [
        httpx.AsyncClient(base_url=base, auth=ROOT, timeout=60)
        for base in bases
        for _ in range(each)
    ]
    try:
        yield clients
    finally:
        for client in clients:
            await client.aclose()


def versions_of(dsn, table, id_):
    """Return (txid, ts, status) of every version in order, of both tables."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            f"SELECT txid, ts, status::text FROM (SELECT * FROM {table} UNION ALL "
            f"SELECT * FROM {table}_history) AS every WHERE id = %s ORDER BY txid",
            [id_],
        ).fetchall()


def check_past(rows, answered):
    """Look at one resource's versions: each answered one once, a possible story, in time."""
    versions = [row[0] for row in rows]
    assert versions == sorted(set(versions))
    assert sorted(answered) == versions
    for (_, earlier, before), (_, later, after) in itertools.pairwise(rows):
        assert earlier < later
        possible = {"deleted": {"recreated"}}.get(before, {"updated", "deleted"})
        assert after in possible
    assert rows[0][2] == "created"


async def test_everything_at_once(two):
    """Writes of every kind to a few resources: clean answers, and a history without gaps."""
    bases, dsn = two
    ids = [fresh() for _ in range(4)]
    answered = {id_: [] for id_ in ids}
    chance = random.Random(SEED)
    unclean = []

    def note(resource):
        answered[resource["id"]].append(int(resource["meta"]["versionId"]))

    def mark(id_, **more):
        return {**OAK, "resourceType": "Patient", "id": id_, "identifier": [{"value": id_}], **more}

    async def step(client):
        kind = chance.choice(["put", "put", "delete", "seed", "condition", "upsert", "bundle"])
        id_ = chance.choice(ids)
        some = chance.sample(ids, 3)
        if kind == "put":
            answer = await client.put(f"/Patient/{id_}", json=mark(id_))
        elif kind == "delete":
            answer = await client.delete(f"/fhir/Patient/{id_}")
        elif kind == "seed":
            answer = await client.post(f"/Patient?_id={id_}", json=mark(id_))
        elif kind == "condition":
            answer = await client.put(f"/fhir/Patient?identifier={id_}", json=mark(id_))
        elif kind == "upsert":
            answer = await client.put("/", json=[mark(one) for one in some])
        else:
            entries = [
                entry("PUT", f"Patient/{some[0]}", mark(some[0])),
                entry("DELETE", f"Patient/{some[1]}"),
                entry("PUT", f"Patient/{some[2]}", mark(some[2])),
            ]
            answer = await client.post("/fhir", json=transaction(*entries))
        if answer.status_code in {200, 201}:
            body = answer.json()
            if kind == "upsert":
                resources = body
            elif kind == "bundle":
                resources = [item["resource"] for item in body["entry"] if "resource" in item]
            elif kind == "seed" and answer.status_code == 200:
                resources = []  # found, not written
            else:
                resources = [body]
            for resource in resources:
                note(resource)
        elif answer.status_code not in {204, 409, 412}:
            unclean.append((kind, answer.status_code, answer.text[:300]))
        elif answer.status_code != 204:
            assert answer.json()["resourceType"] == "OperationOutcome"

    async def work(client):
        for _ in range(25):
            await step(client)

    async with clients_of(bases, each=5) as clients:
        await asyncio.gather(*map(work, clients))
        assert unclean == []
        for id_ in ids:
            rows = versions_of(dsn, "patient", id_)
            check_past(rows, answered[id_])
            history = (await clients[0].get(f"/Patient/{id_}/_history?_count=1000")).json()
            shown = [int(item["resource"]["meta"]["versionId"]) for item in history["entry"]]
            assert shown == sorted(answered[id_], reverse=True)
            assert history["total"] == len(shown)


@pytest.mark.parametrize("base", ["", "/fhir"])
async def test_versioned_updates_lose_nothing(two, base):
    """Read, add one, write if unchanged, in two processes: the sum is right."""
    bases, _ = two
    id_ = fresh()
    mismatch = 412 if base else 409
    number = "multipleBirthInteger" if base else "multipleBirth"

    def counter(value):
        return {**OAK, number: value if base else {"integer": value}}

    async def add(client):
        for _ in range(10):
            while True:
                read = await client.get(f"{base}/Patient/{id_}")
                value = read.json()[number] if base else read.json()[number]["integer"]
                answer = await client.put(
                    f"{base}/Patient/{id_}",
                    json=counter(value + 1),
                    headers={"If-Match": read.headers["etag"]},
                )
                if answer.status_code == 200:
                    break
                assert answer.status_code == mismatch

    async with clients_of(bases, each=3) as clients:
        await clients[0].put(f"{base}/Patient/{id_}", json=counter(0))
        await asyncio.gather(*map(add, clients))
        end = (await clients[0].get(f"{base}/Patient/{id_}")).json()[number]
        assert end == (60 if base else {"integer": 60})
        history = (await clients[1].get(f"{base}/Patient/{id_}/_history")).json()
        assert history["total"] == 61


async def test_processes_that_start_together_seed_once(two):
    """Conditional creates in both processes: one creates, all others find it."""
    bases, dsn = two
    async with clients_of(bases, each=4) as clients:
        for _ in range(5):
            mrn = fresh()
            patient = {**OAK, "identifier": [{"system": "mrn", "value": mrn}]}
            answers = await asyncio.gather(
                *(
                    client.post(f"/fhir/Patient?identifier=mrn|{mrn}", json=patient)
                    for client in clients
                )
            )
            assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
            assert len({answer.json()["id"] for answer in answers}) == 1
    with psycopg.connect(dsn) as connection:
        (many,) = connection.execute(
            "SELECT count(*) FROM (SELECT resource->'identifier'->0->>'value' AS v, count(*) AS n "
            "FROM patient WHERE resource ? 'identifier' GROUP BY 1 HAVING count(*) > 1 "
            "AND min(resource->'identifier'->0->>'system') = 'mrn') AS twice"
        ).fetchone()
    assert many == 0


async def test_transactions_in_opposite_orders_end_without_a_deadlock(two):
    """Whoever loses is run again: every transaction is answered with success."""
    bases, dsn = two
    ids = [fresh() for _ in range(20)]

    async def write(client, order):
        statuses = []
        for _ in range(6):
            entries = [entry("PUT", f"Patient/{id_}", OAK) for id_ in order]
            answer = await client.post("/", json=transaction(*entries))
            statuses.append(answer.status_code)
        return statuses

    async with clients_of(bases, each=2) as clients:
        orders = [ids, ids[::-1], ids[10:] + ids[:10], ids]
        found = await asyncio.gather(
            *(write(client, order) for client, order in zip(clients, orders, strict=True))
        )
    assert {status for statuses in found for status in statuses} == {200}
    for id_ in ids:
        rows = versions_of(dsn, "patient", id_)
        assert [row[2] for row in rows] == ["created"] + ["updated"] * 23


async def test_a_write_in_one_process_is_read_in_the_other(two):
    bases, _ = two
    async with clients_of(bases, each=1) as clients:
        for number in range(50):
            one, other = clients if number % 2 else reversed(clients)
            id_ = fresh()
            made = await one.put(f"/fhir/Patient/{id_}", json=OAK)
            read = await other.get(f"/fhir/Patient/{id_}")
            assert read.json() == made.json()
            found = await other.get(f"/fhir/Patient?_id={id_}")
            assert found.json()["total"] == 1
