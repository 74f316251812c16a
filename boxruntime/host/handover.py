"""What a manager that replaces itself by a newer one passes on: descriptors and what they are.

The state travels as JSON in an anonymous file (memfd) through exec; specs do not: the new
manager reads them from disk. The process id stays, so children stay children.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class LineState(msgspec.Struct, frozen=True):
    """A box process; `ready` and `draining` as the old manager knew them."""

    pid: int
    generation: int
    connection: int
    memory: int | None
    ready: bool
    draining: bool


class BoxState(msgspec.Struct, frozen=True):
    id: str
    listeners: tuple[int, ...]
    line: LineState | None
    retiring: tuple[LineState, ...]
    deaths: int
    restarts: int
    last_exit: int | None


class MouldState(msgspec.Struct, frozen=True, array_like=True):
    pid: int
    connection: int
    """Our end."""
    data_kb: int | None
    """Known once it is ready."""
    version: str | None = None
    """None: of a manager that had one mould, for the default version."""


class Handover(msgspec.Struct, frozen=True):
    lock: int
    control: int
    mould: MouldState
    """That of the default version."""
    boxes: tuple[BoxState, ...]
    more_moulds: tuple[MouldState, ...] = ()

    def descriptors(self) -> Iterable[int]:
        """Return all descriptors that must survive exec."""
        yield from (self.lock, self.control)
        for mould in (self.mould, *self.more_moulds):
            yield mould.connection
        for box in self.boxes:
            yield from box.listeners
            for line in (*box.retiring, *([box.line] if box.line else [])):
                yield line.connection
                if line.memory is not None:
                    yield line.memory


def execute(handover: Handover, arguments: Sequence[str]) -> None:
    """Become a new manager that resumes from `handover`. Returns never; raises OSError."""
    state = os.memfd_create("boxhost-handover", 0)
    os.write(state, msgspec.json.encode(handover))
    for descriptor in handover.descriptors():
        os.set_inheritable(descriptor, True)
    command = [sys.executable, "-m", "boxruntime.host", *arguments, "--resume-fd", str(state)]
    os.execv(sys.executable, command)  # noqa: S606 - ourselves, with our own arguments


def resume(state: int) -> Handover:
    """Read what `execute` left; its descriptors are not inherited by children any more."""
    size = os.fstat(state).st_size
    handover = msgspec.json.decode(os.pread(state, size, 0), type=Handover)
    os.close(state)
    for descriptor in handover.descriptors():
        os.set_inheritable(descriptor, False)
    return handover
