"""SQL that runs once, and how an application starts up with it.

Source: search specification, 11.1; core specification, "Wire expectations of existing clients".
"""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.integration.runtime.making import BASES, entry, fresh, outcome, transaction


def name():
    return f"m_{uuid.uuid4().hex[:10]}"


def creating(table):
    return {
        "id": f"create-{table}",
        "sql": f"CREATE TABLE {table} (n int); INSERT INTO {table} VALUES (1)",
    }


async def migrate(box, *migrations):
    answer = await box.client.post("/db/migrations", json=list(migrations))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def count(box, table):
    return (await box.client.post("/$sql", json=f"SELECT count(*) FROM {table}")).json()[0]["count"]


async def test_a_migration_runs_once(box):
    one, two = name(), name()
    (ran,) = await migrate(box, creating(one))
    assert ran.keys() == {"id", "ts", "sql"}
    assert (ran["id"], ran["sql"]) == (creating(one)["id"], creating(one)["sql"])
    assert await migrate(box, creating(one)) == []
    assert [
        each["id"] for each in await migrate(box, creating(one), creating(two), creating(two))
    ] == [f"create-{two}"]
    assert await count(box, one) == await count(box, two) == 1
    listed = (await box.client.get("/db/migrations")).json()
    assert listed[-2:][0] == ran
    assert listed[-1]["id"] == f"create-{two}"


async def test_dollar_quoted_bodies_and_several_statements(box):
    function = name()
    body = f"""
      CREATE FUNCTION {function}(n int) RETURNS int LANGUAGE plpgsql AS $body$
      BEGIN
        RETURN n + 1; -- ; '
      END $body$;
      CREATE FUNCTION {function}_b(n int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN n > 0 THEN 1 END; END;
      DO $$ BEGIN PERFORM 1; END $$;
    """
    assert len(await migrate(box, {"id": function, "sql": body})) == 1
    rows = (
        await box.client.post("/$sql", json=f"SELECT {function}(1) AS a, {function}_b(1) AS b")
    ).json()
    assert rows == [{"a": 2, "b": 1}]


@pytest.mark.parametrize(
    "bad",
    [
        "SELECT nope",
        "CREATE TABLE {t}_x (n int); SELECT 1/0",
        "COMMIT",
        "SELECT 1; ROLLBACK",
        "COPY patient TO STDOUT",
        "VACUUM",
    ],
)
async def test_the_first_failure_stops_and_earlier_ones_stay(box, bad):
    one, two = name(), name()
    broken = {"id": f"bad-{one}", "sql": bad.format(t=one)}
    failed = await box.client.post("/db/migrations", json=[creating(one), broken, creating(two)])
    assert outcome(failed, 422)["issue"][0]["expression"] == ["[1].sql"]
    assert await count(box, one) == 1
    (row,) = (
        await box.client.post(
            "/$sql",
            json=[
                "SELECT to_regclass(?) IS NULL AND to_regclass(?) IS NULL AS gone",
                f"{one}_x",
                two,
            ],
        )
    ).json()
    assert row == {"gone": True}
    ids = [each["id"] for each in (await box.client.get("/db/migrations")).json()]
    assert broken["id"] not in ids
    assert [each["id"] for each in await migrate(box, {**broken, "sql": "SELECT 1"})] == [
        broken["id"]
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        "x",
        [5],
        [{}],
        [{"id": 1, "sql": "SELECT 1"}],
        [{"id": "a"}],
        [{"id": "a", "sql": ""}],
        [{"id": "", "sql": "SELECT 1"}],
        [{"id": "a\0", "sql": "SELECT 1"}],
    ],
)
async def test_what_is_no_migration_is_refused_before_any_runs(box, body):
    one = name()
    sent = [creating(one), *body] if isinstance(body, list) else body
    outcome(await box.client.post("/db/migrations", json=sent), 422)
    assert creating(one)["id"] not in {
        each["id"] for each in (await box.client.get("/db/migrations")).json()
    }


async def test_applications_that_start_together_run_each_migration_once(box):
    table = name()
    await migrate(box, {"id": table, "sql": f"CREATE TABLE {table} (n int)"})
    more = {"id": f"{table}-2", "sql": f"INSERT INTO {table} SELECT 1 FROM pg_sleep(0.1)"}
    answers = await asyncio.gather(
        *(box.client.post("/db/migrations", json=[more]) for _ in range(5))
    )
    assert sorted(len(answer.json()) for answer in answers) == [0, 0, 0, 0, 1]
    assert await count(box, table) == 1


@BASES
async def test_an_application_starts_up_twice(box, base):
    app, seed, table = fresh(), fresh(), name()
    for fresh_ones in ([creating(table)["id"]], []):
        made = await box.client.put(
            f"/App/{app}",
            json={
                "type": "app",
                "apiVersion": 1,
                "endpoint": {"type": "http-rpc", "url": "http://app.test", "secret": "x"},
            },
        )
        assert made.status_code in {200, 201}, made.text
        seeds = transaction(
            entry("POST", f"Patient?_id={seed}", {"resourceType": "Patient", "id": seed})
        )
        answer = await box.client.post(f"{base}/", json=seeds)
        assert answer.status_code == 200, answer.text
        bundle = transaction(entry("POST", "/db/migrations", [creating(table)]))
        answer = await box.client.post(f"{base}/", json=bundle)
        assert answer.status_code == 200, answer.text
        (item,) = answer.json()["entry"]
        assert [each["id"] for each in item["resource"]] == fresh_ones
        assert item["response"]["status"] == "200"
    assert await count(box, table) == 1
    assert (await box.client.get(f"/Patient/{seed}")).json()["meta"]["versionId"]


async def test_a_migration_of_a_transaction_that_fails_never_ran(box):
    table = name()
    bundle = transaction(
        entry("POST", "/db/migrations", [creating(table)]), entry("POST", "Patient", {"wrong": 1})
    )
    outcome(await box.client.post("/", json=bundle), 422)
    assert len(await migrate(box, creating(table))) == 1
    bad = transaction(entry("POST", "/db/migrations", [{"id": f"{table}-bad", "sql": "COMMIT"}]))
    assert outcome(await box.client.post("/", json=bad), 422)["issue"][0]["expression"][
        0
    ].startswith("Bundle.entry[0]")
