"""Named sequences of a box: real PostgreSQL sequences in a schema of their own.

A schema of their own keeps a user's `transaction_id_seq` apart from the box's. Names are checked
by the caller and quoted here. What a sequence answers is never taken back: a number is given once,
also where the transaction that asked for it fails.
Source: core specification, "Sequences".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import msgspec

if TYPE_CHECKING:
    from boxruntime.storage.database import Runner

SCHEMA = "box_sequence"


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """How a sequence counts; None = PostgreSQL's bounds for the direction."""

    start: int = 1
    increment: int = 1
    minval: int | None = None
    maxval: int | None = None
    cycle: bool = False


class SequenceExistsError(Exception):
    """A sequence of that name is there already."""


class NoSequenceError(Exception):
    """There is no sequence of that name."""


class ExhaustedError(Exception):
    """The sequence has no such value left within its bounds."""


class ImpossibleSequenceError(Exception):
    """The bounds contradict each other, or the start lies outside of them."""


async def create_sequence(runner: Runner, name: str, definition: Definition) -> None:
    """Create a sequence. Raises SequenceExistsError or ImpossibleSequenceError."""
    low = "NO MINVALUE" if definition.minval is None else f"MINVALUE {int(definition.minval)}"
    high = "NO MAXVALUE" if definition.maxval is None else f"MAXVALUE {int(definition.maxval)}"
    cycle = "CYCLE" if definition.cycle else "NO CYCLE"
    try:
        await runner.run(
            f"CREATE SEQUENCE {_quoted(name)} AS bigint INCREMENT {int(definition.increment)} "
            f"{low} {high} START {int(definition.start)} {cycle}"
        )
    except (asyncpg.DuplicateTableError, asyncpg.UniqueViolationError):
        raise SequenceExistsError from None
    except (asyncpg.InvalidParameterValueError, asyncpg.PostgresSyntaxError):
        raise ImpossibleSequenceError from None


async def next_values(runner: Runner, name: str, count: int) -> list[int]:
    """Draw `count` values. Raises NoSequenceError or ExhaustedError."""
    try:
        records = await runner.run(
            "SELECT nextval($1::text::regclass) AS value FROM generate_series(1, $2::int)",
            _quoted(name),
            count,
        )
    except (asyncpg.UndefinedTableError, asyncpg.WrongObjectTypeError):
        raise NoSequenceError from None
    except (asyncpg.SequenceGeneratorLimitExceededError, asyncpg.ObjectNotInPrerequisiteStateError):
        raise ExhaustedError from None
    return [record["value"] for record in records]


async def current_value(runner: Runner, name: str) -> int:
    """Return the value that was drawn last, or the first one. Raises NoSequenceError."""
    try:
        (record,) = await runner.run(f"SELECT last_value FROM {_quoted(name)}")
    except asyncpg.UndefinedTableError:
        raise NoSequenceError from None
    value: int = record["last_value"]
    return value


async def set_value(runner: Runner, name: str, value: int) -> None:
    """Let the next value follow this one. Raises NoSequenceError or ExhaustedError."""
    try:
        await runner.run("SELECT setval($1::text::regclass, $2::bigint)", _quoted(name), value)
    except (asyncpg.UndefinedTableError, asyncpg.WrongObjectTypeError):
        raise NoSequenceError from None
    except asyncpg.NumericValueOutOfRangeError:
        raise ExhaustedError from None


async def find_definition(runner: Runner, name: str) -> Definition | None:
    """Return how a sequence counts, None if there is none."""
    records = await runner.run(
        "SELECT start_value, increment_by, min_value, max_value, cycle FROM pg_sequences "
        "WHERE schemaname = $1 AND sequencename = $2",
        SCHEMA,
        name,
    )
    if not records:
        return None
    start, increment, low, high, cycle = records[0]
    return Definition(start=start, increment=increment, minval=low, maxval=high, cycle=cycle)


async def drop_sequence(runner: Runner, name: str) -> int:
    """Drop a sequence and return its last value. Raises NoSequenceError."""
    value = await current_value(runner, name)
    try:
        await runner.run(f"DROP SEQUENCE {_quoted(name)}")
    except asyncpg.UndefinedTableError:
        raise NoSequenceError from None
    return value


def _quoted(name: str) -> str:
    return f'{SCHEMA}."{name}"'
