"""What the database could do if there were no box: its statements, prepared, and nothing else.

The statements are the box's own (`boxruntime.storage.statements`) over the same driver, the same
number of connections, the same tables and the same documents, in the bench's own process.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import asyncpg
import uvloop

from boxruntime.storage.statements import quoted_table, statements_for
from tests.load.usage import watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

STAMP = "SELECT nextval('transaction_id_seq') AS txid, clock_timestamp() AS ts"


class Floor(NamedTuple):
    """What the bare statements did."""

    operations: int
    seconds: float
    client_s: float
    """CPU of the bench's process."""
    postgres_s: float

    @property
    def rate(self) -> float:
        return self.operations / self.seconds


class Written(NamedTuple):
    """What one transaction of the box wrote: its rows by type, as (ids, documents)."""

    by_type: Mapping[str, tuple[list[str], list[str]]]

    @property
    def resources(self) -> int:
        return sum(len(ids) for ids, _ in self.by_type.values())


GROWTH = 50_000  # rows of one statement


class _Link:
    """One connection with its prepared statements, as the box keeps them."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._statements: dict[str, Any] = {}

    async def run(self, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        statement = self._statements.get(sql)
        if statement is None:
            statement = self._statements[sql] = await self.connection.prepare(sql)
        return await statement.fetch(*parameters)


class BareDatabase:
    """The box's database without the box. Connections stay open between measurements."""

    def __init__(self, address: Mapping[str, str], postmaster: int) -> None:
        """`address`: the PG* variables of the box."""
        self._address = address
        self._postmaster = postmaster
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._links: list[_Link] = []

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        async def close() -> None:
            for link in self._links:
                await link.connection.close()

        self._runner.run(close())
        self._runner.close()

    def ids_and_documents(self, resource_type: str, limit: int) -> list[tuple[str, str]]:
        """Return stored resources: id and document."""
        sql = f"SELECT id, resource::text FROM {quoted_table(resource_type)} LIMIT {limit}"
        return [(row[0], row[1]) for row in self._fetch(sql)]

    def last_version(self) -> int:
        """Return the version that was drawn last."""
        (row,) = self._fetch("SELECT last_value FROM transaction_id_seq")
        return int(row[0])

    def written_since(self, version: int, resource_types: Iterable[str]) -> list[Written]:
        """Return what the transactions after `version` wrote."""
        found: dict[int, dict[str, tuple[list[str], list[str]]]] = {}
        for resource_type in resource_types:
            sql = (
                f"SELECT txid, id, resource::text FROM {quoted_table(resource_type)} "
                f"WHERE txid > {version}"
            )
            for txid, id_, document in self._fetch(sql):
                ids, documents = found.setdefault(txid, {}).setdefault(resource_type, ([], []))
                ids.append(id_)
                documents.append(document)
        return [Written(by_type) for by_type in found.values()]

    def create(self, documents: Sequence[str], *, connections: int, seconds: float) -> Floor:
        """Insert the documents in turn under fresh ids, each in a transaction of its own."""
        turn = itertools.cycle(documents)
        return self._repeat(
            statements_for("Patient").create_fresh,
            lambda: (str(uuid.uuid4()), None, None, next(turn)),
            connections,
            seconds,
        )

    def read(self, ids: Sequence[str], *, connections: int, seconds: float) -> Floor:
        """Select rows by id."""
        turn = itertools.cycle(ids)
        sql = statements_for("Patient").read
        return self._repeat(sql, lambda: (next(turn),), connections, seconds)

    def update(
        self,
        ids: Sequence[str],
        documents: Sequence[str],
        *,
        connections: int,
        seconds: float,
    ) -> Floor:
        """Update rows, with the old ones kept in history."""
        turn = zip(itertools.cycle(ids), itertools.cycle(documents), strict=False)

        def parameters() -> tuple[Any, ...]:
            id_, document = next(turn)
            return (id_, None, None, None, document)

        return self._repeat(statements_for("Patient").update, parameters, connections, seconds)

    def history(self, ids: Sequence[str], *, connections: int, seconds: float) -> Floor:
        """Select all versions of a row."""
        turn = itertools.cycle(ids)
        sql = f"{statements_for('Patient').versions} WHERE v.id = $1 ORDER BY txid DESC LIMIT 100"
        return self._repeat(sql, lambda: (next(turn),), connections, seconds)

    def grow(self, rows: int) -> int:
        """Fill the table of observations up to `rows` from those in it; return the number added.

        They differ in their time, as those of a busy ward do.
        """
        (row,) = self._fetch("SELECT count(*) FROM observation")
        missing = rows - int(row[0])
        for start in range(0, missing, GROWTH):
            last = min(start + GROWTH, missing) - 1
            self._fetch(
                "WITH sample AS (SELECT array_agg(resource) AS rows FROM "
                "(SELECT resource FROM observation ORDER BY txid LIMIT 400) AS first) "
                "INSERT INTO observation (id, txid, status, resource) "
                "SELECT gen_random_uuid()::text, nextval('transaction_id_seq'), 'created', "
                "jsonb_set(rows[1 + n % cardinality(rows)], '{effective}', jsonb_build_object("
                "'dateTime', to_char(timestamp '2010-01-01' + n * interval '7 minutes', "
                """'YYYY-MM-DD"T"HH24:MI:SS"Z"'))) """
                f"FROM sample, generate_series({start}, {last}) AS n"
            )
        self._fetch("ANALYZE observation")
        return max(missing, 0)

    def transactions(self, written: Sequence[Written], *, connections: int) -> Floor:
        """Insert what transactions of the box wrote once more, under fresh ids.

        One transaction each, with one INSERT a type as the box does it; operations are resources.
        """
        fresh = iter(
            [
                [
                    (statements_for(kind).create_many, [str(uuid.uuid4()) for _ in ids], documents)
                    for kind, (ids, documents) in one.by_type.items()
                ]
                for one in written
            ]
        )

        async def work(link: _Link) -> int:
            count = 0
            for groups in fresh:
                await link.connection.execute("BEGIN")
                (row,) = await link.run(STAMP)
                for sql, ids, documents in groups:
                    await link.run(sql, ids, row["txid"], row["ts"], documents)
                    count += len(ids)
                await link.connection.execute("COMMIT")
            return count

        return self._measure(work, connections)

    def _repeat(
        self, sql: str, parameters: Callable[[], tuple[Any, ...]], connections: int, seconds: float
    ) -> Floor:
        async def work(link: _Link) -> int:
            ends_at = time.perf_counter() + seconds
            count = 0
            while time.perf_counter() < ends_at:
                await link.run(sql, *parameters())
                count += 1
            return count

        return self._measure(work, connections)

    def _measure(self, work: Callable[[_Link], Awaitable[int]], connections: int) -> Floor:
        async def run() -> Floor:
            await self._open(connections)
            with watch([os.getpid()], self._postmaster) as used:
                started = time.perf_counter()
                counts = await asyncio.gather(*(work(link) for link in self._links[:connections]))
                elapsed_s = time.perf_counter() - started
            return Floor(
                operations=sum(counts),
                seconds=elapsed_s,
                client_s=used.app_s,
                postgres_s=used.postgres_s,
            )

        return self._runner.run(run())

    def _fetch(self, sql: str) -> list[asyncpg.Record]:
        async def run() -> list[asyncpg.Record]:
            await self._open(1)
            return await self._links[0].connection.fetch(sql, timeout=600)

        return self._runner.run(run())

    async def _open(self, connections: int) -> None:
        while len(self._links) < connections:
            self._links.append(_Link(await self._connect()))

    async def _connect(self) -> asyncpg.Connection:
        address = self._address
        return await asyncpg.connect(
            host=address["PGHOST"],
            port=int(address["PGPORT"]),
            user=address["PGUSER"],
            password=address["PGPASSWORD"],
            database=address["PGDATABASE"],
            server_settings={"jit": "off"},  # as the box sets it
            statement_cache_size=0,
        )
