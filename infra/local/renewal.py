"""New code of ours for a running platform, without refusing a request.

The box host replaces itself and its boxes, gunicorn its workers; worker and scheduler end after the
job in work and are started again by the supervisor. PostgreSQL, Valkey and the edge go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from infra.boxhost import BoxHostError, BoxHostUnavailableError, LocalBoxRuntime
from infra.local.problems import SetupError
from infra.local.service import POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable

UPGRADE_S = 300.0  # boxes are replaced one after the other
WORKERS_S = 60.0  # above gunicorn's own time for requests in work
RESTART_S = 120.0


def renew_box_host(pid: int, control_socket: Path) -> None:
    """Let the manager become its new self, then every box. Raises SetupError."""
    os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + UPGRADE_S
    while True:
        try:
            LocalBoxRuntime(control_socket, timeout_s=UPGRADE_S).upgrade()
        except BoxHostUnavailableError as error:  # the old manager just left
            if time.monotonic() > deadline:
                raise SetupError(f"The boxes run the old code still: {error}") from error
            time.sleep(POLL_S)
        except BoxHostError as error:
            raise SetupError(f"The boxes run the old code still: {error}") from error
        else:
            return


def renew_gunicorn(pid: int) -> None:
    """Have the master replace its workers; return when the old ones are gone. Raises SetupError.

    Requests wait in the socket's backlog for the second or two in which the new ones load.
    """
    old = _children(pid)
    os.kill(pid, signal.SIGHUP)
    _wait(lambda: not old & _children(pid) and bool(_children(pid)), WORKERS_S, "The control plane")


def restart(title: str, pid: int, running: Callable[[str], int | None]) -> None:
    """End a service; return when its supervisor has another one ready. Raises SetupError.

    `running`: title -> id of the process, None while it does not answer.
    """
    os.kill(pid, signal.SIGTERM)
    _wait(lambda: running(title) not in (None, pid), RESTART_S, title)


def _children(pid: int) -> frozenset[int]:
    with contextlib.suppress(OSError):
        return frozenset(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return frozenset()


def _wait(condition: Callable[[], bool], limit_s: float, title: str) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise SetupError(f"{title} did not take the new code within {limit_s:.0f} s.")
        time.sleep(POLL_S)
