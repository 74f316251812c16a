"""`python -m tests.load.hello PORT`: the least that uvicorn can do, the floor of every request.

GET answers a body of 2 kB, anything else echoes what was sent: raw ASGI, one worker, no
framework, no access log.
"""

from __future__ import annotations

import sys

import uvicorn

BODY = b"x" * 2008
_TYPE = (b"content-type", b"application/json")


async def application(scope, receive, send):
    body = BODY
    if scope["method"] != "GET":
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [_TYPE, length]})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
