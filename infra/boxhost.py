"""The control plane's handle on whatever runs the boxes.

`BoxRuntime` is what the control plane knows; `LocalBoxRuntime` speaks to the box host of this
machine. Messages: `boxruntime.contract`, one JSON line each way per connection.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from boxruntime.contract import BoxSpec, BoxStatus, Command, Refusal, Reply, Request

if TYPE_CHECKING:
    from pathlib import Path

MAX_REPLY_BYTES = 16 * 2**20  # thousands of boxes in one LIST


class BoxHostError(Exception):
    """The box host did not do what it was asked; `str(error)` holds no secret."""


class BoxHostUnavailableError(BoxHostError):
    """No answer: it is down, starting or overloaded. The same request may be sent again."""


class BoxHostRefusedError(BoxHostError):
    """It answered that it cannot; the same request would be refused again."""


class PortRefusedError(BoxHostRefusedError):
    """The box's loopback port cannot be had on its machine; another may be."""


class BoxRuntime(Protocol):
    """Keeps boxes running as their specs say. Every verb may be repeated."""

    def ping(self) -> bool:
        """Tell whether boxes wake without waiting. All verbs raise BoxHostError."""

    def ensure(self, spec: BoxSpec) -> BoxStatus:
        """Let the box be reachable as `spec` says; a higher generation restarts its process.

        Returns as soon as connections are accepted; the process starts with the first one.
        Raises PortRefusedError, with nothing changed.
        """

    def remove(self, box: str) -> None:
        """End the box's process and take its address away."""

    def status(self, box: str) -> BoxStatus | None:
        """Return what is seen of the box, None if it is unknown."""

    def list(self) -> list[BoxStatus]:
        """Return what is seen of all boxes."""

    def sleep(self, box: str) -> BoxStatus:
        """End the box's process gracefully; the next connection starts a new one."""

    def upgrade(self) -> None:
        """Let every box run the code that is installed now, without refusing a connection."""


class LocalBoxRuntime:
    """The box host of this machine, over its control socket."""

    def __init__(self, control_socket: Path, timeout_s: float = 30.0) -> None:
        self._path = control_socket
        self._timeout_s = timeout_s

    def ping(self) -> bool:
        answer: dict[str, Any] = self._ask(Request(command=Command.PING), dict[str, Any])
        return bool(answer.get("ready"))

    def ensure(self, spec: BoxSpec) -> BoxStatus:
        status: BoxStatus = self._ask(Request(command=Command.ENSURE, spec=spec), BoxStatus)
        return status

    def remove(self, box: str) -> None:
        self._ask(Request(command=Command.REMOVE, box=box), Any)

    def status(self, box: str) -> BoxStatus | None:
        status: BoxStatus | None = self._ask(
            Request(command=Command.STATUS, box=box), BoxStatus | None
        )
        return status

    def list(self) -> list[BoxStatus]:
        statuses: list[BoxStatus] = self._ask(Request(command=Command.LIST), list[BoxStatus])
        return statuses

    def sleep(self, box: str) -> BoxStatus:
        status: BoxStatus = self._ask(Request(command=Command.SLEEP, box=box), BoxStatus)
        return status

    def upgrade(self) -> None:
        self._ask(Request(command=Command.UPGRADE), Any)

    def _ask(self, request: Request, shape: Any) -> Any:
        """Send one request and return its result in the given shape."""
        try:
            line = self._exchange(msgspec.json.encode(request) + b"\n")
        except TimeoutError:
            raise BoxHostUnavailableError(
                f"The box host did not answer {request.command.value} within {self._timeout_s:g} s."
            ) from None
        except OSError as error:
            raise BoxHostUnavailableError(f"The box host is down: {error.strerror}.") from None
        try:
            reply = msgspec.json.decode(line, type=Reply)
            if reply.ok:
                return msgspec.convert(reply.result, shape)
        except msgspec.MsgspecError:
            raise BoxHostUnavailableError("The box host broke off its answer.") from None
        kind = PortRefusedError if reply.refusal is Refusal.PORT else BoxHostRefusedError
        raise kind(reply.error or "The box host refused without a reason.")

    def _exchange(self, line: bytes) -> bytes:
        """Return the answer line. Raises OSError, of which TimeoutError is one."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout_s)
            connection.connect(os.fspath(self._path))
            connection.sendall(line)
            with connection.makefile("rb") as answer:
                return answer.readline(MAX_REPLY_BYTES)
