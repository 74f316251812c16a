"""News of changed meta-resources, between all processes of a box.

Triggers announce each change of a watched table on one channel, whoever made it; every process
listens and loads anew. That alone is late: whoever wrote got an answer before another process had
heard of it. So a writer, after its commit, sends a question after the announcement and answers its
client when every process that listens has replied. PostgreSQL delivers in the order of commits, so
a reply means that all earlier announcements were taken over. A process that is alone asks nobody.

A process that lost its connection may have missed something, and nobody waits for it: it answers no
request until it listens again and has loaded everything (`is_current`).

Tried instead: a version in each statement (a read costs 10 us more, and what is validated before the
statement would have to be done again), and locks on version numbers (their order is not that of the
commits). Source: architecture, "Coherence".
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any

import asyncpg

from boxruntime.storage.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from boxruntime.storage.database import Database

RETRY_S = 1.0
MAX_SILENCE_S = 5.0
"""After this long a process that does not reply hangs, and hears of the changes when it wakes."""
_LOOK_S = 0.2
_REPLIES = "box_replies"
_QUESTION = "ask:"
_LISTENER = "halebox listener"
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


class _Question:
    """Whose reply is missing: process numbers of their listening connections."""

    __slots__ = ("answered", "missing")

    def __init__(self, others: set[int]) -> None:
        self.missing = others
        self.answered = asyncio.Event()

    def keep(self, processes: set[int]) -> None:
        self.missing &= processes
        if not self.missing:
            self.answered.set()


class ChangeListener:
    """Calls `on_change(tables)` for what was announced; None = any table may have changed."""

    def __init__(
        self, database: Database, on_change: Callable[[frozenset[str] | None], Awaitable[None]]
    ) -> None:
        self._database = database
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection | None = None
        self._news: asyncio.Queue[str | None] = asyncio.Queue()
        self._questions: dict[str, _Question] = {}
        self._mending = asyncio.Lock()
        self.is_current = False
        """No change can have been missed."""

    async def start(self) -> None:
        """Begin to listen and load everything; from the return on no change goes unnoticed."""
        await self.catch_up()

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None and not self._connection.is_closed():
            await self._connection.close(timeout=2)

    async def catch_up(self) -> None:
        """Listen again after a lost connection, and load everything.

        Raises what the database raises when it cannot be reached.
        """
        async with self._mending:
            if self.is_current:
                return
            news: asyncio.Queue[str | None] = asyncio.Queue()
            connection = await self._database.connect()
            try:
                await self._listen(connection, news)
                self._connection, self._news = connection, news
                await self._on_change(None)
            except BaseException:
                connection.terminate()  # others would wait for its replies
                raise
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._keep_listening())
                # Whatever ends it shows when the next request loads everything.
                self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
            self.is_current = not connection.is_closed()

    async def _listen(
        self, connection: asyncpg.Connection, news: asyncio.Queue[str | None]
    ) -> None:
        connection.add_termination_listener(lambda _: self._lost(news))
        await connection.add_listener(CHANGES, lambda *heard: news.put_nowait(heard[3]))
        await connection.add_listener(_REPLIES, self._replied)
        # Whoever looks for listeners from now on finds this one, which hears all.
        await connection.execute(f"SET application_name = '{_LISTENER}'")

    async def settle(self) -> None:
        """Return when all other processes have taken over every change committed so far."""
        others = await self._others()
        if not others:
            return
        token = secrets.token_hex(8)
        question = self._questions[token] = _Question(others)
        try:
            await self._database.run("SELECT pg_notify($1, $2)", CHANGES, _QUESTION + token)
            async with asyncio.timeout(MAX_SILENCE_S):
                while question.missing:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(question.answered.wait(), _LOOK_S)
                    if question.missing:
                        question.keep(await self._others())  # one may have ended meanwhile
        except TimeoutError:
            pass
        finally:
            del self._questions[token]

    async def _others(self) -> set[int]:
        records = await self._database.run(
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = $1 AND pid <> $2",
            _LISTENER,
            self._process(),
        )
        return {record["pid"] for record in records}

    def _process(self) -> int:
        """Return the number of our listening connection, 0 without one."""
        connection = self._connection
        if connection is None or connection.is_closed():
            return 0
        number: int = connection.get_server_pid()
        return number

    def _lost(self, news: asyncio.Queue[str | None]) -> None:
        if news is self._news:
            self.is_current = False
        news.put_nowait(None)

    def _replied(self, *heard: Any) -> None:
        token, _, process = heard[3].partition(" ")
        question = self._questions.get(token)
        if question is not None and process.isdigit():
            question.keep(question.missing - {int(process)})

    async def _keep_listening(self) -> None:
        try:
            while True:
                await self._hear()
        finally:
            # Nobody may be answered from what is kept, nor wait for a reply from here.
            self.is_current = False
            if self._connection is not None:
                self._connection.terminate()

    async def _hear(self) -> None:
        """Wait for news and take over all there are."""
        news = self._news
        heard = [await news.get()]
        while not news.empty():
            heard.append(news.get_nowait())
        if None in heard:
            await self._persist(self.catch_up)
            return
        words = [word for word in heard if word is not None]
        tables = frozenset(word for word in words if not word.startswith(_QUESTION))
        if tables:
            await self._persist(lambda: self._on_change(tables))
        for word in words:
            if word.startswith(_QUESTION):
                await self._reply(word.removeprefix(_QUESTION))

    async def _reply(self, token: str) -> None:
        connection = self._connection
        if token in self._questions or connection is None:
            return  # our own question
        with contextlib.suppress(*_FAILURES):
            # Not on the free list, whose connections may all be in use.
            await connection.execute(
                "SELECT pg_notify($1, $2)", _REPLIES, f"{token} {self._process()}"
            )

    async def _persist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat until it succeeds: what is kept must not stay stale."""
        while True:
            try:
                await work()
            except _FAILURES:
                await asyncio.sleep(RETRY_S)
            else:
                return
