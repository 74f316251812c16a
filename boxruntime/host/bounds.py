"""What a box may be and use on this machine: decided once at start, applied to every process."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from boxruntime.host import cgroups, confinement
from boxruntime.host.errors import HostError
from boxruntime.host.messages import Confinement

if TYPE_CHECKING:
    from pathlib import Path

    from boxruntime.contract import Limits
    from boxruntime.host.specs import Kept

NICE = 5  # instead of a CPU share, where no control group can be had
_logger = logging.getLogger("boxhost.bounds")


def check_limits(limits: Limits) -> None:
    """Raise HostError for limits no process can live with."""
    if limits.memory_mb < 16 or limits.cpu_percent < 1 or limits.http_connections < 1:
        raise HostError("Limits: memory from 16 MB, CPU from 1 %, connections from 1.")
    if limits.idle_exit_s < 0 or limits.database_connections < 1:
        raise HostError("Limits: no negative time, at least one database connection.")


class Bounds:
    """User ids and control groups of the boxes of one run directory.

    Moving a process into a control group takes up to 20 ms (the kernel waits for all its
    processors), the whole wake of a box half of it. So it happens beside the start, in one
    thread; memory the process takes before that is not counted.
    """

    def __init__(self, run_dir: Path) -> None:
        namespace = f"halebox-{hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:8]}"
        # Where the run directory had to leave `var/`, the secrets are still there.
        places = (os.fspath(run_dir.parent), os.environ.get("HALEBOX_VAR_DIR"))
        self._hidden = tuple(os.path.realpath(place) for place in places if place)
        self._first_uid = confinement.first_uid()
        self._groups = cgroups.find_groups(namespace)
        self._thread = ThreadPoolExecutor(1, "groups")

    def describe(self) -> dict[str, str]:
        """Return what bounds boxes and what keeps them apart, for the log and a ping."""
        return {
            "limits": self._groups.name if self._groups else "RLIMIT_DATA, nice",
            "isolation": confinement.describe(self._first_uid),
        }

    def confine(self, kept: Kept, pid: int, inherited_kb: int) -> Confinement:
        """Begin to place the child under its limits; return what it shall do itself.

        `inherited_kb`: memory it shares with the mould, which RLIMIT_DATA would count.
        """
        limits = kept.spec.limits
        data_limit_kb = inherited_kb + limits.memory_mb * 1024
        if self._groups:
            self._thread.submit(self._place, kept.spec.id, pid, limits, data_limit_kb)
        return Confinement(
            uid=None if self._first_uid is None else self._first_uid + kept.number,
            data_limit_kb=None if self._groups else data_limit_kb,
            nice=0 if self._groups else NICE,
            hidden=self._hidden,
        )

    async def forget(self, box: str) -> None:
        """Remove what was made for a box; its processes have ended."""
        if self._groups:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._groups.remove, box)

    async def settle(self) -> None:
        """Return when everything begun is done."""
        await asyncio.get_running_loop().run_in_executor(self._thread, os.getpid)

    async def close(self) -> None:
        """Remove what was made for all boxes; all of them are forgotten."""
        await self.settle()
        if self._groups:
            self._groups.close()
        self._thread.shutdown()

    def _place(self, box: str, pid: int, limits: Limits, data_limit_kb: int) -> None:
        assert self._groups
        try:
            self._groups.place(box, pid, limits)
        except ProcessLookupError:
            return  # it ended meanwhile
        except OSError as error:
            _logger.warning("No control group (%s).", error.strerror, extra={"box": box})
            size = data_limit_kb * 1024
            try:
                resource.prlimit(pid, resource.RLIMIT_DATA, (size, size))
            except OSError:
                _logger.exception("No memory limit.", extra={"box": box})
