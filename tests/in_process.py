"""An httpx transport to an application in this process: everything of a box but the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from boxruntime.http.bodies import packed, too_large, unpacked
from boxruntime.http.messages import RawRequest, RequestError, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.http.application import Application


class InProcess(httpx.AsyncBaseTransport):
    """Answers as `boxruntime.http.connection` does, without bytes in between."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        response = await exchange(
            self._application, request.method, request.url.raw_path, request.headers.raw, body
        )
        headers = list(response.headers)
        if response.stream is not None:
            return httpx.Response(response.status, headers=headers, stream=_Stream(response.stream))
        has_body = response.status not in {204, 304}
        if has_body:
            headers.append((b"content-length", str(len(response.body)).encode()))
        content = response.body if has_body and request.method != "HEAD" else b""
        return httpx.Response(
            response.status, headers=headers, stream=httpx.ByteStream(content), request=request
        )


class _Stream(httpx.AsyncByteStream):
    def __init__(self, pieces) -> None:
        self._pieces = pieces

    async def __aiter__(self):
        async for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        await self._pieces.aclose()


async def exchange(
    application: Application,
    method: str,
    target: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes = b"",
) -> Response:
    """Let the application answer one request with exactly this target."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        name = name.lower()  # noqa: PLW2901
        joined[name] = joined[name] + b", " + value if name in joined else value
    path, _, query = target.partition(b"?")
    try:
        if len(body) > application.max_body_bytes:
            raise too_large()
        encoding = joined.get(b"content-encoding")
        if encoding is not None:
            body = unpacked(body, encoding, application.max_body_bytes)
    except RequestError as error:
        return application.refuse(path, error)
    request = RawRequest(method, path, query, joined, body, "127.0.0.1")
    return packed(await application.answer(request), joined)
