"""One function: serve an application on sockets that are listening already.

What it promises: sockets may be inherited and shared with another process; stopping loses no
request; a process without connections ends by itself; an idle process never wakes up.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import Protocol

import uvloop

from boxruntime.contract import Limits
from boxruntime.http.application import Application, StartupError
from boxruntime.http.connection import Connection

EXIT_STARTUP_FAILED = 3
BACKLOG = 4096  # Linux's own upper bound (net.core.somaxconn) since 5.4
KEEP_ALIVE_S = 75.0  # longer than clients keep an idle connection, so that no request meets its end
TICK_S = 1.0  # while there are connections
STALLED_S = 75.0  # a client that owes bytes of a request and sends none
STOP_GRACE_S = 1.0
"""How long, when stopping, an open connection without a request may still begin one."""
DRAIN_S = 30.0
"""How long, when stopping, a request in flight may take, counted from the end of the grace."""
SHUTDOWN_S = 10.0  # for the application to close its database connections

_logger = logging.getLogger("boxruntime.http")


class Observer(Protocol):
    """Someone who wants to know where the server stands; all calls come from its event loop."""

    def attach(self, stop: Callable[[float], None]) -> None:
        """Take the function that stops the server: `stop(grace_s)`. The loop is running."""

    def ready(self) -> None:
        """Connections are accepted."""

    def draining(self) -> None:
        """No further connection will be accepted; what waits in the backlog stays there."""


def serve(
    application: Application,
    sockets: Sequence[socket.socket],
    *,
    idle_exit_s: float = 0.0,
    limits: Limits | None = None,
    observer: Observer | None = None,
) -> int:
    """Serve on listening `sockets` until SIGTERM, SIGINT, `stop()` or idleness; return 0.

    Returns EXIT_STARTUP_FAILED if the application does not start. The sockets are closed in this
    process only: connections waiting in the backlog are left to whoever else holds them.
    `idle_exit_s` 0 = never end for lack of connections.
    """
    server = _Server(application, idle_exit_s, limits or Limits(), observer)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(server.run(sockets))


class State:
    """What all connections of a process share.

    `common_head`: the bytes that stand in the head of every answer.
    """

    def __init__(self, max_connections: int = Limits().http_connections) -> None:
        self.max_connections = max_connections
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.common_head = b""
        self.draining = False
        self.on_first_connection: Callable[[], None] = lambda: None
        self.on_last_connection: Callable[[], None] = lambda: None


class _Server:
    def __init__(
        self,
        application: Application,
        idle_exit_s: float,
        limits: Limits,
        observer: Observer | None,
    ) -> None:
        self._application = application
        self._idle_exit_s = idle_exit_s
        self._observer = observer
        self._state = State(limits.http_connections)
        self._state.on_first_connection = self._on_first_connection
        self._state.on_last_connection = self._on_last_connection
        self._changed = asyncio.Event()  # a connection came, or it is time to stop
        self._resting = False  # nothing ticks: the next connection must be told of
        self._stop_grace_s: float | None = None  # not None = stop
        self._forced = False
        self._busy_at = time.monotonic()

    async def run(self, sockets: Sequence[socket.socket]) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            await self._application.startup()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is nothing to serve
            reason = str(error) if isinstance(error, StartupError) else type(error).__name__
            _logger.error("The application does not start: %s", reason)  # noqa: TRY400
            return EXIT_STARTUP_FAILED
        connect = functools.partial(Connection, self._application, self._state)
        self._refresh_date()
        listeners = [await _listen(loop, connect, listener) for listener in sockets]
        if self._observer:
            self._observer.attach(self.stop)
            self._observer.ready()
        self._busy_at = time.monotonic()
        await self._until_done()
        for listener in listeners:
            listener.close()
        # A connection accepted in the last turn of the loop is announced in the next ones.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self._observer:
            self._observer.draining()
        await self._drain(STOP_GRACE_S if self._stop_grace_s is None else self._stop_grace_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._application.shutdown(), SHUTDOWN_S)
        return 0

    def stop(self, grace_s: float) -> None:
        """Stop without losing a request; see STOP_GRACE_S."""
        self._stop_grace_s = grace_s
        self._changed.set()

    def _on_signal(self) -> None:
        self._forced = self._stop_grace_s is not None  # asked twice: whoever waits, waits no more
        self.stop(STOP_GRACE_S)

    def _on_first_connection(self) -> None:
        """There was no connection; after a rest the date is old."""
        if self._resting:
            self._resting = False
            self._refresh_date()
            self._changed.set()

    def _on_last_connection(self) -> None:
        """There is no connection any more. The next tick sees that."""
        self._busy_at = time.monotonic()

    async def _until_done(self) -> None:
        """Return when told to stop, or when there was no connection for idle_exit_s.

        The edge makes a connection for each request, so first and last ones come and go by the
        thousand: they wake nobody up while it ticks anyway.
        """
        tick_s = min(TICK_S, self._idle_exit_s / 4 or TICK_S)
        while self._stop_grace_s is None:
            now = time.monotonic()
            idle_s = now - self._busy_at
            timeout_s: float | None = tick_s
            if self._state.connections or idle_s < tick_s:
                self._refresh_date()
                self._sweep(now)
            elif self._idle_exit_s:
                timeout_s = self._idle_exit_s - idle_s
                if timeout_s <= 0:
                    return
                self._resting = True
            else:
                timeout_s = None  # a process without work never wakes up
                self._resting = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), timeout_s)
            self._resting = False
            self._changed.clear()

    async def _drain(self, grace_s: float) -> None:
        """Answer what was accepted, then close."""
        state = self._state
        state.draining = True
        started = time.monotonic()
        for connection in list(state.connections):
            connection.announce_close()
        while state.connections or state.tasks:
            now = time.monotonic()
            late = self._forced or now - started > grace_s + DRAIN_S
            for connection in list(state.connections):
                if late:
                    connection.abort()
                elif connection.idle_for(now) >= grace_s:
                    connection.close()
                else:
                    connection.end_quiet_stream(now)
            if late:
                for task in list(state.tasks):
                    task.cancel()
                await asyncio.sleep(0.05)
                return
            self._refresh_date()
            await asyncio.sleep(0.01)

    def _sweep(self, now: float) -> None:
        """Close connections that are idle, or whose client owes bytes and sends none."""
        for connection in list(self._state.connections):
            if connection.stalled_for(now) > STALLED_S or connection.idle_for(now) > KEEP_ALIVE_S:
                connection.close()

    def _refresh_date(self) -> None:
        self._state.common_head = f"date: {formatdate(time.time(), usegmt=True)}\r\n".encode()


async def _listen(
    loop: asyncio.AbstractEventLoop,
    connect: Callable[[], asyncio.Protocol],
    listener: socket.socket,
) -> asyncio.AbstractServer:
    if listener.family == socket.AF_UNIX:
        return await loop.create_unix_server(connect, sock=listener, backlog=BACKLOG)
    return await loop.create_server(connect, sock=listener, backlog=BACKLOG)
