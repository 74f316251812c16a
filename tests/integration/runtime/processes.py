"""Boxes as processes of their own, to be killed or to share a database."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx

from infra.local.ports import any_free_port

ROOT = ("root", "secret")
START_S = 60
PROJECT = Path(__file__).parents[3]


@contextmanager
def box_process(environment, log):
    """Run a box by itself; yield (process, client)."""
    port = any_free_port()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "boxruntime"],
            env={
                "PATH": os.environ["PATH"],
                "AIDBOX_CLIENT_SECRET": ROOT[1],
                "AIDBOX_PORT": str(port),
                **environment,
            },
            cwd=PROJECT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=ROOT, timeout=30)
    try:
        wait_until_healthy(client, process, log)
        yield process, client
    finally:
        client.close()
        process.kill()
        process.wait()


def wait_until_healthy(client, process, log):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(log.read_text())
