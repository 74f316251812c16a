"""Migrations: scripts of SQL that run once, by id.

Source: search specification, 11.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.storage.sql.binding import plain, value
from boxruntime.storage.sql.run import StatementFailedError
from boxruntime.storage.sql.scripts import (
    controls_transaction,
    copies_over_wire,
    statements_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.storage.sql.run import Session

_LOCK = 0x4D_49_47_52


class Migration(msgspec.Struct, frozen=True):
    id: str
    sql: str


class MigrationFailedError(Exception):
    """The migration at `index` failed; those before it stay."""

    def __init__(self, index: int, failure: StatementFailedError) -> None:
        super().__init__(index)
        self.index = index
        self.failure = failure


async def run_new(session: Session, migrations: Sequence[Migration]) -> list[dict[str, Any]]:
    """Run those that never ran, each in a transaction, in order; return them as they are listed.

    Processes and requests follow one another. Raises MigrationFailedError.
    """
    fresh = []
    for index, one in enumerate(migrations):
        try:
            async with session.together():
                row = await _run(session, one)
        except StatementFailedError as failure:
            raise MigrationFailedError(index, failure) from None
        if row is not None:
            fresh.append(row)
    return fresh


async def _run(session: Session, one: Migration) -> dict[str, Any] | None:
    statements = statements_of(one.sql)
    if any(copies_over_wire(statement) for statement in statements):
        raise StatementFailedError("COPY has no STDIN or STDOUT here.")
    if any(controls_transaction(statement) for statement in statements):
        raise StatementFailedError("A migration is one transaction; it cannot begin or end one.")
    await session.internal(plain(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    id_ = value(one.id)
    known = await session.internal(plain("SELECT FROM box.migration WHERE id = ") + id_)
    if known:
        return None
    await session.script(one.sql)
    rows = await session.internal(
        plain("INSERT INTO box.migration (id, sql) VALUES (")
        + id_ + plain(", ") + value(one.sql) + plain(") RETURNING id, ts, sql")
    )  # fmt: skip
    return rows[0]


async def list_run(session: Session) -> list[dict[str, Any]]:
    """Return all that ever ran, in the order in which they did: id, ts, sql."""
    return await session.internal(plain("SELECT id, ts, sql FROM box.migration ORDER BY number"))
