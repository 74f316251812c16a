"""The statements that requests share with each other: reads by id, creates, looks for targets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from boxruntime.storage.groups import Group
from boxruntime.storage.statements import statements_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    import asyncpg

    from boxruntime.storage.database import Database

A = TypeVar("A")
R = TypeVar("R")


class SharedStatements:
    """One group a resource type and kind of statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads: dict[str, Group[str, asyncpg.Record | None]] = {}
        self._creates: dict[str, Group[tuple[str, str], asyncpg.Record | None]] = {}
        self._targets: dict[str, Group[str, bool]] = {}

    async def read(self, resource_type: str, id_: str) -> asyncpg.Record | None:
        """Return the current row, None if there is none."""
        return await _group(self._reads, resource_type, self._read_many).run(id_)

    async def create(self, resource_type: str, id_: str, text: str) -> asyncpg.Record | None:
        """Insert a document under a fresh id and return its columns; None = the id is in use."""
        return await _group(self._creates, resource_type, self._create_many).run((id_, text))

    async def existing(self, wanted: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return which of the (type, id) pairs exist; all types are looked up at once."""
        pairs = list(wanted)
        found = await asyncio.gather(
            *(
                _group(self._targets, resource_type, self._exist).run(id_)
                for resource_type, id_ in pairs
            )
        )
        return {pair for pair, exists in zip(pairs, found, strict=True) if exists}

    async def _exist(self, resource_type: str, ids: list[str]) -> list[bool]:
        records = await self._database.run(statements_for(resource_type).existing, ids)
        found = {record["id"] for record in records}
        return [id_ in found for id_ in ids]

    async def _read_many(self, resource_type: str, ids: list[str]) -> list[asyncpg.Record | None]:
        statements = statements_for(resource_type)
        if len(ids) == 1:
            records = await self._database.run(statements.read, ids[0])
            return [records[0] if records else None]
        found = {r["id"]: r for r in await self._database.run(statements.read_many, ids)}
        return [found.get(id_) for id_ in ids]

    async def _create_many(
        self, resource_type: str, rows: list[tuple[str, str]]
    ) -> list[asyncpg.Record | None]:
        statements = statements_for(resource_type)
        if len(rows) == 1:
            ((id_, text),) = rows
            records = await self._database.run(statements.create_fresh, id_, None, None, text)
            return [records[0] if records else None]
        records = await self._database.run(
            statements.create_fresh_many, [id_ for id_, _ in rows], [text for _, text in rows]
        )
        made = {record["id"]: record for record in records}
        return [made.get(id_) for id_, _ in rows]


def _group(
    groups: dict[str, Group[A, R]],
    resource_type: str,
    run_many: Callable[[str, list[A]], Awaitable[list[R]]],
) -> Group[A, R]:
    group = groups.get(resource_type)
    if group is None:
        group = groups[resource_type] = Group(lambda items: run_many(resource_type, items))
    return group
