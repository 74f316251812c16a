"""The answer for a box that fails: 503 at once, by the manager itself, instead of a hang."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import msgspec

MAX_ANSWERS = 64  # at the same time; more wait in the backlog
_MAX_HEAD_BYTES = 64 * 1024
_HEAD_S = 2.0
_LINGER_S = 0.5
_BODY = msgspec.json.encode(
    {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "fatal",
                "code": "transient",
                "diagnostics": "This box does not run at the moment. It is being restarted.",
            }
        ],
    }
)


def render(retry_after_s: int) -> bytes:
    """Return the whole HTTP response."""
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        "content-type: application/fhir+json; charset=utf-8\r\n"
        f"content-length: {len(_BODY)}\r\n"
        f"retry-after: {retry_after_s}\r\n"
        "cache-control: no-store\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + _BODY


async def answer(connection: socket.socket, retry_after_s: int) -> None:
    """Read a request's head, answer 503 and close. Never raises for what the client does."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    with connection, contextlib.suppress(OSError, TimeoutError):
        head = b""
        async with asyncio.timeout(_HEAD_S):
            while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD_BYTES:
                chunk = await loop.sock_recv(connection, 16384)
                if not chunk:
                    return
                head += chunk
        async with asyncio.timeout(_LINGER_S):
            await loop.sock_sendall(connection, render(retry_after_s))
            connection.shutdown(socket.SHUT_WR)
            # A body still on its way would turn the close into a reset before the client reads.
            while await loop.sock_recv(connection, 65536):
                pass


def accept_waiting(listener: socket.socket, most: int) -> list[socket.socket]:
    """Return up to `most` connections that wait in the backlog."""
    accepted: list[socket.socket] = []
    with contextlib.suppress(OSError):
        while len(accepted) < most:
            accepted.append(listener.accept()[0])
    return accepted
