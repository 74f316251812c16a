"""How a box process gives up what it does not need, before it learns its first secret.

What protects one box from another, from strong to weak; each holds without the others:

1. Started as root, every box has a user id of its own: the kernel keeps its files, memory and
   /proc entries apart.
2. Landlock, where the kernel has it: no file outside Python, its libraries and the system's
   certificates can be read, none written, no program executed, no foreign process signalled.
3. Not dumpable: a process of the same user cannot read its memory or environment.
4. Specs at rest are encrypted with a key that no box process and no mould ever holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import boxruntime
from boxruntime.host import landlock

if TYPE_CHECKING:
    from boxruntime.contract import Limits
    from boxruntime.host.messages import Confinement

FIRST_UIDS = (200_000, 40_000)  # above people and services; the second fits small containers
UID_RANGE = 20_000
OOM_SCORE = 500  # a box goes before the database and the manager
_PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 4, 15, 38
_SPARE_FILES = 64  # event loop, logs, resolver, outbound calls
_libc = ctypes.CDLL(None, use_errno=True)

_SYSTEM = (
    "/usr", "/lib", "/lib64", "/proc", "/dev/urandom", "/dev/random",
    "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/resolv.conf", "/etc/hosts",
    "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/localtime",
    "/etc/ld.so.cache",
)  # fmt: skip
_WRITABLE = ("/dev/null", "/dev/zero")


def first_uid() -> int | None:
    """Return the first user id for boxes; None when this process cannot change user ids."""
    if os.geteuid() != 0:
        return None
    try:
        ranges = [[int(n) for n in line.split()] for line in _read("/proc/self/uid_map")]
    except (OSError, ValueError):
        return FIRST_UIDS[0]
    for first in FIRST_UIDS:
        if any(start <= first and first + UID_RANGE <= start + n for start, _, n in ranges):
            return first
    return None


def describe(uid: int | None) -> str:
    """Return what keeps boxes apart here, for the log and the answer to a ping."""
    parts = ["a user id per box"] if uid is not None else []
    if landlock.version():
        parts.append(f"Landlock {landlock.version()}")
    return ", ".join([*parts, "memory not dumpable"])


def set_dumpable(*, allowed: bool) -> None:
    """Let other processes of this user read this one's memory, or not."""
    _libc.prctl(_PR_SET_DUMPABLE, int(allowed), 0, 0, 0)


def set_name(name: str) -> None:
    """Name the process in ps and top (15 bytes are kept)."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def offer_to_oom_killer() -> None:
    """Raise the OOM score; the process must be dumpable."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write(str(OOM_SCORE))


def limit_resources(limits: Limits, confinement: Confinement) -> None:
    """Bound open files, memory where no control group does, and allow no core dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump holds health data
    # Twice the connections: those above the limit are answered 503, and that takes a descriptor.
    files = 2 * limits.http_connections + limits.database_connections + _SPARE_FILES
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = files if hard == resource.RLIM_INFINITY else min(files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if confinement.data_limit_kb is not None:
        size = confinement.data_limit_kb * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    if confinement.nice:
        os.nice(confinement.nice)


def drop_rights(confinement: Confinement) -> None:
    """Become the box's user and shut everything else out. Raises OSError; then do not go on."""
    os.umask(0o077)
    if confinement.uid is not None:
        os.setgroups([])
        os.setresgid(confinement.uid, confinement.uid, confinement.uid)
        os.setresuid(confinement.uid, confinement.uid, confinement.uid)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    set_dumpable(allowed=False)
    if landlock.version():
        landlock.restrict(readable_paths(confinement.hidden), [Path(p) for p in _WRITABLE])


def readable_paths(hidden: tuple[str, ...]) -> list[Path]:
    """Return what a box process may read: Python's path and the system's libraries.

    A directory that contains one of `hidden` (a checkout with `var/` in it) is not given;
    of it only our own package is.
    """
    secret = [Path(path).resolve() for path in hidden]
    paths = [Path(boxruntime.__file__).parent]
    for entry in {sys.prefix, sys.base_prefix, *sys.path}:
        path = Path(entry or ".").resolve()
        if not any(other.is_relative_to(path) for other in secret):
            paths.append(path)
    return [*paths, *(Path(path) for path in _SYSTEM)]


def _read(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
