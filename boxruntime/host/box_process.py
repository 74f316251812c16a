"""What a freshly forked child does until it serves: give up rights, then learn who it is.

The order matters: everything the mould left open is closed first, rights are dropped before the
spec is read, and the first line of the box's own code runs confined.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING

import msgspec

from boxruntime.host import confinement
from boxruntime.host.messages import DRAINING, READY, Briefing
from boxruntime.http.server import STOP_GRACE_S, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from boxruntime.host.factory import Factory

EXIT_FAILED = 4
_SPEC_TIMEOUT_S = 10.0
_logger = logging.getLogger("boxhost.box")


def run(box: str, factory: Factory, descriptors: Sequence[int]) -> int:
    """Serve `box` on the given descriptors (its line, then its listening sockets).

    Returns the exit code: 0 when it ended as asked or for idleness.
    """
    os.setsid()
    _close_all_but(descriptors)
    os.chdir("/")
    confinement.set_name(f"halebox: {box}")
    confinement.set_dumpable(allowed=True)  # its own /proc entries cannot be opened otherwise
    confinement.offer_to_oom_killer()
    memory = os.open("/proc/self/smaps_rollup", os.O_RDONLY | os.O_CLOEXEC)
    confinement.set_dumpable(allowed=False)
    line = socket.socket(fileno=descriptors[0])
    listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors[1:]]
    briefing, rest = _read_briefing(line)
    spec = briefing.spec
    confinement.limit_resources(spec.limits, briefing.confinement)
    confinement.drop_rights(briefing.confinement)
    os.environ.clear()
    # The application is given its settings; libraries shall find none of them, nor a person's own
    # (`http-proxy` …), in the process's environment.
    os.environ["HOME"] = "/nonexistent"
    sys.meta_path.insert(0, _LateImports(box))
    return serve(
        factory(spec.environment),
        listeners,
        idle_exit_s=spec.limits.idle_exit_s,
        limits=spec.limits,
        observer=_Line(line, memory, rest),
    )


class _Line:
    """The server's observer: reports up the line, and stops when told so or left alone."""

    def __init__(self, line: socket.socket, memory: int, received: bytes) -> None:
        self._line = line
        self._memory = memory
        self._received = received
        self._stop: Callable[[float], None] = lambda _grace_s: None

    def attach(self, stop: Callable[[float], None]) -> None:
        self._stop = stop
        self._line.setblocking(False)
        asyncio.get_running_loop().add_reader(self._line.fileno(), self._on_readable)
        self._obey()

    def ready(self) -> None:
        with contextlib.suppress(OSError):
            socket.send_fds(self._line, [READY], [self._memory])
        os.close(self._memory)

    def draining(self) -> None:
        with contextlib.suppress(OSError):
            self._line.send(DRAINING)

    def _on_readable(self) -> None:
        try:
            data = self._line.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # the manager is gone: another one will listen at our place
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            self._stop(STOP_GRACE_S)
            return
        self._received += data
        self._obey()

    def _obey(self) -> None:
        *orders, self._received = self._received.split(b"\n")
        for order in orders:
            word, _, grace_s = order.partition(b" ")
            if word == b"stop":
                self._stop(float(grace_s))


def _read_briefing(line: socket.socket) -> tuple[Briefing, bytes]:
    """Return the briefing and what was read behind it."""
    line.settimeout(_SPEC_TIMEOUT_S)
    data = b""
    while b"\n" not in data:
        chunk = line.recv(65536)
        if not chunk:
            raise ConnectionError("The manager ended before it told the spec.")
        data += chunk
    first, _, rest = data.partition(b"\n")
    return msgspec.json.decode(first, type=Briefing), rest


def _close_all_but(descriptors: Sequence[int]) -> None:
    """Close every file but stdin, stdout, stderr and `descriptors`."""
    kept = {0, 1, 2, *descriptors}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the listing's own descriptor is closed already
                os.close(int(name))


class _LateImports:
    """Says which module the mould should have preloaded: after the drop it may be unreadable."""

    def __init__(self, box: str) -> None:
        self._box = box
        self._told: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if name not in self._told:
            self._told.add(name)
            _logger.warning("%s was not preloaded.", name, extra={"box": self._box})
        return None
