"""Source: authentication specification, "sql"."""

from __future__ import annotations

import pytest

from boxruntime.access.engines.sql_text import SqlText
from boxruntime.access.engines.values import PolicyError, UnresolvedError

EVIL = "x'; DROP TABLE patient; --"
REQUEST = {
    "params": {"resource/id": EVIL, "resource/type": 'Pa"tient'},
    "user": {"id": "u", "data": {"n": 5, "orgs": ["a"]}},
}


def statement(query):
    made = SqlText(query).statement(REQUEST)
    return made.sql, made.parameters


@pytest.mark.parametrize(
    ("query", "sql", "parameters"),
    [
        ("SELECT true", "SELECT true", ()),
        ("SELECT {{user.id}} = 'x' ;", "SELECT $1 = 'x'", ("u",)),
        ("SELECT {{ params.resource/id }}::text", "SELECT $1::text", (EVIL,)),
        ("SELECT {{user.none}} IS NULL", "SELECT $1 IS NULL", (None,)),
        ("SELECT {{user.data.n}} > 1", "SELECT $1 > 1", ("5",)),
        ("SELECT {{user.data.orgs.0}} = 'a'", "SELECT $1 = 'a'", ("a",)),
        ("SELECT {{user.data}} ? 'n'", "SELECT ($1::jsonb) ? 'n'", ('{"n":5,"orgs":["a"]}',)),
        ("SELECT true FROM {{!params.resource/type}}", 'SELECT true FROM "pa""tient"', ()),
        ("SELECT '{{1,2},{3,4}}'::int[] IS NOT NULL", "SELECT '{{1,2},{3,4}}'::int[] IS NOT NULL", ()),
        ("/* a /* b */ ; */ SELECT 1 -- ;\n = 1", "/* a /* b */ ; */ SELECT 1 -- ;\n = 1", ()),
        ("SELECT ';' = $$;$$", "SELECT ';' = $$;$$", ()),
        ("SELECT E'\\';' = {{user.id}}", "SELECT E'\\';' = $1", ("u",)),
    ],
)  # fmt: skip
def test_values_are_bound_and_identifiers_quoted(query, sql, parameters):
    assert statement(query) == (sql, parameters)


@pytest.mark.parametrize(
    "query",
    [
        None,
        "",
        "   ",
        5,
        "SELECT '{{user.id}}'",
        "SELECT 'it''s {{user.id}}'",
        "SELECT E'\\'{{user.id}}'",
        "SELECT $$ {{user.id}} $$",
        "SELECT $tag$ $$ {{user.id}} $tag$",
        'SELECT "{{user.id}}"',
        "SELECT 1 -- {{user.id}}",
        "SELECT 1 /* {{user.id}} */",
        "SELECT 1 /* /* */ {{user.id}} */",
        "SELECT 1; DROP TABLE patient",
        "SELECT true; COMMIT; DELETE FROM patient",
        "DELETE FROM patient RETURNING true",
        "SET ROLE postgres",
        "COMMIT",
        "SELECT $1",
        "SELECT {{user..id}}",
        "SELECT {{}}",
        "SELECT {{user.id}",
        "SELECT $$ x",
        "SELECT /* x",
    ],
)
def test_statements_that_could_mean_something_else_are_refused(query):
    with pytest.raises(PolicyError):
        SqlText(query)


def test_an_identifier_that_the_request_does_not_have_is_no_statement():
    with pytest.raises(UnresolvedError):
        SqlText("SELECT true FROM {{!params.none}}").statement(REQUEST)
