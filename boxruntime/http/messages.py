"""What goes in and out of a box: a request and a response as plain values."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec


class RawRequest(msgspec.Struct, frozen=True):
    """One HTTP request, wholly received.

    `path` and `query` are as sent (percent-encoded); header names are lower-case and unique: a
    repeated header keeps all its values, joined with ", " as RFC 9110 allows.
    """

    method: str
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes
    peer: str
    """Address of who connected; empty for a unix socket."""

    def header(self, name: bytes) -> str | None:
        """Return the header's value as Latin-1 text, None when it was not sent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Response(msgspec.Struct, frozen=True):
    """One HTTP response. 204 and 304 have neither body nor Content-Type.

    `stream`: the body piece by piece instead, until it ends or the client goes away.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    stream: AsyncGenerator[bytes, None] | None = None


class RequestError(Exception):
    """The bytes are no acceptable request; `message` is a fixed sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
