"""The manager: owns every box's sockets and specs, and has the mould fork when one is called.

It imports nothing of the box itself, so that it stays small and need not restart for new code.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.contract import BoxSpec, BoxStatus, Command, Request
from boxruntime.host import confinement, handover
from boxruntime.host.bounds import Bounds, check_limits
from boxruntime.host.box import Box, State
from boxruntime.host.control import ControlServer
from boxruntime.host.errors import HostError
from boxruntime.host.listeners import (
    SOCKET_MODE,
    check_path,
    listen_box,
    listen_loopback,
    listen_unix,
)
from boxruntime.host.messages import MAX_SPEC_BYTES, Briefing, Confinement
from boxruntime.host.moulds import Moulds, version_of
from boxruntime.host.names import check_name
from boxruntime.host.specs import Kept, SpecStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxruntime.host.line import BoxLine

STOP_GRACE_S = 1.0  # for open connections when a box is reconfigured, put to sleep or removed
UPGRADE_GRACE_S = 35.0  # longer than most clients of a loopback port keep an idle connection
END_S = 30.0  # for requests in work when the host ends or a box is removed
REST_S = 60.0  # between two looks for moulds that nobody needs any more
_PR_SET_CHILD_SUBREAPER = 36
_logger = logging.getLogger("boxhost")


class Manager:
    """All boxes of one run directory. One event loop, one thread."""

    def __init__(
        self, run_dir: Path, cluster_key: bytes, application: str, arguments: Sequence[str]
    ) -> None:
        """`arguments`: the command line to start a newer manager with."""
        self._run_dir = run_dir
        self._arguments = arguments
        self._store = SpecStore(run_dir.parent / "boxhost", cluster_key)
        self._boxes: dict[str, Box] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._lines: dict[int, BoxLine] = {}
        self._early_exits: dict[int, int] = {}
        self._checks: dict[int, asyncio.Future[int]] = {}
        self._upgrading = asyncio.Lock()
        self._replacing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._moulds = Moulds(application, self._on_exit, self._spawn)
        self._lock_fd = -1
        self._bounds: Bounds  # of what the lock gives us alone, like the two below
        self._control: ControlServer

    async def run(self, resumed: handover.Handover | None) -> int:
        """Serve until SIGTERM or SIGINT; return 0. Raises HostError if it cannot begin."""
        _become_reaper()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._replace_self()))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        if resumed is None:
            self._begin()
        else:
            self._resume(resumed)
        self._bounds = Bounds(self._run_dir)
        self._reap()
        self._spawn(self._rest_moulds())
        self._control.start()
        properties = self._bounds.describe().items()
        told = "; ".join(f"{name}: {text}" for name, text in properties)
        _logger.info("%d boxes. %s.", len(self._boxes), told)
        await self._stop.wait()
        await self._end()
        return 0

    # --- what a box needs (box.Caster)

    async def fork(self, spec: BoxSpec, sockets: Sequence[socket.socket]) -> int:
        """Return the pid of a new child, cast from the mould of its FHIR version."""
        return await self._moulds.fork(version_of(spec), spec.id, sockets)

    def confine(self, kept: Kept, pid: int) -> Confinement:
        """Place the child under its limits; return what it shall do itself."""
        return self._bounds.confine(kept, pid, self._moulds.data_kb(version_of(kept.spec)))

    def watch_exit(self, line: BoxLine) -> None:
        """Have `line` told when its process ends."""
        if line.pid in self._early_exits:
            status = self._early_exits.pop(line.pid)
            asyncio.get_running_loop().call_soon(line.set_exited, status)
        else:
            self._lines[line.pid] = line

    # --- commands

    async def handle(self, request: Request) -> Any:
        """Carry out one command. Raises HostError."""
        if self._stop.is_set():
            raise HostError("The box host is ending.")
        match request.command:
            case Command.PING:
                known = {"ready": self._moulds.is_ready, "boxes": len(self._boxes)}
                return known | self._bounds.describe()
            case Command.LIST:
                return [self._status(box) for box in self._boxes.values()]
            case Command.UPGRADE:
                return await self._upgrade()
            case Command.ENSURE:
                if request.spec is None:
                    raise HostError("A spec is missing.")
                async with self._lock(request.spec.id):
                    return await self._ensure(request.spec)
        async with self._lock(request.box):
            box = self._boxes.get(check_name(request.box))
            match request.command:
                case Command.STATUS:
                    return self._status(box) if box else None
                case Command.REMOVE:
                    return await self._remove(check_name(request.box))
                case _:
                    if box is None:
                        raise HostError("There is no such box.")
                    await box.stop(STOP_GRACE_S)
                    await box.wait_ended(END_S)
                    return self._status(box)

    async def _ensure(self, spec: BoxSpec) -> BoxStatus:
        known = self._boxes.get(spec.id)
        if known:
            status, current = self._status(known), known.kept.spec
            if spec.generation < current.generation or (spec == current and status.reachable):
                return status
        check_limits(spec.limits)
        probe = Briefing(spec, Confinement(0, 0, 0, (str(self._run_dir),)))
        if len(msgspec.json.encode(probe)) > MAX_SPEC_BYTES:
            raise HostError(f"A box spec has at most {MAX_SPEC_BYTES} bytes.")
        check_path(self._socket_path(spec.id))
        number = known.kept.number if known else self._store.take_number()
        kept = Kept(spec, number)
        listeners = self._make_listeners(spec, known)
        try:
            self._store.save(kept)
        except OSError:
            for listener in listeners:
                if known is None or listener not in known.listeners:
                    listener.close()
            raise
        if known is None:
            self._boxes[spec.id] = box = Box(kept, listeners, self)
            box.sleep()
            return self._status(box)
        known.kept = kept
        known.replace_listeners(listeners)
        await known.stop(STOP_GRACE_S)
        # Idle connections to the old process end with its grace: whoever asks after our answer
        # is served by the new spec.
        await known.wait_ended(2 * STOP_GRACE_S)
        return self._status(known)

    async def _remove(self, name: str) -> None:
        self._store.delete(name)
        self._socket_path(name).unlink(missing_ok=True)
        box = self._boxes.pop(name, None)
        if box:
            await box.end(STOP_GRACE_S / 2, END_S / 3)
        await self._bounds.forget(name)

    async def _upgrade(self) -> None:
        async with self._upgrading:
            await self._moulds.upgrade()
            for box in list(self._boxes.values()):
                if box.state is not State.ASLEEP:
                    async with self._lock(box.id):
                        await box.stop(UPGRADE_GRACE_S)

    def _status(self, box: Box) -> BoxStatus:
        return box.status(self._socket_path(box.id))

    def _lock(self, name: str | None) -> asyncio.Lock:
        return self._locks.setdefault(check_name(name), asyncio.Lock())

    def _socket_path(self, name: str) -> Path:
        return self._run_dir / "boxes" / f"{name}.sock"

    def _make_listeners(self, spec: BoxSpec, known: Box | None) -> list[socket.socket]:
        """Return the sockets of `spec`, those of the running box where they stay the same."""
        path = self._socket_path(spec.id)
        if known is None:
            return listen_box(path, spec.loopback_port)
        same_port = known.kept.spec.loopback_port == spec.loopback_port
        return listen_box(
            path,
            spec.loopback_port,
            unix=known.listeners[0] if path.exists() else None,
            loopback=known.listeners[1] if same_port and len(known.listeners) > 1 else None,
        )

    # --- begin, resume, replace, end

    def _begin(self) -> None:
        boxes_dir = self._run_dir / "boxes"
        boxes_dir.mkdir(parents=True, exist_ok=True)
        for directory in (self._run_dir, boxes_dir):
            directory.chmod(0o755)
        check_path(self._run_dir / "boxhost.sock")
        self._take_lock()
        for left in (*boxes_dir.glob("*.sock"), *boxes_dir.glob(".*")):
            left.unlink(missing_ok=True)
        self._moulds.begin()
        for kept in self._store.load():
            self._adopt(kept)
        control = listen_unix(self._run_dir / "boxhost.sock", 0o600)
        self._control = ControlServer(control, self.handle)

    def _adopt(self, kept: Kept) -> None:
        """Listen for a box known from disk; one that cannot be had does not hinder the others."""
        box, port = kept.spec.id, kept.spec.loopback_port
        try:
            listeners = [listen_unix(self._socket_path(box), SOCKET_MODE)]
        except (HostError, OSError) as error:
            _logger.error("Not served: %s", error, extra={"box": box})  # noqa: TRY400
            return
        if port is not None:
            try:
                listeners.append(listen_loopback(port))
            except HostError as error:
                _logger.error("%s", error, extra={"box": box})  # noqa: TRY400
        self._boxes[box] = Box(kept, listeners, self)
        self._boxes[box].sleep()

    def _resume(self, state: handover.Handover) -> None:
        self._lock_fd = state.lock
        self._control = ControlServer(socket.socket(fileno=state.control), self.handle)
        self._moulds.resume((state.mould, *state.more_moulds))
        known = {kept.spec.id: kept for kept in self._store.load()}
        for old in state.boxes:
            self._boxes[old.id] = Box.resume(old, known[old.id], self)

    async def _replace_self(self) -> None:
        """Become a new manager from the code on disk, keeping sockets and processes."""
        async with self._replacing:
            # First, for it waits for the commands in work, of which one may be an upgrade.
            await self._control.pause()
            check = [sys.executable, "-m", "boxruntime.host", *self._arguments, "--check"]
            process = subprocess.Popen(check, stdin=subprocess.DEVNULL)  # noqa: ASYNC220 - a fork
            process.returncode = 0
            result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._checks[process.pid] = result
            if await result:
                _logger.error("The new box host does not start: this one goes on.")
                self._control.start()
                return
            await self._bounds.settle()
            while any(box.is_forking for box in self._boxes.values()):
                await asyncio.gather(*(box.settle() for box in self._boxes.values()))
                await self._bounds.settle()
            try:
                handover.execute(self._handover(), self._arguments)
            except OSError as error:
                _logger.error("Not replaced: %s.", error.strerror)  # noqa: TRY400
                self._control.start()

    def _handover(self) -> handover.Handover:
        default, *others = self._moulds.states_to_hand_over()
        return handover.Handover(
            lock=self._lock_fd,
            control=self._control.listener.fileno(),
            mould=default,
            more_moulds=tuple(others),
            boxes=tuple(box.state_to_hand_over() for box in self._boxes.values()),
        )

    async def _end(self) -> None:
        await self._control.pause()
        (self._run_dir / "boxhost.sock").unlink(missing_ok=True)
        for name in self._boxes:
            self._socket_path(name).unlink(missing_ok=True)
        boxes = list(self._boxes.values())
        await asyncio.gather(*(box.end(STOP_GRACE_S, END_S) for box in boxes))
        self._moulds.close()
        for box in boxes:
            await self._bounds.forget(box.id)
        await self._bounds.close()

    def _on_stop(self) -> None:
        if self._stop.is_set():  # asked twice: end the processes at once
            for line in list(self._lines.values()):
                line.kill()
        self._stop.set()

    # --- children

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if pid in self._checks:
                self._checks.pop(pid).set_result(code)
            elif pid in self._lines:
                self._on_exit(pid, code)

    def _on_exit(self, pid: int, status: int) -> None:
        line = self._lines.pop(pid, None)
        if line:
            line.set_exited(status)
        else:
            self._early_exits[pid] = status  # the news of its birth is still on the way

    async def _rest_moulds(self) -> None:
        """Let moulds end that no box has needed for a while."""
        while not self._stop.is_set():
            boxes = self._boxes.values()
            self._moulds.rest({version_of(box.kept.spec) for box in boxes if box.has_process})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), REST_S)

    # --- small things

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take_lock(self) -> None:
        """Be the only manager of the run directory. Raises HostError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._lock_fd = os.open(self._run_dir / "boxhost.lock", flags, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HostError(f"A box host serves {self._run_dir} already.") from None


def _become_reaper() -> None:
    """Get the children of a mould that ends; and let no same-user process read our memory."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    confinement.set_name("halebox boxhost")
    confinement.set_dumpable(allowed=False)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
