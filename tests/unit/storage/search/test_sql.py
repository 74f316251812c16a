"""The SQL of each kind of test: golden texts, so that a change of plan is seen in review.

Source: search specification, 4 to 7.
"""

import re

import pytest

from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.search.parse import parse_search
from boxruntime.http.target import parse_query
from boxruntime.storage.search.compile import (
    compile_count,
    compile_estimate,
    compile_ids,
    compile_matches,
    compile_search,
)
from boxruntime.storage.search.indexes import default_indexes
from boxruntime.storage.search.statement import Binder, Statement


@pytest.fixture(scope="module")
def metadata():
    return base_metadata("4.0.1")


@pytest.fixture
def query(metadata):
    def run(url, dialect=Dialect.FHIR, *, strict=True):
        type_name, _, text = url.partition("?")
        return parse_search(
            metadata, type_name or None, parse_query(text.encode()), dialect, strict=strict
        )

    return run


GOLDEN = [
    ("Patient?_id=a", '"patient".id = $1::text', ("a",)),
    ("Patient?_id=a,b", '"patient".id = ANY($1::text[])', (["a", "b"],)),
    ("Patient?gender=male", "R @> $1::text::jsonb", ('{"gender":"male"}',)),
    ("Patient?active=true", "R @> $1::text::jsonb", ('{"active":true}',)),
    ("Patient?active=x", "false", ()),
    ("Patient?gender:not=a,b", "((R @> $1::text::jsonb OR R @> $2::text::jsonb)) IS NOT TRUE", ('{"gender":"a"}', '{"gender":"b"}')),
    ("Patient?identifier=s|1", "R @> $1::text::jsonb", ('{"identifier":[{"system":"s","value":"1"}]}',)),
    ("Patient?identifier:of-type=s|c|1", "R @> $1::text::jsonb", ('{"identifier":[{"type":{"coding":[{"system":"s","code":"c"}]},"value":"1"}]}',)),
    ("Patient?phone=5", "R @> $1::text::jsonb", ('{"telecom":[{"system":"phone","value":"5"}]}',)),
    ("Observation?code=s|c", "R @> $1::text::jsonb", ('{"code":{"coding":[{"system":"s","code":"c"}]}}',)),
    ("Observation?code=|c", "(R @> $1::text::jsonb AND EXISTS (SELECT 1 FROM jsonb_path_query(R, '$.\"code\".\"coding\"[*] ? (@ != null)') AS t1 WHERE t1 ->> 'code' = $2::text AND t1 ->> 'system' IS NULL))", ('{"code":{"coding":[{"code":"c"}]}}', "c")),
    ("Patient?gender:missing=true", "NOT jsonb_path_exists(R, '$.\"gender\"[*] ? (@ != null)')", ()),
    ("Patient?organization=o1", "R @> $1::text::jsonb", ('{"managingOrganization":{"id":"o1"}}',)),
    ("Patient?organization=Organization/o1", "R @> $1::text::jsonb", ('{"managingOrganization":{"resourceType":"Organization","id":"o1"}}',)),
    ("Patient?general-practitioner=http://x/y", "R @> $1::text::jsonb", ('{"generalPractitioner":[{"uri":"http://x/y"}]}',)),
    ("Observation?subject=Patient/p", "((R #>> '{subject,id}') = $1::text AND (R #>> '{subject,resourceType}') = $2::text)", ("p", "Patient")),
    ("Patient?birthdate=lt2020", "box_date_range((R #> '{birthDate}')) && tstzrange(NULL, $1::text::timestamptz, '[]') AND box_date_lo((R #> '{birthDate}')) < $1::text::timestamptz", ("2020-01-01T00:00:00.000000Z",)),
    ("RiskAssessment?probability=gt0.5", "EXISTS (SELECT 1 FROM jsonb_path_query(R, '$.\"prediction\".\"probability\".\"decimal\"[*] ? (@ != null)') AS t1 WHERE box_number_range(t1) && numrange($1::text::numeric, NULL, '()'))", None),
    ("Observation?value-quantity=5||mg", "(R @> $1::text::jsonb OR R @> $2::text::jsonb) AND EXISTS (SELECT 1 FROM jsonb_path_query(R, '$.\"value\".\"Quantity\"[*] ? (@ != null)') AS t1 WHERE (box_number_range(t1) <@ numrange($3::text::numeric, $4::text::numeric) AND (t1 @> $5::text::jsonb OR t1 @> $6::text::jsonb)))", None),
    ("ValueSet?url=http://x", "R @> $1::text::jsonb", ('{"url":"http://x"}',)),
    ("Patient?family:exact=Lee", "R @> $1::text::jsonb", ('{"name":[{"family":"Lee"}]}',)),
    ("Patient?.name.0.family=x", "(R #>> $1::text[]) = $2::text", (["name", "0", "family"], "x")),
    ("Patient?.birthDate::date$gt=2020", "((R #>> $1::text[]))::date > $2::text::date", (["birthDate"], "2020")),
    ("Patient?_ilike=a+b", "((\"patient\".id || ' ' || R::text) ILIKE '%' || $1::text || '%' AND (\"patient\".id || ' ' || R::text) ILIKE '%' || $2::text || '%')", ("a", "b")),
    ("Patient?deceased=true", "(jsonb_path_exists(R, '$.\"deceased\".\"boolean\"[*] ? (@ != null && (@.type() != \"boolean\" || @ == true))') OR jsonb_path_exists(R, '$.\"deceased\".\"dateTime\"[*] ? (@ != null && (@.type() != \"boolean\" || @ == true))'))", ()),
    ("Group?_has:Patient:organization:_id=x", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("url", "where", "parameters"), [g for g in GOLDEN if g[1] is not None])
def test_conditions(query, url, where, parameters):
    statement = compile_count(query(url))
    table = '"' + url.partition("?")[0].lower() + '"'
    head = f"SELECT count(*) AS total FROM {table} WHERE "
    assert statement.sql.startswith(head)
    text = statement.sql.removeprefix(head).replace(f"{table}.resource", "R")
    if parameters is None:
        assert where in text
    else:
        assert text == where
        assert statement.parameters == parameters


def test_root_strings_use_the_documented_expression(query):
    statement = compile_count(query("Patient?name=lee", Dialect.AIDBOX))
    assert (
        'aidbox_text_search(knife_extract_text("patient".resource, '
        '\'[["name", "family"], ["name", "given"], ["name", "prefix"], '
        '["name", "suffix"], ["name", "text"]]\')) ILIKE \'% \' || box_like($1::text) || \'%\''
    ) in statement.sql


def test_the_index_on_names_has_the_expression_of_the_search(query, metadata):
    (index,) = [i for i in default_indexes(metadata) if "patient_name_idx" in i]
    expression = re.search(r"aidbox_text_search\(.*\]'\)\)", index)[0]
    for url in ("Patient?name=lee", "Patient?family=lee", "Patient?given=lee"):
        for dialect in Dialect:
            sql = compile_count(query(url, dialect)).sql.replace('"patient".resource', "resource")
            assert expression in sql


def test_indexes_have_the_expressions_of_searches(query, metadata):
    indexes = {i for i in default_indexes(metadata) if 'ON "observation"' in i}
    sql = compile_search(query("Observation?patient=p&date=ge2020&_sort=-date")).sql
    sql = sql.replace('"observation".resource', "resource")
    for name in ("subject", "date", "period"):
        (index,) = [i for i in indexes if f"observation_{name}_idx" in i]
        for expression in re.findall(
            r"box_date_\w+\(coalesce\([^:]*?instant\}'\)\)\)|\(resource #>> '\{subject,id\}'\)",
            index,
        ):
            assert expression in sql


def test_every_index_statement_can_be_repeated_and_is_named_once(metadata):
    statements = list(default_indexes(metadata))
    assert all(s.startswith("CREATE INDEX IF NOT EXISTS ") for s in statements)
    names = [s.split('"')[1] for s in statements]
    assert len(names) == len(set(names))
    assert max(len(name) for name in names) <= 63


def test_pages_bind_their_limits(query):
    statement = compile_search(query("Patient?_count=7&page=3"))
    assert statement.sql.endswith('ORDER BY "patient".id LIMIT $1::bigint OFFSET $2::bigint')
    assert statement.parameters == (7, 14)
    assert compile_search(query("Patient?_count=7&_total=none")).parameters == (8, 0)


def test_the_order_ends_with_the_id(query):
    sql = compile_search(query("Patient?_sort=-birthdate")).sql
    assert 'DESC NULLS LAST, "patient".id LIMIT' in sql
    sql = compile_search(query("Patient?_sort=-_lastUpdated")).sql
    assert 'ORDER BY "patient".ts DESC, "patient".id DESC LIMIT' in sql


def test_find_ids_stops_at_two(query):
    statement = compile_ids(query("Patient?gender=male"))
    assert statement.sql == (
        'WITH matches AS MATERIALIZED (SELECT "patient".id, "patient".txid FROM "patient" '
        'WHERE "patient".resource @> $1::text::jsonb) SELECT id, txid FROM matches LIMIT $2::bigint'
    )
    assert statement.parameters == ('{"gender":"male"}', 2)


def test_matching_rows_are_asked_for_by_id(query):
    statement = compile_matches(query("Patient?gender=male"), "Patient", ["a"])
    assert statement.sql.startswith(
        'SELECT "patient".id FROM "patient" WHERE "patient".id = $1::text AND'
    )
    assert "false" in compile_matches(query("Patient"), "Group", ["a"]).sql


def test_estimates_ask_the_planner(query):
    assert compile_estimate(query("Patient?gender=male")).sql.startswith(
        "EXPLAIN (FORMAT JSON) SELECT 1 FROM"
    )


def test_unused_parameters_are_dropped_and_the_rest_numbered_as_they_appear():
    binder = Binder()
    binder.text("unused")
    second, third = binder.text("b"), binder.text("c")
    statement = binder.statement(f"SELECT {third}, '$2::text', {second}, {third}")
    assert statement == Statement("SELECT $1::text, '$2::text', $2::text, $1::text", ("c", "b"))


def test_jdbc_form_doubles_operators_and_repeats_values():
    statement = Statement("SELECT 'a?' WHERE r ?| '{x}' AND a = $1::text AND b = $1::text", ("v",))
    assert statement.as_jdbc() == [
        "SELECT 'a?' WHERE r ??| '{x}' AND a = ?::text AND b = ?::text", "v", "v",
    ]  # fmt: skip


@pytest.mark.parametrize("dialect", list(Dialect))
def test_values_never_reach_the_sql_text(query, dialect):
    evil = "zz'\"; DROP TABLE patient; --$1"
    escaped = evil.replace("$", "\\$")
    plain = evil.replace('"', "")  # an open phrase is refused
    urls = [
        f"Patient?name={evil}", f"Patient?name:exact={evil}", f"Patient?gender={evil}",
        f"Patient?identifier={evil}|{evil}", f"Patient?organization={evil}",
        f"Patient?organization.name={evil}", f"Patient?_id={evil}", f"Patient?_list={evil}",
        f"Patient?_ilike={evil}", f"Patient?_text={plain}", f"Patient?_content={plain}",
        f"Patient?.{evil.replace(';', '').replace('$', '')}={evil}", f"Patient?_tag={evil}", f"ValueSet?url:below={evil}",
        f"Observation?code-value-string={escaped}${escaped}",
        f"Patient?_has:Observation:patient:code={evil}",
        f"Observation?value-quantity=5|{evil}|{evil}", f"Patient?_sort=.{evil}",
        f"Patient?_filter=name co '{evil}'".replace("zz'", "zz"),
    ]  # fmt: skip
    for url in urls:
        built = query(
            url.replace("%", "%25").replace("&", "%26").replace("+", "%2B"), dialect, strict=False
        )
        for statement in (compile_search(built), compile_count(built)):
            assert "DROP" not in statement.sql
