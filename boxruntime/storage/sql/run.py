"""Running SQL that people of a box wrote: on a session of its own, or inside a transaction.

What PostgreSQL says of such a statement is for who sent it. `StatementFailedError` carries it;
failures that are nobody's fault (no connection, a limit of time) stay as they are.
Source: search specification, 7.6, 8, 11.1.
"""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from boxruntime.storage.database import lend_connection
from boxruntime.storage.sql.binding import Bound, plain, prepare
from boxruntime.storage.sql.scripts import (
    controls_transaction,
    copies_over_wire,
    statements_of,
)
from boxruntime.storage.sql.values import read_as_json, read_as_usual, row_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from asyncpg.prepared_stmt import PreparedStatement

    from boxruntime.storage.database import Database, Runner
    from boxruntime.telemetry.statements import StatementLog

_NOT_THEIRS = ("08", "40", "53", "57", "58")
"""Classes of failures that a statement is not to blame for; 57014 is the limit of time."""
_ROW_VALUES = ("22", "23")
"""Classes whose messages may quote what rows hold."""
_QUOTED = re.compile(r'"[^"]*"')
_AFFECTED = re.compile(r"(\d+)$")


class StatementFailedError(Exception):
    """PostgreSQL refused a statement. `message` is its own; `position` counts characters from 1."""

    def __init__(self, message: str, position: int | None = None, state: str = "") -> None:
        super().__init__(state)
        self.message = message
        self.position = position
        self.state = state

    def without_values(self) -> str:
        """Return the message for somebody who did not write the statement."""
        if self.state[:2] in _ROW_VALUES:
            return _QUOTED.sub('"…"', self.message)
        return self.message


class Answer(msgspec.Struct, frozen=True):
    """What a statement gave: rows, or the number of rows it changed."""

    rows: list[dict[str, Any]] | None
    affected: int

    def listed(self) -> list[dict[str, Any]]:
        """Return the rows; of a statement that has none, one that tells how many it changed."""
        return [{"update-count": self.affected}] if self.rows is None else self.rows


