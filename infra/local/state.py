"""What the supervisor lets others see: one JSON file, replaced at every change.

A process is known by its id and its start time, so that an id that the kernel gave to somebody
else, before or after a reboot, is never taken for one of ours.
"""

from __future__ import annotations

from enum import StrEnum, unique
from pathlib import Path

import msgspec


class ProcessMark(msgspec.Struct, frozen=True):
    """One process, for ever."""

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """Return the mark of a running process, None if there is none."""
        birth = _birth(pid)
        return None if birth is None else cls(pid, birth)

    def lives(self) -> bool:
        return _birth(self.pid) == self.birth


@unique
class Phase(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"  # a service answers; a task is done
    RESTARTING = "restarting"
    STOPPED = "stopped"


class StageState(msgspec.Struct, frozen=True, kw_only=True):
    """One line of progress."""

    title: str
    phase: Phase
    seconds: float = 0.0
    """How long it took to get ready."""
    restarts: int = 0
    process: ProcessMark | None = None
    stop_signal: int = 15


@unique
class Whole(StrEnum):
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    FAILED = "failed"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The platform of this machine."""

    supervisor: ProcessMark
    fingerprint: str
    """Of settings and code: another one means another start."""
    base_url: str
    whole: Whole
    stages: tuple[StageState, ...]
    problem: str | None = None
    """The sentence for a person, when `whole` is FAILED."""


def read_state(file: Path) -> State | None:
    """Return the last state, None if there is none that we understand."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=State)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write_state(file: Path, state: State) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
    fresh.replace(file)


def _birth(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] == "Z":
        return None
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # some sandboxes have none
        boot = ""
    return f"{boot}:{fields[19]}"
