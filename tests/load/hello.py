"""`python -m tests.load.hello PORT`: the box's own HTTP server with nothing behind it.

GET answers a body of 2 kB, anything else echoes what was sent.
"""

from __future__ import annotations

import socket
import sys

from boxruntime.http.messages import RawRequest, RequestError, Response
from boxruntime.http.server import BACKLOG, serve

_HEADERS = [(b"content-type", b"application/json")]


class Hello:
    """Answers at once."""

    max_body_bytes = 2**20

    async def startup(self) -> None:
        pass

    async def shutdown(self) -> None:
        pass

    async def answer(self, request: RawRequest) -> Response:
        body = b"x" * 2008 if request.method == "GET" else request.body
        return Response(200, _HEADERS, body)

    def refuse(self, _path: bytes, error: RequestError) -> Response:
        return Response(error.status, [])


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=BACKLOG)
    sys.exit(serve(Hello(), [listener]))
