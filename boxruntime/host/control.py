"""The control socket: JSON lines in and out (`contract.Request`, `contract.Reply`).

Only processes of the manager's own user or root can connect (mode 0600), and of these none that
descends from the manager: a box process of the same user shall not command its host.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.contract import Reply, Request
from boxruntime.host.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_LINE_BYTES = 256 * 1024
_logger = logging.getLogger("boxhost.control")
_decoder = msgspec.json.Decoder(Request)
_encode = msgspec.json.encode


class ControlServer:
    """Answers requests on a listening unix socket, one after the other per connection."""

    def __init__(
        self, listener: socket.socket, handle: Callable[[Request], Awaitable[Any]]
    ) -> None:
        self.listener = listener
        self._handle = handle
        self._connections: set[asyncio.Task[None]] = set()
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False

    def start(self) -> None:
        """Accept from now on, also after a pause."""
        self._closing = False
        asyncio.get_running_loop().add_reader(self.listener.fileno(), self._accept)

    async def pause(self) -> None:
        """Accept nothing more, finish the requests in work, close all connections.

        Who connects meanwhile waits in the backlog of the listening socket, which stays open.
        """
        self._closing = True
        asyncio.get_running_loop().remove_reader(self.listener.fileno())
        await self._idle.wait()
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self.listener.accept()
            task = asyncio.get_running_loop().create_task(self._converse(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _converse(self, connection: socket.socket) -> None:
        permitted = may_command(connection)
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_LINE_BYTES)
        try:
            while not self._closing:
                try:
                    line = await reader.readuntil(b"\n")
                except asyncio.IncompleteReadError:
                    return
                except asyncio.LimitOverrunError:
                    error = f"A request is one line of at most {MAX_LINE_BYTES} bytes."
                    writer.write(_line(Reply(ok=False, error=error)))
                    await writer.drain()
                    return
                if not permitted:
                    refusal = Reply(ok=False, error="A box may not command the box host.")
                    writer.write(_line(refusal))
                    await writer.drain()
                    return
                self._working += 1
                self._idle.clear()
                try:
                    writer.write(_line(await self._answer(line)))
                    await writer.drain()
                finally:
                    self._working -= 1
                    if not self._working:
                        self._idle.set()
        except OSError:
            pass  # the other end left; what it asked for has been done
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Reply:
        try:
            request = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # msgspec's own text may quote what was sent, and specs hold secrets.
            return Reply(ok=False, error="This is not a request of the box host's protocol.")
        try:
            return Reply(ok=True, result=await self._handle(request))
        except HostError as error:
            return Reply(ok=False, error=str(error), refusal=error.refusal)
        except OSError as error:
            _logger.exception("%s failed.", request.command)
            return Reply(ok=False, error=f"The machine refused: {error.strerror}.")
        except Exception:  # the boundary: a bug shall not end the host of all boxes
            _logger.exception("%s failed.", request.command)
            return Reply(ok=False, error="The box host failed; its log says where.")


def may_command(connection: socket.socket) -> bool:
    """Whether the process at the other end runs outside of the manager's descendants.

    The manager is their subreaper, so the chain of parents of a descendant always leads to it.
    """
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _gid = struct.unpack("3i", packed)
    if uid not in (0, os.geteuid()):
        return False
    manager = os.getpid()
    if pid == manager:
        return True
    while pid > 1:
        pid = _parent(pid)
        if pid == manager or pid < 0:
            return False
    return True


def _parent(pid: int) -> int:
    """Return the parent's pid; -1 when the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    return int(stat.rpartition(")")[2].split()[1])


def _line(reply: Reply) -> bytes:
    return _encode(reply) + b"\n"
