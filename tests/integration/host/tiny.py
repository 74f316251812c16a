"""A tiny box: enough of an application to see what its host does with it."""

import asyncio
import json
import os
import time
from pathlib import Path

PRELOADED = {"at": 0.0}


def preload():
    PRELOADED["at"] = time.time()


def create(environment):
    if environment.get("TINY_FAIL") == "start":
        raise RuntimeError("told to fail")
    return Tiny(dict(environment))


class Tiny:
    def __init__(self, environment):
        self.environment = environment
        self.started = time.time()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        result = await self.answer(scope["path"], body)
        data = json.dumps(result).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    async def answer(self, path, body):
        if path == "/slow":
            await asyncio.sleep(1.5)
        if path == "/crash":
            os.kill(os.getpid(), 9)
        if path == "/eval":  # the worst case: somebody runs code in the box
            return run(body.decode(), self.environment)
        if path == "/hog":
            return len(b"x" * int(body))
        return {
            "pid": os.getpid(),
            "value": self.environment.get("TINY_VALUE"),
            "preloaded": PRELOADED["at"],
            "body": len(body),
        }


def run(code, environment):
    names = {"os": os, "Path": Path, "environment": environment}
    try:
        exec(code, names)
    except Exception as error:  # noqa: BLE001 - the attacker wants to know
        return {"error": type(error).__name__, "text": str(error)}
    return {"result": names.get("result")}
