"""Memory, CPU and process limits of a box by Linux control groups, version 2 or 1.

Used when the manager may write to its own control group: as root on an ordinary machine, or
where systemd delegated the group (`Delegate=yes`). Otherwise the box process bounds its memory
by RLIMIT_DATA and its CPU share by niceness (see `confinement`).

Version 2 allows limits only below a group without processes of its own; so the manager first
moves itself into a leaf `boxhost`, which works only if nobody else lives in its group.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from boxruntime.contract import Limits

PROCESSES = 64  # of one box: threads count, the resolver's pool has some
_PERIOD_US = 100_000
_ROOT = Path("/sys/fs/cgroup")
_MEMORY, _CPU, _PIDS = "memory", "cpu", "pids"


class Groups(Protocol):
    """One kind of control groups. Every method may be repeated."""

    name: str

    def place(self, box: str, pid: int, limits: Limits) -> None:
        """Make or change the box's group and move the process there. Raises OSError."""

    def remove(self, box: str) -> None:
        """Remove the group if no process is left in it."""

    def close(self) -> None:
        """Remove what was made for all boxes; the last of them is removed."""


class GroupsV2:
    """`<own group>/box-<name>` with memory.max, cpu.max and pids.max."""

    name = "cgroup v2"

    def __init__(self, base: Path) -> None:
        self._base = base

    def place(self, box: str, pid: int, limits: Limits) -> None:
        group = self._base / f"box-{box}"
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(str(limits.memory_mb * 1024 * 1024))
        (group / "cpu.max").write_text(f"{limits.cpu_percent * 1000} {_PERIOD_US}")
        (group / "pids.max").write_text(str(PROCESSES))
        with contextlib.suppress(OSError):  # without swap accounting there is no such file
            (group / "memory.swap.max").write_text("0")
        (group / "cgroup.procs").write_text(str(pid))

    def remove(self, box: str) -> None:
        _remove(self._base / f"box-{box}")

    def close(self) -> None:
        _remove(self._base)


class GroupsV1:
    """`<own group>/halebox/<name>` in each of the hierarchies that can be written."""

    def __init__(self, bases: dict[str, Path]) -> None:
        self._bases = bases
        self.name = f"cgroup v1 ({', '.join(bases)})"

    def place(self, box: str, pid: int, limits: Limits) -> None:
        values = {
            _MEMORY: ("memory.limit_in_bytes", limits.memory_mb * 1024 * 1024),
            _CPU: ("cpu.cfs_quota_us", limits.cpu_percent * 1000),
            _PIDS: ("pids.max", PROCESSES),
        }
        for controller, base in self._bases.items():
            group = base / box
            group.mkdir(parents=True, exist_ok=True)
            file, value = values[controller]
            if controller == _CPU:
                (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / file).write_text(str(value))
            (group / "cgroup.procs").write_text(str(pid))

    def remove(self, box: str) -> None:
        for base in self._bases.values():
            _remove(base / box)

    def close(self) -> None:
        for base in self._bases.values():
            _remove(base)


def find_groups(namespace: str, root: Path = _ROOT, own: Path | None = None) -> Groups | None:
    """Return the control groups to use, None when there are none for us.

    `namespace` keeps two box hosts of one machine apart.
    """
    try:
        lines = (own or Path("/proc/self/cgroup")).read_text().splitlines()
    except OSError:
        return None
    paths = {}
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path.lstrip("/")
    return _find_v2(root, paths, namespace) or _find_v1(root, paths, namespace)


def _find_v2(root: Path, paths: dict[str, str], namespace: str) -> Groups | None:
    if "" not in paths or not (root / "cgroup.controllers").exists():
        return None
    own = root / paths[""]
    if own.name == "boxhost":  # a manager that replaced itself is in its leaf already
        own = own.parent
    try:
        offered = (own / "cgroup.controllers").read_text().split()
        if not {_MEMORY, _CPU, _PIDS} <= set(offered):
            return None
        (own / "boxhost").mkdir(exist_ok=True)
        (own / "boxhost" / "cgroup.procs").write_text(str(os.getpid()))
        (own / "cgroup.subtree_control").write_text("+memory +cpu +pids")
        base = own / namespace
        base.mkdir(exist_ok=True)
        (base / "cgroup.subtree_control").write_text("+memory +cpu +pids")
    except OSError:
        return None
    return GroupsV2(base)


def _find_v1(root: Path, paths: dict[str, str], namespace: str) -> Groups | None:
    bases = {}
    for controller in (_MEMORY, _CPU, _PIDS):
        base = root / controller / paths.get(controller, "") / namespace
        if not (base.parent / "cgroup.procs").exists():
            continue
        try:
            base.mkdir(exist_ok=True)
        except OSError:
            continue
        bases[controller] = base
    # CPU alone is no reason to go without a memory limit.
    return GroupsV1(bases) if _MEMORY in bases else None


def _remove(group: Path) -> None:
    try:
        group.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
