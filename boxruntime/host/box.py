"""One box as the manager keeps it: its sockets, its process, and when to make another.

The state is one value:

    ASLEEP   --connection-->  STARTING  --ready-->  AWAKE
    AWAKE    --stops accepting (idle, asked)-->     ASLEEP
    STARTING, AWAKE --died--> ASLEEP, from the third rapid death on FAILING
    FAILING  --delay over-->  STARTING
    any      --remove-->      REMOVED

While ASLEEP the manager watches the listening sockets, while FAILING it answers 503 on them;
otherwise they belong to the process. They are never closed, so no connection is ever refused.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import socket
from typing import TYPE_CHECKING, Protocol

from boxruntime.contract import BoxPhase, BoxStatus, Limits
from boxruntime.host import unavailable
from boxruntime.host.errors import HostError
from boxruntime.host.handover import BoxState
from boxruntime.host.line import KILL_AFTER_S, START_S, BoxLine
from boxruntime.host.messages import Briefing, Confinement

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from boxruntime.contract import BoxSpec
    from boxruntime.host.specs import Kept

STABLE_S = 10.0  # a process that served this long was well; its death starts the count anew
RAPID_DEATHS = 3  # before a box counts as failing
FIRST_DELAY_S, LAST_DELAY_S = 1.0, 60.0
STOPPED_S = 5.0  # for a process to say that it accepts no more

_logger = logging.getLogger("boxhost.box")


class State(enum.Enum):
    ASLEEP = enum.auto()
    STARTING = enum.auto()
    AWAKE = enum.auto()
    FAILING = enum.auto()
    REMOVED = enum.auto()


class Caster(Protocol):
    """What a box needs of the manager to get a process."""

    async def fork(self, spec: BoxSpec, sockets: Sequence[socket.socket]) -> int:
        """Return the pid of a child that waits for its briefing. Raises HostError."""

    def confine(self, kept: Kept, pid: int) -> Confinement:
        """Place the child under the box's limits; return what it shall do itself."""

    def watch_exit(self, line: BoxLine) -> None:
        """Have `line.set_exited` called when its process ends."""


