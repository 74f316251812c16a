"""Whose value a unique index refused. Source: core specification, "Attribute" (isUnique)."""

from __future__ import annotations

import asyncpg
import pytest

from boxruntime.fhir.metadata import Element
from boxruntime.fhir.outcome import Fault
from boxruntime.storage.errors import outcome_of
from boxruntime.storage.unique import ensure_unique


class Recorder:
    """A runner that knows some indexes and keeps what it is told."""

    def __init__(self, *known):
        self.known = known
        self.told = []

    async def run(self, sql, *parameters):
        if sql.startswith("SELECT"):
            return [{"name": name} for name in self.known]
        self.told.append(sql)
        return []


def element(*path, type_="string"):
    return Element(name=path[-1], path=path, type=type_, unique=True)


def refused(name):
    error = asyncpg.UniqueViolationError("Key (secret)=(value) already exists")
    error.constraint_name = name
    return outcome_of(error)


async def test_what_is_missing_is_made_and_what_is_too_much_is_dropped():
    runner = Recorder("unique:Note.old", "unique:Note.code", "uniqueness_of_others")
    await ensure_unique(runner, "Note", [element("code"), element("about", type_="Reference")])
    assert runner.told == [
        'DROP INDEX "unique:Note.old"',
        (
            'CREATE UNIQUE INDEX "unique:Note.about#" ON "note" '
            '((resource #>> \'{"about","resourceType"}\'), (resource #>> \'{"about","id"}\'))'
        ),
    ]


async def test_names_from_rows_written_by_sql_are_quoted():
    runner = Recorder()
    await ensure_unique(runner, "Note", [element("a'b\"c", 'd"; DROP TABLE x; --')])
    assert runner.told == [
        (
            'CREATE UNIQUE INDEX "unique:Note.a\'b""c.d""; DROP TABLE x; --" ON "note" '
            '((resource #> \'{"a\'\'b\\"c","d\\"; DROP TABLE x; --"}\'))'
        )
    ]


@pytest.mark.parametrize(("path", "place"), [(("code",), ("code",)), (("a" * 40, "b" * 40), ())])
async def test_a_refused_value_is_a_finding_at_its_element(path, place):
    runner = Recorder()
    await ensure_unique(runner, "Note", [element(*path)])
    name = runner.told[0].split('"')[1]
    assert len(name) <= 63
    error = refused(name)
    assert error.fault is Fault.UNPROCESSABLE
    assert error.issues[0].path == place
    assert "value)" not in error.issues[0].message


def test_another_index_means_a_conflict():
    assert refused("note_pkey").fault is Fault.CONFLICT
    assert refused(None).fault is Fault.CONFLICT
