"""A tiny box: enough of an application to see what its host does with it."""

import asyncio
import json
import os
import time
from pathlib import Path

from boxruntime.http.application import StartupError
from boxruntime.http.messages import Response

PRELOADED = {"at": 0.0, "version": ""}


def preload(fhir_version):
    PRELOADED["at"] = time.time()
    PRELOADED["version"] = fhir_version


def create(environment):
    if environment.get("TINY_FAIL") == "start":
        raise RuntimeError("told to fail")
    return Tiny(dict(environment))


class Tiny:
    max_body_bytes = 2**30

    def __init__(self, environment):
        self.environment = environment
        self.started = time.time()

    async def startup(self):
        if self.environment.get("TINY_FAIL") == "startup":
            raise StartupError("told to fail")

    async def shutdown(self):
        pass

    async def answer(self, request):
        result = await self.result(request.path.decode(), request.body)
        data = json.dumps(result).encode()
        return Response(200, [(b"content-type", b"application/json")], data)

    def refuse(self, _path, error):
        return Response(error.status, [(b"content-type", b"text/plain")], error.message.encode())

    async def result(self, path, body):
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
            "version": PRELOADED["version"],
            "body": len(body),
        }


def run(code, environment):
    names = {"os": os, "Path": Path, "environment": environment}
    try:
        exec(code, names)
    except Exception as error:  # noqa: BLE001 - the attacker wants to know
        return {"error": type(error).__name__, "text": str(error)}
    return {"result": names.get("result")}
