"""What processes used: CPU time and private memory, from the kernel's accounting.

Other work on the machine changes rates by half and more; the CPU time of a process mostly
stays. So every request row also says how many microseconds of CPU one operation took.
"""

from __future__ import annotations

import os
import resource
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_CPUS = os.cpu_count() or 1
_CPUCLOCK_SCHED = 2  # include/linux/posix-timers_types.h: the clock of a whole process, in ns


class Used(msgspec.Struct):
    """CPU seconds spent while a block ran; filled in when it ends."""

    app_s: float = 0.0
    postgres_s: float = 0.0
    others_percent: float = 0.0
    """Share of all cores that went to processes which the bench did not start."""


class _Reading(NamedTuple):
    at: float
    app_s: float
    postgres_s: float
    own_s: float
    machine_s: float


@contextmanager
def watch(app: Sequence[int], postgres: int) -> Iterator[Used]:
    """Watch the processes `app` and the server whose postmaster is `postgres`."""
    used = Used()
    before = _read(app, postgres)
    yield used
    after = _read(app, postgres)
    used.app_s = after.app_s - before.app_s
    used.postgres_s = after.postgres_s - before.postgres_s
    app_s = 0.0 if list(app) == [os.getpid()] else used.app_s
    known_s = app_s + used.postgres_s + after.own_s - before.own_s
    idle_or_known_s = after.machine_s - before.machine_s - known_s
    share = idle_or_known_s / ((after.at - before.at) * _CPUS)
    used.others_percent = min(max(share * 100, 0.0), 100.0)


def _read(app: Sequence[int], postgres: int) -> _Reading:
    return _Reading(
        at=time.monotonic(),
        app_s=sum(cpu_s(pid) for pid in app),
        postgres_s=_family_cpu_s(postgres),
        own_s=_own_cpu_s(),
        machine_s=_machine_cpu_s(),
    )


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far, all its threads; 0 when it is gone.

    /proc/PID/stat counts in steps of 10 ms and /proc/PID/schedstat one thread; the process clock
    counts nanoseconds, and may be read by anybody.
    """
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def children(pid: int) -> list[int]:
    """Return the child processes of a single-threaded process."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _family_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and its children, those that ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended_ticks = int(fields[13]) + int(fields[14])  # cutime, cstime
    alive_s = sum(cpu_s(member) for member in (pid, *children(pid)))
    return alive_s + ended_ticks / _TICKS_PER_S


def _own_cpu_s() -> float:
    """Return the CPU seconds of the bench and of the load generators that ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _machine_cpu_s() -> float:
    """Return the CPU seconds that all cores were busy, or taken by the hypervisor."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(text) for text in first[:8])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def private_bytes(pid: int) -> int:
    """Return the memory that belongs to a process alone, swapped out or not.

    Raises OSError for a process of another user that must not be looked into.
    """
    wanted = ("Private_Clean:", "Private_Dirty:", "Swap:")
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(wanted))
