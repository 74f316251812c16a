"""A Response as bytes: the head, and the body in one piece or in chunks.

Spec: RFC 9112, "Message Format", "Chunked Transfer Coding".
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from boxruntime.http.messages import RawRequest, Response

LAST_CHUNK = b"0\r\n\r\n"


class Turn(NamedTuple):
    """A received request that waits for its answer."""

    request: RawRequest
    keep_alive: bool
    is_old: bool
    """HTTP/1.0: keep-alive must be said, and there are no chunks."""


def whole(turn: Turn, response: Response, common_head: bytes, *, keep_alive: bool) -> bytes:
    """Return an answer with its body. `common_head`: header lines that all answers have."""
    parts = _head(turn, response, common_head, keep_alive)
    if response.status in {204, 304}:
        parts.append(b"\r\n")
    else:
        parts.append(b"content-length: %d\r\n\r\n" % len(response.body))
        if turn.request.method != "HEAD":
            parts.append(response.body)
    return b"".join(parts)


def stream_head(turn: Turn, response: Response, common_head: bytes, *, keep_alive: bool) -> bytes:
    """Return the head of an answer whose body comes in pieces."""
    parts = _head(turn, response, common_head, keep_alive)
    parts.append(b"\r\n" if turn.is_old else b"transfer-encoding: chunked\r\n\r\n")
    return b"".join(parts)


def chunk(turn: Turn, piece: bytes) -> bytes:
    """Return one piece of a body, which is not empty, as it is sent."""
    return piece if turn.is_old else b"%x\r\n%b\r\n" % (len(piece), piece)


def _head(turn: Turn, response: Response, common_head: bytes, keep_alive: bool) -> list[bytes]:
    parts = [_status_line(response.status), common_head]
    for name, value in response.headers:
        parts += (name, b": ", value, b"\r\n")
    if not keep_alive:
        parts.append(b"connection: close\r\n")
    elif turn.is_old:
        parts.append(b"connection: keep-alive\r\n")
    return parts


@lru_cache(maxsize=128)
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
