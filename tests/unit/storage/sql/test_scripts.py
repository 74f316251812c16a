"""Statements of a script. Source: search specification, 11.1."""

from __future__ import annotations

import pytest

from boxruntime.storage.sql.scripts import (
    blocks_of,
    controls_transaction,
    copies_over_wire,
    statements_of,
)

_ROUTINE = (
    "CREATE FUNCTION f(n int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN n > 0 THEN 1 END; END"
)


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("", []), (" ; -- x\n;; /* y */", []), ("SELECT 1", ["SELECT 1"]),
        ("SELECT ';'; SELECT 2;", ["SELECT ';'", "SELECT 2"]),
        ("DO $$ BEGIN PERFORM 1; END $$; SELECT 1", ["DO $$ BEGIN PERFORM 1; END $$", "SELECT 1"]),
        (f"{_ROUTINE}; SELECT 1", [_ROUTINE, "SELECT 1"]),
        ("CREATE RULE r AS ON UPDATE TO t DO (SELECT 1; SELECT 2); x", ["CREATE RULE r AS ON UPDATE TO t DO (SELECT 1; SELECT 2)", "x"]),
        ("BEGIN; SELECT 1; END", ["BEGIN", "SELECT 1", "END"]),
    ],
)  # fmt: skip
def test_statements_end_at_semicolons_that_are_code(script, statements):
    assert statements_of(script) == statements


def test_blocks_are_parted_by_lines_of_four_dashes():
    assert blocks_of("a\n----\r\nb\n ---- \n\n-----\nc ----") == ["a", "b", "-----\nc ----"]


@pytest.mark.parametrize(
    "statement",
    ["COMMIT", "/* x */ end", "Rollback TO s", "PREPARE TRANSACTION 'x'", "start transaction"],
)
def test_what_controls_a_transaction(statement):
    assert controls_transaction(statement)
    assert not controls_transaction(f"SELECT 1 AS {statement.split()[-1]}")


def test_copies_over_the_wire():
    assert copies_over_wire("COPY t TO STDOUT")
    assert copies_over_wire("copy t from stdin with csv")
    assert not copies_over_wire("COPY t TO '/tmp/stdout'")
    assert not copies_over_wire("SELECT stdin FROM copy")
