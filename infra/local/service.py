"""A program that stays up: how to start it, how to know that it answers, how to end it.

`Running` is the plain way to hold one service for a while (tests, `make box`); the supervisor
of `make up` keeps many of them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from infra.local.problems import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.local.accounts import Account

POLL_S = 0.05
BACKLOG = 1024  # requests that wait for a program which is just restarting
LOG_TAIL_LINES = 8
HANDOVER = Path(__file__).with_name("handover.py")


def listen_for_ourselves(path: Path) -> socket.socket:
    """Listen at `path`, replacing what was left there, for processes of our own user only."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.fspath(path))
    path.chmod(0o600)  # nobody was let in before `listen`
    listener.listen(BACKLOG)
    return listener


@dataclass(frozen=True, kw_only=True)
class Service:
    """One program of the platform."""

    name: str
    title: str
    """What a person calls it: "PostgreSQL"."""
    command: tuple[str, ...]
    ready: Callable[[], bool]
    """Tells whether the service answers now; quick, and False instead of an exception."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The complete environment; nothing is inherited."""
    account: Account | None = None
    directory: Path = Path("/")
    listener: socket.socket | None = None
    """A listening socket for the program, handed over as systemd does: what comes while the program
    is down or restarts waits there. It lives as long as this description of the service."""
    stop_signal: signal.Signals = signal.SIGTERM
    start_s: float = 60.0
    stop_s: float = 30.0

    def popen_options(self) -> dict[str, Any]:
        """Return the arguments for subprocess and asyncio alike, without input and output.

        The service leads its own process group, so that Ctrl-C reaches only its keeper.
        """
        options: dict[str, Any] = {
            "env": dict(self.environment),
            "cwd": self.directory,
            "start_new_session": True,
        }
        if self.account is not None:
            options |= self.account.popen_options()
        if self.listener is not None:
            options["pass_fds"] = (self.listener.fileno(),)
        return options

    def popen_command(self) -> tuple[str, ...]:
        """Return the command that starts the program."""
        if self.listener is None:
            return self.command
        handover = (sys.executable, str(HANDOVER), str(self.listener.fileno()))
        return (*handover, *self.command)


def log_tail(log: Path) -> str:
    """Return the end of a service's log for a person who must find out why it failed."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(lines[-LOG_TAIL_LINES:])


class Running:
    """A service that was started and answered; ended by `stop` or by leaving `with`."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self._log = log
        try:
            with log.open("ab") as output:
                self.process = subprocess.Popen(
                    service.popen_command(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    **service.popen_options(),
                )
        except OSError as error:
            raise SetupError(f"{service.title} could not be started: {error.strerror}.") from error
        self._wait_ready()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self.service.start_s
        while not self.service.ready():
            if self.process.poll() is not None:
                raise SetupError(
                    f"{self.service.title} ended at once; its log says:\n{log_tail(self._log)}"
                )
            if time.monotonic() > deadline:
                self.stop()
                raise SetupError(
                    f"{self.service.title} did not answer within {self.service.start_s:.0f} s; "
                    f"its log says:\n{log_tail(self._log)}"
                )
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End the process in order, by force after `stop_s`. Repeatable."""
        if self.process.poll() is None:
            self.process.send_signal(self.service.stop_signal)
            try:
                self.process.wait(self.service.stop_s)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
