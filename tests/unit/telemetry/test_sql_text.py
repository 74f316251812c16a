"""What of an SQL text is quoted. Source: PostgreSQL manual, "Lexical Structure"."""

from __future__ import annotations

import pytest

from boxruntime.telemetry.sql_text import masked, tokens

_ALL = [
    ("SELECT 'a', 1.5, $1", "SELECT ?, ?, $1"),
    ("SELECT 'it''s' x", "SELECT ? x"),
    ("SELECT E'it\\'s' x", "SELECT ? x"),
    ("SELECT 'a\\' x", "SELECT ? x"),
    ("SELECT $q$ it's $q$ x, $$ y $$ z", "SELECT ? x, ? z"),
    ('SELECT "it\'s" x', 'SELECT "it\'s" x'),
    ("SELECT /* Oak /* Elm */ Ash */ x -- Oak\n, y", "SELECT   x  \n, y"),
    ("SELECT 'Oak", "SELECT ?"),
    ("SELECT E'Oak\\", "SELECT ?"),
    ("SELECT $$Oak", "SELECT ?"),
    ("SELECT /* Oak", "SELECT  "),
    ("SELECT t1.c2, type'x'", "SELECT t1.c2, type?"),
    ("SELECT a$b$c$b$ FROM x", "SELECT a$b$c$b$ FROM x"),
    ("", ""),
]


@pytest.mark.parametrize(("sql", "shown"), _ALL)
def test_values_are_masked(sql, shown):
    assert masked(sql) == shown
    assert "".join(token.text for token in tokens(sql)) == sql
