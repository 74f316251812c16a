"""What the HTTP server serves: a request comes in, a response goes out. No bytes here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from boxruntime.http.messages import RawRequest, RequestError, Response


class StartupError(Exception):
    """The application cannot start; the text is for the operator."""


class Application(Protocol):
    """What answers the requests of a server."""

    max_body_bytes: int

    async def startup(self) -> None:
        """Get ready. Raises StartupError."""

    async def shutdown(self) -> None:
        """Give everything back."""

    async def answer(self, request: RawRequest) -> Response:
        """Answer one request. Never raises."""
        ...

    def refuse(self, path: bytes, error: RequestError) -> Response:
        """Answer a request that could not be taken in."""
        ...
