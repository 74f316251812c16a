"""Any SQL, for those who may do everything. Source: search specification, 11.1."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.integration.runtime.making import BASES, OAK, batch, entry, fresh, outcome, transaction
from tests.integration.runtime.test_access import bearer


def table():
    return f"x_{uuid.uuid4().hex[:10]}"


async def run(box, body, **options):
    answer = await box.client.post("/$sql", json=body, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def psql(box, query, **options):
    answer = await box.client.post("/$psql", json={"query": query}, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_rows_are_objects_of_json_values(box):
    (row,) = await run(
        box,
        "SELECT 9007199254740993::bigint AS big, '{\"a\":[1,2.50]}'::jsonb AS doc, "
        "'2020-01-05T10:11:12.5+00'::timestamptz AS ts, '2020-01-05'::date AS day, 1.50 AS amount, "
        "NULL::text AS nothing, true AS yes, ARRAY['a', NULL] AS list, 'NaN'::float8 AS nan, "
        "ARRAY['{\"b\":1}'::jsonb] AS docs, 'infinity'::timestamptz AS ever, '0044-03-15 BC'::date AS ides, "
        "'1 day'::interval AS span, int4range(1, 5) AS range, '\\xff'::bytea AS bytes, "
        "'{\"c\":1}'::json AS plain, gen_random_uuid() IS NOT NULL AS has, B'101' AS bits, "
        "'10.0.0.1'::inet AS net, 'a b'::tsvector AS words, '<a/>'::text AS x, point(1,2)::text AS p",
    )
    assert row == {
        "big": 9007199254740993, "doc": {"a": [1, 2.5]}, "ts": "2020-01-05T10:11:12.5Z",
        "day": "2020-01-05", "amount": 1.5, "nothing": None, "yes": True, "list": ["a", None],
        "nan": "nan", "docs": [{"b": 1}], "ever": "infinity", "ides": "0044-03-15 BC",
        "span": "P1D", "range": "[1,5)", "bytes": "\\xff", "plain": {"c": 1}, "has": True,
        "bits": "101", "net": "10.0.0.1", "words": "'a' 'b'", "x": "<a/>", "p": "(1,2)",
    }  # fmt: skip


async def test_a_whole_row_has_its_document(box):
    id_ = fresh()
    await box.client.put(f"/Patient/{id_}", json=OAK)
    (row,) = await run(box, ["SELECT p FROM patient p WHERE id = ?", id_])
    assert row["p"]["id"] == id_
    assert row["p"]["resource"] == {"name": [{"family": "Oak"}]}


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json", '"SELECT 1 AS n"'),
        ("application/json", '["SELECT ?::int AS n", 1]'),
        ("text/yaml", "SELECT 1 AS n"),
        ("text/yaml", "|-\n  SELECT 1\n  AS n"),
        ("text/yaml", "['SELECT ?::int AS n', 1]"),
        ("text/yaml", "- SELECT ?::int AS n\n- 1"),
        ("text/yaml", """SELECT '{"a": {"n": 1}}'::jsonb #>> '{a,n}' = '1' AND 1 = 1 AS n"""),
        ("text/plain", "SELECT 1 AS n;\n"),
        (None, "SELECT 1 AS n"),
        (None, '"SELECT 1 AS n"'),
    ],
)
async def test_forms_of_the_body(box, media, body):
    headers = {} if media is None else {"content-type": media}
    answer = await box.client.post("/$sql", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json() == [{"n": 1}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": "SELECT 1"}, 422), ([], 422), ("", 422), ([1], 422), (5, 422), (None, 422),
        (["SELECT ?"], 422), (["SELECT ?", 1, 2], 422), ("SELECT 1\0", 422), (["SELECT ?", "a\0"], 422),
        ("SELEC 1", 422), ("SELECT * FROM no_such_table", 422), ("SELECT 1/0", 422),
        ("SELECT $1", 422), ("COPY patient TO STDOUT", 422), ("COPY patient FROM STDIN", 422),
        (["SELECT ?::int", "x"], 422), (["SELECT " + "?," * 40_000 + "1", *["x"] * 40_000], 422),
    ],
)  # fmt: skip
async def test_what_cannot_run_is_refused(box, body, status):
    outcome(await box.client.post("/$sql", json=body), status)
    assert await run(box, "SELECT 1 AS n") == [{"n": 1}]


async def test_a_failure_carries_the_message_and_the_position(box):
    failed = outcome(await box.client.post("/$sql", json="SELECT nope FROM patient"), 422)
    assert failed["issue"][0]["diagnostics"] == 'column "nope" does not exist (position 8)'