class Session:
    """A connection that runs people's statements, each told to the audit without its values."""

    def __init__(
        self, connection: asyncpg.Connection, audit: StatementLog | None, *, is_joined: bool
    ) -> None:
        self._connection = connection
        self._audit = audit
        self.is_joined = is_joined
        """A transaction of the caller's goes on around it; the statements cannot end it."""

    async def run(self, bound: Bound | str) -> Answer:
        """Run one statement. Raises StatementFailedError."""
        bound = plain(bound) if isinstance(bound, str) else bound
        shown = bound.text()
        if self.is_joined and controls_transaction(shown):
            raise StatementFailedError("A transaction cannot be begun or ended here.", 1)
        if copies_over_wire(shown):
            raise StatementFailedError("COPY has no STDIN or STDOUT here.", 1)
        started = time.perf_counter()
        try:
            with _their_failures():
                sql, values = await prepare(self._connection, bound)
                statement = await self._connection.prepare(sql)
                _check_count(statement, values)
                records = await statement.fetch(*values)
        except StatementFailedError as error:
            self._tell(shown, bound.values, started, error.state)
            raise
        self._tell(shown, bound.values, started, None)
        if statement.get_attributes():
            return Answer([row_of(record) for record in records], len(records))
        count = _AFFECTED.search(statement.get_statusmsg() or "")
        return Answer(None, int(count[1]) if count else 0)

    async def internal(self, bound: Bound) -> list[dict[str, Any]]:
        """Run a statement of the box's own beside theirs; return its rows."""
        sql, values = await prepare(self._connection, bound)
        statement = await self._connection.prepare(sql)
        return [row_of(record) for record in await statement.fetch(*values)]

    async def script(self, text: str) -> None:
        """Run several statements without rows or parameters. Raises StatementFailedError."""
        started = time.perf_counter()
        try:
            with _their_failures():
                await self._connection.execute(text)
        except StatementFailedError as error:
            self._tell(text, (), started, error.state)
            raise
        self._tell(text, (), started, None)

    async def plan(self, bound: Bound, *, analyse: bool) -> str:
        """Return how PostgreSQL runs a statement. Raises StatementFailedError."""
        options = "(ANALYZE, BUFFERS) " if analyse else ""
        with _their_failures():
            sql, values = await prepare(self._connection, bound)
            statement = await self._connection.prepare(f"EXPLAIN {options}{sql}")
            records = await statement.fetch(*values)
        return "\n".join(record[0] for record in records)

    @asynccontextmanager
    async def together(
        self, *, read_only: bool = False, timeout_ms: int | None = None
    ) -> AsyncIterator[None]:
        """Run what follows as one: all of it counts, or nothing. What only reads leaves nothing.

        Inside of a transaction this is a part of it, which can fail alone.
        """
        joined = self.is_joined
        begin, end, undo = (
            ("SAVEPOINT box_part", "RELEASE SAVEPOINT box_part", "ROLLBACK TO SAVEPOINT box_part")
            if joined
            else ("BEGIN", "COMMIT", "ROLLBACK")
        )
        connection = self._connection
        await connection.execute(begin)
        self.is_joined = True
        try:
            if timeout_ms is not None:
                await connection.execute(f"SET LOCAL statement_timeout = {int(timeout_ms)}")
            if read_only:
                # Behind the first query nothing can set it back.
                await connection.execute("SET LOCAL transaction_read_only = on; SELECT 1")
            yield
            if read_only:
                await connection.execute(undo)  # settings of the session that a query made, too
            else:
                with _their_failures():
                    await connection.execute(end)
        except BaseException:
            if connection.is_in_transaction():
                await connection.execute(undo)
            raise
        finally:
            self.is_joined = joined

    def _tell(self, sql: str, values: tuple[Any, ...], started: float, state: str | None) -> None:
        if self._audit is None:
            return
        if state is None:
            self._audit.ran(sql, values, started)
        else:
            self._audit.failed(sql, values, started, state)


async def run_script(session: Session, script: str) -> Answer:
    """Run the statements of a script, all or none; return what the last one gives.

    A script that begins or ends transactions by itself is run as it stands; a single statement
    too, for some (VACUUM) run outside of transactions only. Raises StatementFailedError.
    """
    statements = statements_of(script)
    answer = Answer(None, 0)
    if session.is_joined or (
        len(statements) > 1 and not any(controls_transaction(one) for one in statements)
    ):
        async with session.together():
            for one in statements:
                answer = await session.run(one)
        return answer
    if len(statements) == 1:
        return await session.run(script if ";" not in script else statements[0])
    for one in statements:
        answer = await session.run(one)
    return answer


@asynccontextmanager
async def open_session(database: Database, runner: Runner | None) -> AsyncIterator[Session]:
    """Give a session for people's statements; `runner`: inside of this transaction."""
    if runner is not None:
        connection = lend_connection(runner)
        await read_as_json(connection)
        try:
            yield Session(connection, database.audit, is_joined=True)
        finally:
            await read_as_usual(connection)
        return
    async with database.session() as connection:
        await read_as_json(connection)
        try:
            yield Session(connection, database.audit, is_joined=False)
        finally:
            if not connection.is_closed():
                await read_as_usual(connection)


def _check_count(statement: PreparedStatement, values: list[str | None]) -> None:
    if len(statement.get_parameters()) != len(values):
        raise StatementFailedError("There is no value for a $ parameter.")


@contextmanager
def _their_failures() -> Iterator[None]:
    """Turn what PostgreSQL has against a statement into a StatementFailedError."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state[:2] in _NOT_THEIRS:
            raise
        position = getattr(error, "position", None)
        raise StatementFailedError(
            error.message or "", int(position) if position else None, state
        ) from None
    except UnicodeEncodeError:
        raise StatementFailedError("A text has characters that cannot be stored.") from None
