"""AidboxQuery: SQL under a name. Source: search specification, 8 AidboxQuery."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.integration.runtime.making import BASES, batch, entry, fresh, outcome, transaction
from tests.integration.runtime.test_access import bearer
from tests.integration.runtime.test_sql import ATTACKS


async def stored(box, query, **more):
    id_ = fresh()
    answer = await box.client.put(f"/AidboxQuery/{id_}", json={"query": query, **more})
    assert answer.status_code == 201, answer.text
    return id_


async def ask(box, id_, status=200, **params):
    answer = await box.client.get(f"/$query/{id_}", params=params)
    if status != 200:
        return outcome(answer, status)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def patients(box, *families):
    city = uuid.uuid4().hex
    for family in families:
        body = {
            "name": [{"family": family}],
            "birthDate": "1980-02-03",
            "address": [{"city": f"{city} City"}],
        }
        assert (await box.client.put(f"/Patient/{fresh()}", json=body)).status_code == 201
    return city


BY_CITY = {
    "query": "SELECT * FROM patient WHERE resource#>>'{address,0,city}' ILIKE {{params.city}} ORDER BY id LIMIT {{params.count}}",
    "count-query": "SELECT count(*) FROM patient WHERE resource#>>'{address,0,city}' ILIKE {{params.city}}",
    "params": {
        "city": {"isRequired": True, "type": "string", "format": "%%%s%%"},
        "count": {"type": "integer", "default": 10},
    },
}


async def test_the_example_of_the_specification(box):
    city = await patients(box, "Oak", "Elm")
    id_ = await stored(box, **BY_CITY)
    found = await ask(box, id_, city=city)
    assert found["total"] == 2
    assert [row["resource"]["birthDate"] for row in found["data"]] == ["1980-02-03"] * 2
    assert found["query"][1:] == [f"%{city}%", 10]
    assert found["query"][0].count("?") == 2
    assert len((await ask(box, id_, city=city, count="1"))["data"]) == 1
    missing = await ask(box, id_, 422)
    assert missing["issue"][0]["diagnostics"] == "Parameter city is required."
    await ask(box, id_, 400, city=city, count="x")
    await ask(box, fresh(), 404)


@BASES
async def test_a_search_by_query_is_a_bundle(box, base):
    city = await patients(box, "Oak", "Elm")
    id_ = await stored(
        box, **{**BY_CITY, "query": BY_CITY["query"].replace("patient", "{{resourceType}}")}
    )
    answer = await box.client.get(f"{base}/Patient", params={"_query": id_, "city": city})
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"], bundle["total"]) == ("Bundle", "searchset", 2)
    for item in bundle["entry"]:
        path = f"{base}/Patient/{item['resource']['id']}"
        assert item["fullUrl"] == f"http://box.test{path}"
        assert item["search"] == {"mode": "match"}
        assert item["resource"] == (await box.client.get(path)).json()
    assert ("query-sql" in bundle) is not bool(base)
    rows = await stored(box, "SELECT 1 AS n")
    (item,) = (await box.client.get(f"{base}/Patient?_query={rows}")).json()["entry"]
    assert item["resource"] == {"n": 1}
    outcome(await box.client.get(f"{base}/Patient?_query=none-such"), 404)


async def test_values_take_the_type_of_their_place(box):
    id_ = await stored(
        box,
        "SELECT {{params.n}} AS n, {{params.yes}} AS yes, {{params.x}} AS x, {{params.doc}} AS doc, {{params.free}} AS free "
        "WHERE {{params.date}} BETWEEN ('2020-01-01')::date AND ('2020-12-31')::date AND {{params.none}} IS NULL",
        params={
            "n": {"type": "integer"},
            "yes": {"type": "boolean"},
            "x": {"type": "number"},
            "doc": {"type": "object"},
        },
    )
    found = await ask(
        box, id_, n="5", yes="true", x="1.50", doc='{"a":1}', free="7", date="2020-05-05"
    )
    assert found["data"] == [{"n": 5, "yes": True, "x": 1.5, "doc": {"a": 1}, "free": "7"}]
    assert (await ask(box, id_, n="5", date="2021-05-05"))["data"] == []
    for wrong in ({"n": "1.5"}, {"n": "9" * 25}, {"yes": "maybe"}, {"x": "NaN"}, {"doc": "{"}):
        await ask(box, id_, 400, date="2020-05-05", **wrong)


async def test_the_request_is_there_to_ask_for(box):
    id_ = await stored(
        box,
        "SELECT {{client.id}} AS client, {{uri}} AS uri, {{request-method}} AS method, {{scheme}} AS scheme, "
        "{{headers.x-ward}} AS ward, {{headers.authorization}} AS nothing, {{params}}::jsonb AS params, {{user.id}} AS who",
    )
    answer = await box.client.get(f"/$query/{id_}?a=1", headers={"X-Ward": "7"})
    assert answer.json()["data"] == [
        {"client": "root", "uri": f"/$query/{id_}", "method": "get", "scheme": "http", "ward": "7",
         "nothing": None, "params": {"a": "1"}, "who": None}
    ]  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS)
async def test_parameters_are_values_wherever_they_stand(box, text):
    text = text.replace("\0", "")
    id_ = await stored(
        box,
        "SELECT {{params.x}} AS plain, '{{params.x}}' AS quoted, $a$ {{params.x}} $a$ AS dollar, "
        '"{{params.x}}" FROM (SELECT 1 AS "{{params.x}}") s /* {{params.x}} */ WHERE {{params.x}} = {{params.x}} '
        "AND {{params.x}} LIKE '%' -- {{params.x}}",
    )
    (row,) = (await ask(box, id_, x=text))["data"]
    assert row == {
        "plain": text,
        "quoted": "{{params.x}}",
        "dollar": " {{params.x}} ",
        "{{params.x}}": 1,
    }
    inlined = await stored(box, "SELECT count(*) AS n FROM {{resourceType}}")
    answer = await box.client.get(f"/$query/{inlined}", params={"resourceType": text})
    outcome(answer, 422)


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM patient", "UPDATE patient SET txid = 0", "SELECT nextval('transaction_id_seq')", "CREATE TABLE harm (n int)",
        "COMMIT", "ROLLBACK", "SELECT 1; DELETE FROM patient", "SET TRANSACTION READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', false)", "WITH x AS (DELETE FROM patient RETURNING id) SELECT * FROM x",
    ],
)  # fmt: skip
async def test_a_query_only_reads(box, harm):
    id_ = await stored(box, harm)
    before = (await box.client.post("/$sql", json="SELECT count(*), max(txid) FROM patient")).json()
    await ask(box, id_, 422)
    outcome(await box.client.get(f"/Patient?_query={id_}"), 422)
    inside = await box.client.post("/", json=batch(entry("GET", f"/$query/{id_}")))
    assert inside.json()["entry"][0]["response"]["status"] == "422"
    outcome(await box.client.post("/", json=transaction(entry("GET", f"/$query/{id_}"))), 422)
    assert (
        await box.client.post("/$sql", json="SELECT count(*), max(txid) FROM patient")
    ).json() == before


async def test_a_query_of_type_execute_writes_for_those_who_may_write(box):
    table = f"q_{uuid.uuid4().hex[:8]}"
    await box.client.post("/$sql", json=f"CREATE TABLE {table} (n int)")
    id_ = await stored(
        box, f"INSERT INTO {table} VALUES ({{{{params.n}}}}) RETURNING n", type="execute"
    )
    assert (await ask(box, id_, n="3"))["data"] == [{"n": 3}]
    async with box.client_of() as person:
        for role, status in (("reader", 403), ("writer", 200)):
            answer = await person.get(f"/$query/{id_}?n=4", headers=bearer(role=role))
            assert answer.status_code == status
            answer = await person.get(f"/Patient?_query={id_}&n=5", headers=bearer(role=role))
            assert answer.status_code == status
    assert (
        await box.client.post("/$sql", json=f"SELECT array_agg(n ORDER BY n) AS n FROM {table}")
    ).json() == [{"n": [3, 4, 5]}]


async def test_rights(box):
    id_ = await stored(box, "SELECT 1 AS n")
    async with box.client_of() as person:
        assert (await person.get(f"/$query/{id_}")).status_code == 403
        reader = bearer(role="reader")
        assert (await person.get(f"/$query/{id_}", headers=reader)).status_code == 200
        assert (await person.get(f"/$query/{id_}?_explain=true", headers=reader)).status_code == 403
        assert (await person.get(f"/Client?_query={id_}", headers=reader)).status_code == 403
        for role, status in (("reader", 403), ("writer", 403), ("admin", 200)):
            answer = await person.post(
                "/$query/$debug",
                json={"query": {"query": "SELECT 1 AS n"}},
                headers=bearer(role=role),
            )
            assert answer.status_code == status
    outcome(await box.client.get(f"/fhir/$query/{id_}"), 404)


async def test_plans_and_debugging(box):
    id_ = await stored(box, **BY_CITY)
    found = await ask(box, id_, city="x", _explain="true")
    assert found.keys() == {"plan", "ctx", "query"}
    assert "Execution Time" in found["plan"]
    assert found["ctx"]["params"]["city"] == "%x%"
    query = {
        "query": "SELECT {{params.a}} AS a FROM {{resourceType}} LIMIT 0",
        "params": {"a": {"type": "integer"}},
    }
    answer = await box.client.post(
        "/$query/$debug", json={"query": query, "params": {"a": "1"}, "resourceType": "Patient"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == []
    assert answer.json()["ctx"]["params"] == {"a": 1}
    for body in (
        {},
        {"query": 1},
        {"query": {}},
        {"query": {"query": "SELEC"}},
        {"query": query, "resourceType": "x; DROP"},
    ):
        outcome(await box.client.post("/$query/$debug", json=body), 422)


async def test_failures_quote_no_rows_and_a_limit_of_time_holds(box):
    city = await patients(box, "Secretname")
    id_ = await stored(
        box,
        "SELECT (resource#>>'{name,0,family}')::int FROM patient WHERE resource#>>'{address,0,city}' = {{params.city}} || ' City'",
    )
    failed = await ask(box, id_, 422, city=city)
    assert "Secretname" not in json.dumps(failed)
    assert "invalid input syntax for type integer" in failed["issue"][0]["diagnostics"]
    assert city not in box.log.read_text()
    slow = await stored(box, "SELECT pg_sleep(20)")
    assert (await ask(box, slow, 504, _timeout="100"))["issue"][0]["code"] == "timeout"
    for wrong in ("x", "0", "-1", "9" * 20):
        await ask(box, slow, 400, _timeout=wrong)
