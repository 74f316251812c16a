"""Running the statement of an sql policy: read-only, bounded in time, values bound as text.

A placeholder takes the type that PostgreSQL gives it; where that is not a text, the text is read
as that type by PostgreSQL itself, as it reads a literal. Whatever the statement sets, locks or
asks for, the transaction is rolled back.
Source: authentication specification, "sql".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from boxruntime.storage.errors import RETRYABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.storage.database import Database

TIMEOUT_MS = 1000
_WAIT_S = 2.0
"""For a free connection as well: they may all be held by transactions that wait for a policy."""
_BEGIN = (
    "BEGIN READ ONLY; "
    f"SET LOCAL statement_timeout = {TIMEOUT_MS}; "
    "SET LOCAL standard_conforming_strings = on"
)
_TEXTS = frozenset({"text", "varchar", "name", "bpchar", "unknown"})


class PolicyQueryError(Exception):
    """The statement failed; `reason` is a SQLSTATE or a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def yields_true(
    database: Database, pieces: Sequence[str | int], parameters: Sequence[str | None]
) -> bool:
    """Tell whether a statement yields one row of one column that is true.

    `pieces`: its text, cut where parameters stand, and their numbers from 1. Raises
    PolicyQueryError.
    """
    # Two rows are one too many, and nobody needs the rest.
    pieces = ("SELECT * FROM (", *pieces, "\n) AS answer LIMIT 2")
    try:
        async with asyncio.timeout(_WAIT_S):
            try:
                records = await _fetch(database, pieces, parameters, {})
            except asyncpg.IndeterminateDatatypeError:
                # As in `$1 IS NULL`: any type will do.
                texts = dict.fromkeys(range(1, len(parameters) + 1), "")
                records = await _fetch(database, pieces, parameters, texts)
    except TimeoutError:
        raise PolicyQueryError("timeout") from None
    except asyncpg.PostgresError as error:
        raise PolicyQueryError(str(error.sqlstate)) from None
    except (asyncpg.InterfaceError, OSError, RecursionError, *RETRYABLE):
        raise PolicyQueryError("no connection") from None
    return len(records) == 1 and len(records[0]) == 1 and records[0][0] is True


async def check_syntax(database: Database, sql: str) -> None:
    """Return if PostgreSQL can read the statement. Raises PolicyQueryError.

    Tables may come later, and types of placeholders depend on values: neither is looked at.
    """
    try:
        async with asyncio.timeout(_WAIT_S), database.reading(_BEGIN) as connection:
            await connection.prepare(sql)
    except asyncpg.PostgresSyntaxError:
        raise PolicyQueryError("syntax error") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        return


async def _fetch(
    database: Database,
    pieces: Sequence[str | int],
    parameters: Sequence[str | None],
    casts: dict[int, str],
) -> list[asyncpg.Record]:
    async with database.reading(_BEGIN) as connection:
        statement = await _prepare(connection, pieces, casts)
        records: list[asyncpg.Record] = await statement.fetch(*parameters)
        return records


async def _prepare(
    connection: asyncpg.Connection, pieces: Sequence[str | int], casts: dict[int, str]
) -> Any:
    """Prepare a statement; `casts`: behind the text of each parameter that needs one."""
    statement = await connection.prepare(_text(pieces, casts))
    types = statement.get_parameters()
    if all(type_.name in _TEXTS for type_ in types):
        return statement
    casts = {n: _cast(type_) for n, type_ in enumerate(types, 1) if type_.name not in _TEXTS}
    return await connection.prepare(_text(pieces, casts))


def _text(pieces: Sequence[str | int], casts: dict[int, str]) -> str:
    return "".join(
        piece
        if isinstance(piece, str)
        else f"(${piece}::text{casts[piece]})"
        if piece in casts
        else f"${piece}"
        for piece in pieces
    )


def _cast(type_: asyncpg.Type) -> str:
    name = type_.name.removesuffix("[]")
    quoted = ".".join('"' + each.replace('"', '""') + '"' for each in (type_.schema, name))
    return f"::{quoted}{type_.name[len(name) :]}"