class Box:
    """Commands come one at a time (the manager sees to it), events in between."""

    def __init__(self, kept: Kept, listeners: list[socket.socket], caster: Caster) -> None:
        self.kept = kept
        self.listeners = listeners
        self.state = State.ASLEEP
        self.line: BoxLine | None = None
        self.retiring: set[BoxLine] = set()
        self.deaths = 0
        self.restarts = 0
        self.last_exit: int | None = None
        self._caster = caster
        self._starting: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watched: list[socket.socket] = []
        self._on_connection: Callable[[], None] = self.wake

    @property
    def id(self) -> str:
        return self.kept.spec.id

    @property
    def limits(self) -> Limits:
        return self.kept.spec.limits

    @property
    def has_process(self) -> bool:
        """Whether a process runs or is being started."""
        return self.state is not State.ASLEEP or bool(self.retiring)

    def status(self, socket_path: Path) -> BoxStatus:
        """Return the box as it is. A process being started counts as awake."""
        has_port = self.kept.spec.loopback_port is None or len(self.listeners) > 1
        phase = BoxPhase.ASLEEP
        if self.deaths >= RAPID_DEATHS:
            phase = BoxPhase.FAILING
        elif self.line or self.state is State.STARTING:
            phase = BoxPhase.AWAKE
        return BoxStatus(
            id=self.id,
            generation=self.kept.spec.generation,
            phase=phase,
            socket=str(socket_path),
            reachable=has_port and socket_path.exists(),
            pid=self.line.pid if self.line else None,
            restarts=self.restarts,
            last_exit=self.last_exit,
            memory_bytes=self.line.private_bytes() if self.line else None,
        )

    def sleep(self) -> None:
        """Wait for a connection, which then wakes the box."""
        self.state = State.ASLEEP
        self._watch(self.wake)

    def wake(self) -> None:
        """Start a process unless there is one; all connections meanwhile share this start."""
        if self.state in (State.ASLEEP, State.FAILING):
            self._unwatch()
            self.state = State.STARTING
            self._starting = self._spawn(self._start())

    async def stop(self, grace_s: float) -> None:
        """Have the process stop accepting; return when it did. The box sleeps then.

        `grace_s`: how long open connections without a request may still begin one.
        """
        await self.settle()
        self._cancel_retry()
        self.deaths = 0
        if self.line:
            line = self.line
            line.stop(grace_s)
            await line.wait_stopped(STOPPED_S)
            if self.line is line:  # it did not say so: do without its consent
                line.kill_after(STOPPED_S)
                self._retire(line)
        elif self.state is State.FAILING:
            self.sleep()

    async def wait_ended(self, timeout_s: float) -> None:
        """Return when no stopped process is left, or `timeout_s` has passed."""
        waits = [asyncio.ensure_future(line.exited.wait()) for line in self.retiring]
        if waits:
            _done, pending = await asyncio.wait(waits, timeout=timeout_s)
            for wait in pending:
                wait.cancel()

    async def end(self, grace_s: float, timeout_s: float) -> None:
        """Stop listening and end all processes, by force after `timeout_s`; for good.

        Connections that still wait are answered 503.
        """
        await self.settle()
        self._unwatch()
        self._cancel_retry()
        self.state = State.REMOVED
        if self.line:
            self._retire(self.line)
        for line in self.retiring:
            line.stop(grace_s, timeout_s)
        await self.wait_ended(timeout_s + 1.0)
        for listener in self.listeners:
            for connection in unavailable.accept_waiting(listener, unavailable.MAX_ANSWERS):
                self._spawn(unavailable.answer(connection, 1))
            listener.close()
        self.listeners = []
        while self._tasks:
            await asyncio.wait(self._tasks)

    def replace_listeners(self, listeners: list[socket.socket]) -> None:
        """Listen on these from now on; a running process keeps its own until it ends."""
        on_connection = self._on_connection if self._watched else None
        self._unwatch()
        for listener in self.listeners:
            if listener not in listeners:
                listener.close()
        self.listeners = listeners
        if on_connection:
            self._watch(on_connection)

    def state_to_hand_over(self) -> BoxState:
        """Return what a newer manager needs to go on. No fork may be on its way."""
        return BoxState(
            id=self.id,
            listeners=tuple(listener.fileno() for listener in self.listeners),
            line=self.line.state_to_hand_over() if self.line else None,
            retiring=tuple(line.state_to_hand_over() for line in self.retiring),
            deaths=self.deaths,
            restarts=self.restarts,
            last_exit=self.last_exit,
        )

    @classmethod
    def resume(cls, state: BoxState, kept: Kept, caster: Caster) -> Box:
        """Go on where the former manager stopped; a failing box gets its next try at once."""
        listeners = [socket.socket(fileno=descriptor) for descriptor in state.listeners]
        box = cls(kept, listeners, caster)
        box.deaths, box.restarts, box.last_exit = state.deaths, state.restarts, state.last_exit
        for old in state.retiring:
            line = BoxLine.resume(old)
            box._attach(line)
            box.retiring.add(line)
        if state.line is None:
            box.sleep()
        else:
            box.line = BoxLine.resume(state.line)
            box._attach(box.line)
            box.state = State.AWAKE if state.line.ready else State.STARTING
        return box

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                pid = await self._caster.fork(self.kept.spec, [theirs, *self.listeners])
            except HostError as error:
                ours.close()
                _logger.error("No process: %s", error, extra={"box": self.id})  # noqa: TRY400
                self._died(None)
                return
        line = BoxLine(pid, ours, self.kept.spec.generation)
        self.line = line
        self._attach(line)
        try:
            confinement = self._caster.confine(self.kept, pid)
            line.tell(Briefing(self.kept.spec, confinement))
        except OSError as error:
            _logger.error("Not started: %s", error.strerror, extra={"box": self.id})  # noqa: TRY400
            line.kill()
            return
        line.kill_after(START_S)

    @property
    def is_forking(self) -> bool:
        """Whether a fork is on its way: it cannot be called back."""
        return self._starting is not None and not self._starting.done()

    async def settle(self) -> None:
        """Return when no fork is on its way."""
        while self._starting and not self._starting.done():
            await asyncio.wait([self._starting])

    def _attach(self, line: BoxLine) -> None:
        line.on_ready = lambda: self._on_ready(line)
        line.on_draining = lambda: self._on_draining(line)
        line.on_exit = lambda: self._on_exit(line)
        self._caster.watch_exit(line)

    def _on_ready(self, line: BoxLine) -> None:
        if line is self.line:
            line.spare()
            self.state = State.AWAKE
            if self.deaths >= RAPID_DEATHS:
                asyncio.get_running_loop().call_later(STABLE_S, self._forgive, line)

    def _forgive(self, line: BoxLine) -> None:
        if line is self.line:
            self.deaths = 0

    def _on_draining(self, line: BoxLine) -> None:
        if line is self.line:
            self.deaths = 0
            line.kill_after(KILL_AFTER_S)
            self._retire(line)

    def _retire(self, line: BoxLine) -> None:
        self.retiring.add(line)
        self.line = None
        if self.state is not State.REMOVED:
            self.sleep()

    def _on_exit(self, line: BoxLine) -> None:
        self.last_exit = line.status
        if line is self.line:
            self.line = None
            self._died(line)
        self.retiring.discard(line)

    def _died(self, line: BoxLine | None) -> None:
        """The process ended without having stopped accepting first."""
        if self.state is State.REMOVED:
            return
        loop = asyncio.get_running_loop()
        served_s = loop.time() - line.ready_at if line and line.ready_at else 0.0
        self.deaths = 1 if served_s >= STABLE_S else self.deaths + 1
        self.restarts += 1
        if self.deaths < RAPID_DEATHS:
            _logger.warning("Died (%s).", self.last_exit, extra={"box": self.id})
            self.sleep()
            return
        delay_s = min(LAST_DELAY_S, FIRST_DELAY_S * 2 ** min(self.deaths - RAPID_DEATHS, 10))
        _logger.error(
            "Died (%s) %d times in a row; next try in %.0f s.",
            self.last_exit,
            self.deaths,
            delay_s,
            extra={"box": self.id},
        )
        self.state = State.FAILING
        self._retry = loop.call_later(delay_s, self._try_again)
        self._watch(self._answer_unavailable)

    def _try_again(self) -> None:
        self._retry = None
        if self.state is State.FAILING:
            self.wake()

    def _answer_unavailable(self) -> None:
        """Answer what waits; more than MAX_ANSWERS at a time wait in the backlog."""
        loop = asyncio.get_running_loop()
        wait_s = self._retry.when() - loop.time() if self._retry else 0.0
        for listener in self.listeners:
            most = unavailable.MAX_ANSWERS - len(self._answers)
            for connection in unavailable.accept_waiting(listener, most):
                task = self._spawn(unavailable.answer(connection, max(1, round(wait_s))))
                self._answers.add(task)
                task.add_done_callback(self._on_answered)
        if len(self._answers) >= unavailable.MAX_ANSWERS:
            self._unwatch()

    def _on_answered(self, task: asyncio.Task[None]) -> None:
        self._answers.discard(task)
        if self.state is State.FAILING and not self._watched:
            self._watch(self._answer_unavailable)

    def _watch(self, on_connection: Callable[[], None]) -> None:
        self._unwatch()
        self._on_connection = on_connection
        for listener in self.listeners:
            asyncio.get_running_loop().add_reader(listener.fileno(), on_connection)
            self._watched.append(listener)

    def _unwatch(self) -> None:
        for listener in self._watched:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        self._watched = []

    def _cancel_retry(self) -> None:
        if self._retry:
            self._retry.cancel()
            self._retry = None

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
