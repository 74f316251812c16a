"""Running search statements: rows as values, and failures that are the request's fault.

Source: search specification, 2 Requests, Errors; 7.3 and 7.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from boxruntime.fhir.json_text import decode_json
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.search.visit import chains_of, note_contained
from boxruntime.storage.rows import Stored, stored_from
from boxruntime.storage.search.places import table_of
from boxruntime.storage.search.statement import Binder, Statement, identifier
from boxruntime.storage.search.terminology import resolve_terminology

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from boxruntime.fhir.search.query import Query
    from boxruntime.storage.database import Database, Runner

T = TypeVar("T")


async def fetch(runner: Runner, statement: Statement) -> list[asyncpg.Record]:
    """Run a statement. Raises OutcomeError INVALID for a value that PostgreSQL cannot take."""
    try:
        return await runner.run_planned(statement.sql, *statement.parameters)
    except (asyncpg.DataError, UnicodeEncodeError, asyncpg.StatementTooComplexError):
        # A failed cast of a dot expression, a character that no text can have. The message of
        # PostgreSQL quotes the value, which may be health data.
        raise OutcomeError(
            Fault.INVALID, "A search value cannot be compared with what is stored."
        ) from None


async def fetch_rows(runner: Runner, statement: Statement) -> list[Stored]:
    """Run a statement whose rows have COLUMNS."""
    return [stored_from(record) for record in await fetch(runner, statement)]


async def fetch_total(runner: Runner, statement: Statement) -> int:
    """Run `compile_count`'s statement."""
    (record,) = await fetch(runner, statement)
    total: int = record["total"]
    return total


async def fetch_estimate(runner: Runner, statement: Statement) -> int:
    """Run `compile_estimate`'s statement; return the planner's number of rows."""
    (record,) = await fetch(runner, statement)
    plan: Any = decode_json(record[0])
    return int(plan[0]["Plan"]["Plan Rows"])


def compile_version(types: Sequence[str]) -> Statement:
    """Return the statement of the newest txid ever written to the types: `version`, or 0.

    Source: search specification, 12.1.
    """
    newest = ", ".join(
        f"(SELECT max(txid) FROM {table})"
        for name in types
        for table in (table_of(name), identifier(f"{name.lower()}_history"))
    )
    return Statement(f"SELECT coalesce(greatest({newest}), 0) AS version")


async def fetch_version(runner: Runner, types: Sequence[str]) -> int:
    """Return the newest txid of the types, deletions included."""
    (record,) = await fetch(runner, compile_version(types))
    version: int = record["version"]
    return version


async def limited(database: Database, timeout_ms: int, work: Callable[[Runner], Awaitable[T]]) -> T:
    """Run `work` with a limit of its own for each statement; the transaction writes nothing."""
    async with database.transaction() as runner:
        await runner.run("SELECT set_config('statement_timeout', $1::text, true)", str(timeout_ms))
        return await work(runner)


async def prepare_query(runner: Runner, query: Query) -> Query:
    """Return the query with all that only the rows can tell put in; to be called before compiling.

    Value sets are expanded and hierarchies walked (OutcomeError INVALID for an unknown one);
    chains learn whether any row contains their targets, since a test for that which is not
    needed makes them ten times slower.
    """
    query = await resolve_terminology(runner, query)
    pairs = sorted(
        {(start, target) for start, chain in chains_of(query) for target, _ in chain.targets}
    )
    if not pairs:
        return query
    binder = Binder()
    tests = (
        f"EXISTS (SELECT 1 FROM {table_of(start)} WHERE resource @> "
        f"{binder.jsonb({'contained': [{'resourceType': target}]})})"
        for start, target in pairs
    )
    statement = binder.statement(f"SELECT ARRAY[{', '.join(tests)}] AS held")
    (record,) = await fetch(runner, statement)
    held = {pair for pair, found in zip(pairs, record["held"], strict=True) if found}
    return note_contained(query, held)
