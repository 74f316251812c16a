"""Connections to the box's database: a free list, and statements prepared once per connection.

asyncpg's own pool sends a reset batch at every release, which costs more than the queries here:
136 us of CPU per SELECT with it, 52 with this free list. Everything above speaks to `Runner`, so
that a pipelining client can take this place.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import asyncpg

from boxruntime.storage.errors import RETRYABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from boxruntime.settings import DatabaseAddress
    from boxruntime.telemetry.statements import StatementLog

MAX_STATEMENTS = 400  # prepared statements kept per connection; each costs some 10 kB in PostgreSQL
MAX_ATTEMPTS = 6
CONNECT_TIMEOUT_S = 10.0

T = TypeVar("T")


class Runner(Protocol):
    """Runs one statement; `sql` has $1 placeholders and is prepared under its own text."""

    async def run(self, sql: str, *parameters: Any) -> list[asyncpg.Record]: ...

    async def run_planned(self, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        """Run a statement whose best plan depends on its parameters."""
        ...


class _Link:
    """One connection with its prepared statements."""

    __slots__ = ("_log", "_statements", "connection", "is_strange", "plans")

    def __init__(self, connection: asyncpg.Connection, log: StatementLog | None) -> None:
        self.connection = connection
        self._log = log
        self.plans: bool | None = False
        """Whether statements are planned anew for their parameters; None = not known."""
        self.is_strange = False
        """People's own SQL ran in its transaction and may have changed the session."""
        self._statements: OrderedDict[str, Any] = OrderedDict()

    async def run(self, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        if self.plans is not False:
            await self.execute("RESET plan_cache_mode")
            self.plans = False
        return await self._run(sql, *parameters)

    async def run_planned(self, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        """Run a search.

        After five runs PostgreSQL would settle for one plan for all parameters, and a common
        code took 500 ms instead of 1 with the plan of a rare one.
        """
        if self.plans is not True:
            await self.execute("SET plan_cache_mode = force_custom_plan")
            self.plans = True
        return await self._run(sql, *parameters)

    async def _run(self, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        log = self._log
        if log is None:
            return await self._fetch(sql, *parameters)
        started = log.started()
        try:
            records = await self._fetch(sql, *parameters)
        except asyncpg.PostgresError as error:
            log.failed(sql, parameters, started, error.sqlstate)
            raise
        log.ran(sql, parameters, started)
        return records

    async def _fetch(self, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        statement = self._statements.get(sql)
        if statement is None:
            with self._broken_at_once():
                statement = await self.connection.prepare(sql)
            self._statements[sql] = statement
            if len(self._statements) > MAX_STATEMENTS:
                self._statements.popitem(last=False)
        with self._broken_at_once():
            records: list[asyncpg.Record] = await statement.fetch(*parameters)
        return records

    async def execute(self, sql: str) -> None:
        """Run a statement without parameters or result, such as BEGIN."""
        with self._broken_at_once():
            await self.connection.execute(sql)

    @contextmanager
    def _broken_at_once(self) -> Iterator[None]:
        """Give up a connection that confuses the driver.

        A server that dies says so on idle connections, where nothing is expected.
        """
        try:
            yield
        except asyncpg.InternalClientError:
            self.connection.terminate()
            raise asyncpg.InterfaceError("the connection is broken") from None

    def forget_statements(self) -> None:
        self._statements.clear()

    async def forget_session(self) -> None:
        """Undo whatever people's own SQL did to the session."""
        self._statements.clear()
        self.plans = False
        with self._broken_at_once():
            await self.connection.execute("DISCARD ALL")


def lend_connection(runner: Runner) -> asyncpg.Connection:
    """Return the connection of a transaction, for people's own SQL inside of it.

    It is closed when the transaction ends, since that SQL may have changed the session.
    """
    if not isinstance(runner, _Link):
        raise TypeError("only a transaction has a connection of its own")
    runner.is_strange = True
    return runner.connection


class Database:
    """The box's database. Connections are opened as they are needed, up to `size`."""

    def __init__(
        self,
        address: DatabaseAddress,
        *,
        size: int,
        statement_timeout_ms: int,
        log: StatementLog | None = None,
        audit: StatementLog | None = None,
    ) -> None:
        self._address = address
        self._log = log
        self.audit = audit
        """Where the statements that people write themselves are told."""
        self._size = size
        self._settings = {
            "application_name": "halebox",
            "statement_timeout": str(statement_timeout_ms),
            "idle_in_transaction_session_timeout": "60000",
            # Plans of these statements do not depend on their parameters; planning them anew
            # costs more than running them.
            "jit": "off",
        }
        self._free: list[_Link] = []
        self._open = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def connect(self) -> asyncpg.Connection:
        """Open a connection outside the free list, for the caller to close."""
        address = self._address
        return await asyncpg.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
            server_settings=self._settings,
            statement_cache_size=0,
            timeout=CONNECT_TIMEOUT_S,
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection]:
        """Give a connection outside of a transaction for people's own SQL.

        It comes out of the same number of connections, and what is done to its session is undone.
        """
        link = await self._acquire()
        try:
            try:
                yield link.connection
            except BaseException:
                link.connection.terminate()
                raise
            if link.connection.is_in_transaction():
                await link.execute("ROLLBACK")
            await link.forget_session()
        finally:
            self._release(link)

    async def close(self) -> None:
        """Close all idle connections."""
        while self._free:
            link = self._free.pop()
            self._open -= 1
            await link.connection.close(timeout=2)

    async def run(self, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        """Run one statement on any free connection and commit it."""
        link = await self._acquire()
        try:
            return await link.run(sql, *parameters)
        except asyncpg.InvalidCachedStatementError:
            # A table was changed behind our back (DDL); the statement did not run.
            link.forget_statements()
            return await link.run(sql, *parameters)
        except RETRYABLE:
            return await self._run_again(link, sql, *parameters)
        finally:
            self._release(link)

    async def _run_again(self, link: _Link, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        """Run a statement that lost a deadlock: it was rolled back, and the winner goes on."""
        for attempt in range(1, MAX_ATTEMPTS):
            await asyncio.sleep(0.005 * 3**attempt)
            try:
                return await link.run(sql, *parameters)
            except RETRYABLE:
                if attempt == MAX_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def run_planned(self, sql: str, *parameters: Any) -> list[asyncpg.Record]:
        """Run one statement as `run` does, planned for its parameters."""
        link = await self._acquire(plans=True)
        try:
            return await link.run_planned(sql, *parameters)
        except asyncpg.InvalidCachedStatementError:
            link.forget_statements()
            return await link.run_planned(sql, *parameters)
        finally:
            self._release(link)

    async def in_transaction(self, work: Callable[[Runner], Awaitable[T]]) -> T:
        """Run `work` in one transaction and return its result.

        Deadlocks and serialisation failures roll back and run `work` again, so it must not keep
        state between calls.
        """
        for attempt in range(MAX_ATTEMPTS):
            try:
                async with self.transaction() as runner:
                    return await work(runner)
            except RETRYABLE:
                if attempt == MAX_ATTEMPTS - 1:
                    raise
                # Whoever lost the race waits a little longer each time.
                await asyncio.sleep(0.005 * 3**attempt)
        raise AssertionError("unreachable")

    async def without_timeout(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Run `work` on a connection whose statements may take longer than a request's."""
        link = await self._acquire()
        try:
            await link.execute("SET statement_timeout = 0")
            result = await work(link.connection)
            await link.execute("RESET statement_timeout")
        except BaseException:
            link.connection.terminate()
            raise
        else:
            return result
        finally:
            self._release(link)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Runner]:
        """Give a runner whose statements are one transaction; an exception rolls it back."""
        link = await self._acquire()
        try:
            await link.execute("BEGIN")
            try:
                yield link
            except BaseException:
                if not link.connection.is_closed():
                    await link.execute("ROLLBACK")
                    link.plans = None  # rolled back too, if it was set in here
                raise
            await link.execute("COMMIT")
        finally:
            self._release(link)

    @asynccontextmanager
    async def reading(self, begin: str) -> AsyncIterator[asyncpg.Connection]:
        """Give a connection in the transaction that `begin` opens; it is always rolled back."""
        link = await self._acquire()
        try:
            await link.execute(begin)
            try:
                yield link.connection
            finally:
                if not link.connection.is_closed():
                    await link.execute("ROLLBACK")
                    link.plans = None  # whatever the statements set
        finally:
            self._release(link)

    async def _acquire(self, *, plans: bool = False) -> _Link:
        while True:
            while self._free:
                # A connection that needs no change of its planning saves a round trip.
                fitting = (
                    n for n in range(len(self._free) - 1, -1, -1) if self._free[n].plans is plans
                )
                link = self._free.pop(next(fitting, -1))
                if not link.connection.is_closed():
                    return link
                self._open -= 1
            if self._open < self._size:
                self._open += 1
                try:
                    return _Link(await self.connect(), self._log)
                except BaseException:
                    self._open -= 1
                    self._wake()
                    raise
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise

    def _release(self, link: _Link) -> None:
        connection = link.connection
        if connection.is_closed():
            self._open -= 1
        elif connection.is_in_transaction() or link.is_strange:
            # Only a cancelled rollback leaves a transaction; such a connection cannot be trusted.
            connection.terminate()
            self._open -= 1
        else:
            self._free.append(link)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
