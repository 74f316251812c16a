"""The manager's handle of one box process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import time
from typing import TYPE_CHECKING

import msgspec

from boxruntime.host.handover import LineState
from boxruntime.host.messages import DRAINING, READY

if TYPE_CHECKING:
    from collections.abc import Callable

_PRIVATE_KB = re.compile(rb"^Private_(?:Clean|Dirty): +(\d+)", re.MULTILINE)
START_S = 30.0  # from fork to the first accepted connection, the database's start included
KILL_AFTER_S = 45.0  # drain (30 s) and the application's own end (10 s) have passed


class BoxLine:
    """A box process, from fork to exit. Events come in the order ready, draining, exited."""

    def __init__(self, pid: int, connection: socket.socket, generation: int) -> None:
        self.pid = pid
        self.generation = generation
        self.connection = connection
        self.started_at = time.monotonic()
        self.ready_at: float | None = None
        self.memory: int | None = None
        """Descriptor of its smaps_rollup: readable though the process is not dumpable."""
        self.draining = asyncio.Event()
        self.exited = asyncio.Event()
        self.status: int | None = None
        self.on_ready: Callable[[], None] = lambda: None
        self.on_draining: Callable[[], None] = lambda: None
        self.on_exit: Callable[[], None] = lambda: None
        self._killer: asyncio.TimerHandle | None = None
        connection.setblocking(False)
        asyncio.get_running_loop().add_reader(connection.fileno(), self._on_readable)

    @classmethod
    def resume(cls, state: LineState) -> BoxLine:
        """Take over from the former manager of the same process id."""
        line = cls(state.pid, socket.socket(fileno=state.connection), state.generation)
        line.memory = state.memory
        if state.ready:
            line.ready_at = line.started_at
        else:
            line.kill_after(START_S)
        if state.draining:
            line.draining.set()
            line.kill_after(KILL_AFTER_S)
        return line

    def state_to_hand_over(self) -> LineState:
        """Return what `resume` needs."""
        return LineState(
            pid=self.pid,
            generation=self.generation,
            connection=self.connection.fileno(),
            memory=self.memory,
            ready=self.ready_at is not None,
            draining=self.draining.is_set(),
        )

    def tell(self, briefing: msgspec.Struct) -> None:
        """Send the first line. Raises OSError when the process is gone."""
        self.connection.sendall(msgspec.json.encode(briefing) + b"\n")

    def stop(self, grace_s: float, kill_after_s: float = KILL_AFTER_S) -> None:
        """Ask for a graceful end; it is killed if it does not come in `kill_after_s` + grace."""
        with contextlib.suppress(OSError):
            self.connection.sendall(b"stop %.3f\n" % grace_s)
        self.kill_after(grace_s + kill_after_s)

    def kill_after(self, delay_s: float) -> None:
        """Kill the process if it still runs then; an earlier appointment stays."""
        when = asyncio.get_running_loop().time() + delay_s
        if self._killer is None or self._killer.when() > when:
            if self._killer:
                self._killer.cancel()
            self._killer = asyncio.get_running_loop().call_at(when, self.kill)

    def spare(self) -> None:
        """Cancel the appointed kill."""
        if self._killer:
            self._killer.cancel()
            self._killer = None

    def kill(self) -> None:
        """Kill the process unless it is known to have ended."""
        if not self.exited.is_set():
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # its mould reaped it and died before saying so
                self.set_exited(None)

    async def wait_stopped(self, timeout_s: float) -> None:
        """Return when the process accepts no connection any more, or `timeout_s` has passed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.draining.wait(), timeout_s)

    def private_bytes(self) -> int | None:
        """Return the memory that no other process shares; None while not known."""
        if self.memory is None:
            return None
        try:
            return 1024 * sum(int(kb) for kb in _PRIVATE_KB.findall(os.pread(self.memory, 4096, 0)))
        except OSError:  # the process just ended
            return None

    def set_exited(self, status: int | None) -> None:
        """Take note that the process ended."""
        if self.exited.is_set():
            return
        self._on_readable()  # what it said last comes before the news of its death
        self.status = status
        if self._killer:
            self._killer.cancel()
        self._close()
        if self.memory is not None:
            os.close(self.memory)
            self.memory = None
        self.exited.set()
        self.draining.set()
        self.on_exit()

    def _on_readable(self) -> None:
        while self.connection.fileno() >= 0:
            try:
                data, descriptors, _flags, _address = socket.recv_fds(self.connection, 64, 4)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            for descriptor in descriptors:
                if self.memory is None:
                    self.memory = descriptor
                else:
                    os.close(descriptor)
            if not data:
                self._close()
                # Its end is reported by whoever reaps it; one that only closed its line, so as
                # not to be told to stop, does not live on.
                self.kill_after(1.0)
                return
            if READY in data:
                self.ready_at = time.monotonic()
                self.on_ready()
            if DRAINING in data and not self.draining.is_set():
                self.draining.set()
                self.on_draining()

    def _close(self) -> None:
        if self.connection.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.connection.fileno())
            self.connection.close()