async def test_statements_without_rows_tell_how_many_they_changed_and_are_committed(box):
    name = table()
    assert await run(box, f"CREATE TABLE {name} (n int)") == [{"update-count": 0}]
    assert await run(box, f"INSERT INTO {name} VALUES (1), (2)") == [{"update-count": 2}]
    assert await run(box, [f"DELETE FROM {name} WHERE n = ?", 1]) == [{"update-count": 1}]
    assert await run(box, f"INSERT INTO {name} VALUES (3) RETURNING n") == [{"n": 3}]
    assert await run(box, f"SELECT n FROM {name} WHERE n > 9") == []
    assert await run(box, f"VACUUM {name}") == [{"update-count": 0}]
    assert await run(box, f"TRUNCATE {name}; INSERT INTO {name} VALUES (7); TABLE {name};") == [
        {"n": 7}
    ]
    outcome(await box.client.post("/$sql", json=f"DELETE FROM {name}; SELECT 1/0"), 422)
    assert await run(box, f"SELECT count(*) FROM {name}") == [{"count": 1}]
    await run(box, f"DROP TABLE {name}")


ATTACKS = (
    "'",
    "'; DROP TABLE patient; --",
    "\\'",
    '"',
    "$$",
    "$1",
    "?",
    "{{params.x}}",
    "--",
    "/*",
    "\u2019",
    "E'\\''",
)


@pytest.mark.parametrize("text", ATTACKS)
async def test_parameters_are_values_wherever_they_stand(box, text):
    (row,) = await run(
        box,
        [
            ("SELECT ? AS plain, ARRAY[?, '?'] AS list, jsonb_build_object('k', ?) AS doc, "
            "'it''s ? ' || ? AS joined /* ? */, $q$ ? $q$ AS quoted, E'\\'?' AS escaped, "
            "'{\"a\":1}'::jsonb ?? 'a' AS has, \"?\" FROM (SELECT 1 AS \"?\") AS s WHERE ? = ? -- ?"),
            *[text] * 4, text, text,
        ],
    )  # fmt: skip
    assert row == {
        "plain": text, "list": [text, "?"], "doc": {"k": text}, "joined": "it's ? " + text,
        "quoted": " ? ", "escaped": "'?", "has": True, "?": 1,
    }  # fmt: skip


async def test_parameters_take_the_type_of_their_place(box):
    (row,) = await run(
        box,
        [
            ("SELECT 1 AS n WHERE ? BETWEEN '2020-01-01'::date AND now() AND ? = ANY(?) AND ?::jsonb @> ? "
            "AND ? > 1.5 AND ? IS NULL AND ? AND 3::smallint = ? AND 'b' = ANY(?) LIMIT ?"),
            "2020-05-05", 2, [1, 2], {"a": 1, "b": 2}, {"a": 1}, 1.6, None, True, 3, ['a,"', "b"], 1,
        ],
    )  # fmt: skip
    assert row == {"n": 1}
    assert await run(box, ["SELECT ? AS n, ? AS m, ? AS yes", 5, 1.5, True]) == [
        {"n": 5, "m": 1.5, "yes": True}
    ]


