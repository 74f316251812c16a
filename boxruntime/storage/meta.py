"""The rows that a box process keeps in memory, and the news that they changed.

Every process listens on one channel; triggers announce each change of a watched table, whoever
made it. Source: architecture, "Coherence".
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg

from boxruntime.fhir.json_text import decode_stored
from boxruntime.storage.schema import CHANGES
from boxruntime.storage.statements import quoted_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from boxruntime.storage.database import Database, Runner

RETRY_S = 1.0


async def load_all(
    runner: Runner, resource_type: str, *, own_only: bool = False
) -> list[dict[str, Any]]:
    """Return all resources of a type with their ids; `own_only` leaves out built-in rows.

    A document that is no object (people write rows by SQL) is left out.
    """
    where = "WHERE txid > 0" if own_only else ""
    records = await runner.run(
        f"SELECT id, resource::text AS resource FROM {quoted_table(resource_type)} {where} "
        "ORDER BY txid, id"
    )
    documents = [(record["id"], decode_stored(record["resource"])) for record in records]
    return [
        {**document, "resourceType": resource_type, "id": id_}
        for id_, document in documents
        if isinstance(document, dict)
    ]


class ChangeListener:
    """Calls `on_change(table)` for every announced change.

    And `on_change(None)` when some may have been missed because the connection was lost.
    """

    def __init__(
        self, database: Database, on_change: Callable[[str | None], Awaitable[None]]
    ) -> None:
        self._database = database
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection | None = None

    async def start(self) -> None:
        """Begin to listen; from the return on no change goes unnoticed."""
        self._connection = await self._listen()
        self._task = asyncio.create_task(self._keep_listening())

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None and not self._connection.is_closed():
            await self._connection.close(timeout=2)

    async def _listen(self) -> asyncpg.Connection:
        connection = await self._database.connect()
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        queue = self._queue
        await connection.add_listener(CHANGES, lambda *args: queue.put_nowait(args[3]))
        connection.add_termination_listener(lambda _: queue.put_nowait(None))
        return connection

    async def _keep_listening(self) -> None:
        while True:
            table = await self._queue.get()
            if table is None:
                await self._reconnect()
            await self._tell(table)

    async def _tell(self, table: str | None) -> None:
        """Tell of a change until it was understood: what is kept must not stay stale."""
        while True:
            try:
                await self._on_change(table)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _reconnect(self) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                self._connection = await self._listen()
                return
