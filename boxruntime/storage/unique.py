"""Unique indexes of elements whose Attribute has `isUnique`, and whose value an index refused.

The name of an index says which element it guards, so that a violation finds its place without a
look at PostgreSQL's message, which quotes the value.
Source: core specification, "Attribute" (isUnique).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.storage.statements import quoted_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.fhir.metadata import Element, ElementPath
    from boxruntime.storage.database import Runner

_PREFIX = "unique:"
_DIGEST = "unique#"
"""Begins the name of an index whose element has too long a path for PostgreSQL's 63 bytes."""
_MAX_NAME = 63


class _Index(NamedTuple):
    name: str
    keys: str


async def ensure_unique(runner: Runner, type_name: str, elements: Iterable[Element]) -> None:
    """Make the unique indexes of a type what its metadata asks for, inside a transaction.

    Raises OutcomeError UNPROCESSABLE if stored resources have equal values.
    """
    table = quoted_table(type_name)
    wanted = {index.name: index for index in (_index(type_name, one) for one in elements)}
    records = await runner.run(
        "SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "WHERE i.indrelid = to_regclass($1) AND starts_with(c.relname, 'unique')",
        table,
    )
    known = {record["name"] for record in records}
    for name in sorted(known - wanted.keys()):
        if name.startswith((_PREFIX, _DIGEST)):
            await runner.run(f"DROP INDEX {_identifier(name)}")
    for name in sorted(wanted.keys() - known):
        statement = f"CREATE UNIQUE INDEX {_identifier(name)} ON {table} ({wanted[name].keys})"
        try:
            await runner.run(statement)
        except asyncpg.UniqueViolationError:
            raise OutcomeError(
                Fault.UNPROCESSABLE,
                Issue(
                    message="stored resources have equal values there",
                    path=("isUnique",),
                    type_name="Attribute",
                ),
            ) from None


def not_unique(error: asyncpg.UniqueViolationError) -> OutcomeError | None:
    """Return the failure that a refused value means, None if another index refused."""
    name = error.constraint_name or ""
    if name.startswith(_DIGEST):
        return OutcomeError(Fault.UNPROCESSABLE, "Another resource has the same unique value.")
    if not name.startswith(_PREFIX):
        return None
    type_name, *path = name.removeprefix(_PREFIX).removesuffix("#").split(".")
    issue = Issue(
        message="another resource has the same value",
        path=tuple(path),
        type_name=type_name,
        code="duplicate",
    )
    return OutcomeError(Fault.UNPROCESSABLE, issue)


def _index(type_name: str, element: Element) -> _Index:
    """Return the index of one element; resources without a value do not meet in it.

    A reference is its target, whatever else it says. Numbers compare as numbers (1.0 = 1).
    """
    if element.type != "Reference":
        return _Index(_name(type_name, element.path, ""), f"(resource #> {_at(element.path)})")
    target = ", ".join(
        f"(resource #>> {_at((*element.path, member))})" for member in ("resourceType", "id")
    )
    return _Index(_name(type_name, element.path, "#"), target)


def _name(type_name: str, path: ElementPath, kind: str) -> str:
    dotted = ".".join((type_name, *path))
    name = f"{_PREFIX}{dotted}{kind}"
    if len(name.encode()) <= _MAX_NAME:
        return name
    return f"{_DIGEST}{hashlib.sha256(dotted.encode()).hexdigest()[:32]}{kind}"


def _at(path: ElementPath) -> str:
    steps = ",".join('"' + step.replace("\\", "\\\\").replace('"', '\\"') + '"' for step in path)
    return "'{" + steps.replace("'", "''") + "}'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
