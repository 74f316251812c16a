"""The manager's side of a mould: start it, have it fork, hear of deaths."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING

from boxruntime.host.errors import HostError
from boxruntime.host.messages import (
    Exited,
    Fork,
    Forked,
    MouldReady,
    receive_from_mould,
    send_packet,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PRELOAD_S = 60.0  # metadata and validators of one FHIR version, on a busy machine
_logger = logging.getLogger("boxhost.mould")
_SECRETS = ("HALEBOX_", "AIDBOX_", "PG", "BOX_", "DATABASE_URL", "REDIS_URL")


class MouldClient:
    """One mould process. Used by one event loop."""

    def __init__(
        self,
        pid: int,
        connection: socket.socket,
        *,
        data_kb: int | None,
        on_exit: Callable[[int, int], None],
    ) -> None:
        """`data_kb` is known for a mould that is ready, taken over from a former manager.

        `on_exit(pid, status)` is called for every child of the mould that ended.
        """
        self.pid = pid
        self.connection = connection
        self.data_kb = data_kb
        self.gone = asyncio.Event()
        self.replaced = asyncio.Event()
        self._ready = asyncio.Event()
        self._pending: deque[asyncio.Future[int | None]] = deque()
        self._on_exit = on_exit
        connection.setblocking(False)
        asyncio.get_running_loop().add_reader(connection.fileno(), self._on_readable)
        if data_kb is not None:
            self._ready.set()

    @classmethod
    def start(
        cls, application: str, fhir_version: str, on_exit: Callable[[int, int], None]
    ) -> MouldClient:
        """Start a mould from the code on disk; it is not ready yet. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_SECRETS)}
        command = [sys.executable, "-m", "boxruntime.host.mould"]
        command += ["--manager-fd", str(theirs.fileno()), "--application", application]
        command += ["--fhir-version", fhir_version]
        with theirs:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        process.returncode = 0  # the manager reaps all its children itself
        return cls(process.pid, ours, data_kb=None, on_exit=on_exit)

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set() and not self.gone.is_set()

    @property
    def is_forking(self) -> bool:
        return bool(self._pending)

    async def wait_forked(self) -> None:
        """Return when all forks asked for so far are answered."""
        if self._pending:
            await asyncio.wait(list(self._pending))

    async def wait_ready(self) -> None:
        """Return when the mould has preloaded. Raises HostError when it ends or takes too long."""
        waits = [asyncio.ensure_future(e.wait()) for e in (self._ready, self.gone)]
        try:
            await asyncio.wait(waits, timeout=PRELOAD_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not self.is_ready:
            raise HostError("The application does not start; the log above says why.")

    async def fork(self, box: str, sockets: Sequence[socket.socket]) -> int:
        """Return the pid of a new child that holds copies of `sockets`. Raises HostError."""
        await self.wait_ready()
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        try:
            send_packet(self.connection, Fork(box=box), [one.fileno() for one in sockets])
        except OSError:  # also when 200 forks are waiting already: the next attempt succeeds
            raise HostError("The mould does not answer.") from None
        self._pending.append(answer)
        # Shielded: the answer belongs to this place in the queue, whoever still waits for it.
        pid = await asyncio.shield(answer)
        if pid is None:
            raise HostError("No process could be made.")
        return pid

    def close(self) -> None:
        """Let the mould end. Its children become the manager's."""
        if self.connection.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.connection.fileno())
            self.connection.close()
        self.gone.set()
        while self._pending:
            answer = self._pending.popleft()
            if not answer.done():
                answer.set_result(None)

    def _on_readable(self) -> None:
        while self.connection.fileno() >= 0:
            try:
                message = receive_from_mould(self.connection)
            except BlockingIOError:
                return
            match message:
                case None:
                    self.close()
                case MouldReady(data_kb=data_kb):
                    self.data_kb = data_kb
                    self._ready.set()
                case Forked(pid=pid):
                    self._pending.popleft().set_result(pid)
                case Exited(pid=pid, status=status):
                    self._on_exit(pid, status)