async def test_what_a_session_does_to_itself_reaches_nobody_else(box):
    for harm in (
        "SET statement_timeout = 1", "SET search_path = pg_catalog", "SELECT pg_advisory_lock(77)",
        "CREATE TEMP TABLE patient (id text)", "BEGIN; DELETE FROM patient", "SET default_transaction_read_only = on",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "PREPARE p AS SELECT 1", "LISTEN box_changes",
    ):  # fmt: skip
        await run(box, harm)
    answers = await asyncio.gather(*(box.client.post("/Patient", json=OAK) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    (locks,) = await box.sql(
        "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND objid = 77"
    )
    assert locks["n"] == 0


async def test_a_statement_that_takes_too_long_is_504_and_leaves_a_sound_box(make_box):
    async with make_box(BOX_DB_STATEMENT_TIMEOUT="300") as box:
        failed = outcome(await box.client.post("/$sql", json="SELECT pg_sleep(20)"), 504)
        assert failed["issue"][0]["code"] == "timeout"
        assert await run(box, "SELECT 1 AS n") == [{"n": 1}]


@pytest.mark.parametrize("path", ["/$sql", "/$psql", "/db/migrations"])
async def test_only_administrators_run_sql(box, path):
    body = {"/$sql": "SELECT 1", "/$psql": {"query": "SELECT 1"}, "/db/migrations": []}[path]
    async with box.client_of() as person:
        assert (await person.post(path, json=body)).status_code == 403
        for role, status in (("reader", 403), ("writer", 403), ("admin", 200), ("owner", 200)):
            answer = await person.post(path, json=body, headers=bearer(role=role))
            assert answer.status_code == status, role
            sneaky = batch(entry("POST", path, body))
            answer = await person.post("/", json=sneaky, headers=bearer(role=role))
            if answer.status_code == 200:
                assert answer.json()["entry"][0]["response"]["status"] == str(status), role
    outcome(await box.client.post(f"/fhir{path}", json=body), 404)
    assert (await box.client.put(path, json=body)).status_code == 405


async def test_the_log_tells_what_ran_without_values(box):
    await run(
        box,
        ["SELECT ? AS a, 'Secretperson', E'a\\'Secretperson' /* Secretperson */", "Secretperson"],
    )
    outcome(await box.client.post("/$sql", json="SELECT 'Secretperson'::int"), 422)
    outcome(await box.client.post("/$sql", json="SELECT 'Secretperson"), 422)
    ran, failed, broken = [
        e
        for e in box.events()
        if "a, ?" in e.get("sql", "") or e.get("state") in {"22P02", "42601"}
    ][-3:]
    assert (ran["ev"], failed["ev"], broken["ev"]) == ("db/q", "db/ex", "db/ex")
    assert ran["ctx"]
    assert "Secretperson" not in box.log.read_text()


# /$psql ----------------------------------------------------------------------------------------


async def test_psql_as_test_tooling_uses_it(box):
    (before,) = await psql(box, "SELECT last_value FROM transaction_id_seq;")
    assert before["status"] == "success"
    assert before["query"] == "SELECT last_value FROM transaction_id_seq;"
    assert isinstance(before["duration"], int)
    last = before["result"][0]["last_value"]
    path = f"/Patient/{fresh()}"
    await box.client.put(path, json=OAK)
    (undone,) = await psql(
        box, f"DELETE FROM patient WHERE txid > {last}", params={"execute": "true"}
    )
    assert undone["status"] == "success"
    assert (await box.client.get(path)).status_code == 404
    functions = f"CREATE FUNCTION {table()}() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$"
    (made,) = await psql(box, functions, params={"execute": "true"})
    assert made["status"] == "success"
    (called,) = await psql(box, "SELECT 5 AS five", params={"execute": "true"})
    assert called["result"] == [{"five": 5}]


async def test_psql_answers_each_part_for_itself(box):
    first, second, third = await psql(
        box, "SELECT 1 AS n\n----\nSELECT nope\n----\n\n----\nSELECT '----' AS s"
    )
    assert (first["status"], first["result"]) == ("success", [{"n": 1}])
    assert second == {"status": "error", "query": "SELECT nope",
                      "error": 'ERROR: column "nope" does not exist\n  Position: 8'}  # fmt: skip
    assert third["result"] == [{"s": "----"}]


@pytest.mark.parametrize(
    "body", [{}, {"query": ""}, {"query": 5}, {"query": ["SELECT 1"]}, {"query": "\0"}]
)
async def test_psql_without_a_query_is_refused(box, body):
    outcome(await box.client.post("/$psql", json=body), 422)


async def test_truncated_tables_are_empty_for_the_next_request(own_box):
    box = own_box
    path = f"/Appointment/{fresh()}"
    body = {"status": "proposed", "participant": [{"status": "accepted"}]}
    await box.client.put(path, json=body)
    assert (await box.client.get("/Appointment")).json()["total"] == 1
    await psql(box, "TRUNCATE appointment, appointment_history")
    assert (await box.client.get("/Appointment")).json()["total"] == 0
    assert (await box.client.get(path)).status_code == 404
    assert (await box.client.put(path, json=body)).status_code == 201
    assert (await box.client.get("/Appointment")).json()["total"] == 1


@BASES
async def test_sql_in_a_transaction_is_part_of_it(box, base):
    id_ = fresh()
    ask = entry("POST", "/$sql", ["SELECT count(*) AS n FROM patient WHERE id = ?", id_])
    create = entry("PUT", f"Patient/{id_}", OAK)
    bundle = transaction(*((create, ask) if not base else (ask, create)))
    answer = await box.client.post(f"{base}/", json=bundle)
    assert answer.status_code == 200, answer.text
    rows = [e["resource"] for e in answer.json()["entry"] if isinstance(e.get("resource"), list)]
    assert rows == [[{"n": 0 if base else 1}]]
    name = table()
    failing = transaction(
        entry("POST", "/$sql", f"CREATE TABLE {name} (n int)"),
        entry("POST", "Patient", {"wrong": 1}),
    )
    outcome(await box.client.post(f"{base}/", json=failing), 422)
    assert await run(box, ["SELECT to_regclass(?)::text AS t", name]) == [{"t": None}]


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT",
        "ROLLBACK",
        "commit; SELECT 1",
        "/* x */ END",
        "BEGIN",
        "ROLLBACK TO SAVEPOINT box_part",
    ],
)
async def test_sql_cannot_end_the_transaction_it_is_in(box, sql):
    id_ = fresh()
    bundle = transaction(entry("PUT", f"Patient/{id_}", OAK), entry("POST", "/$sql", sql))
    outcome(await box.client.post("/", json=bundle), 422)
    assert (await box.client.get(f"/Patient/{id_}")).status_code == 404


async def test_psql_that_fails_in_a_transaction_fails_alone(box):
    id_ = fresh()
    bundle = transaction(
        entry("POST", "/$psql", {"query": "SELECT nope"}),
        entry("PUT", f"Patient/{id_}", OAK),
        entry("POST", "/$psql", {"query": "SET statement_timeout = 1; SELECT 2 AS n"}),
    )
    answer = await box.client.post("/", json=bundle)
    assert answer.status_code == 200, answer.text
    assert [answer.json()["entry"][n]["resource"][0]["status"] for n in (0, 2)] == [
        "error",
        "success",
    ]
    assert (await box.client.get(f"/Patient/{id_}")).status_code == 200
    assert (await run(box, "SHOW statement_timeout")) == [{"statement_timeout": "1min"}]
