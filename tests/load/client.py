"""`python -m tests.load.client`: a lean load generator, for machines without wrk.

Reads ready-made requests from a file, sends them over keep-alive connections, one at a time on
each, and prints the same JSON line as `wrk.lua`. With `--once` every request is sent once, which
wrk cannot do; else they are repeated in turn for `--seconds`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httptools
import msgspec
import uvloop

from tests.load.generator import Outcome, read_requests

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_WAIT_S = 60.0


class _Run:
    """What all connections share: the requests, the end, and the measured times."""

    def __init__(self, requests: Iterator[bytes], connections: int) -> None:
        self.requests = requests
        self.ends_at = float("inf")
        self.latencies_s: list[float] = []
        self.failed = 0
        self.first_failure = 0
        self._open = connections
        self.done = asyncio.get_running_loop().create_future()

    def close_one(self) -> None:
        self._open -= 1
        if self._open == 0:
            self.done.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waits = False
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not derived of it
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._waits = False
        self._run.latencies_s.append(now - self._sent_at)
        status = self._parser.get_status_code()
        if not 200 <= status < 300:
            self._run.failed += 1
            self._run.first_failure = self._run.first_failure or status
        if now < self._run.ends_at:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.failed += self._waits
        self._run.close_one()

    def _send(self) -> None:
        request = next(self._run.requests, None)
        if request is None:
            self._transport.close()
            return
        self._waits = True
        self._sent_at = time.perf_counter()
        self._transport.write(request)


async def _measure(
    requests: list[bytes], host: str, port: int, connections: int, seconds: float | None
) -> Outcome:
    run = _Run(iter(requests) if seconds is None else cycle(requests), connections)
    started = time.perf_counter()
    if seconds is not None:
        run.ends_at = started + seconds
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), host, port)
    await asyncio.wait_for(run.done, (seconds or 0) + MAX_WAIT_S)
    elapsed_s = time.perf_counter() - started
    ordered = sorted(run.latencies_s) or [0.0]
    return Outcome(
        requests=len(run.latencies_s),
        seconds=elapsed_s,
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[len(ordered) * 99 // 100] * 1000,
        failed=run.failed,
        first_failure=run.first_failure,
    )


def main() -> int:
    """Run once; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.client", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float)
    length.add_argument("--once", action="store_true")
    chosen = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(
            _measure(
                read_requests(chosen.file),
                chosen.host,
                chosen.port,
                chosen.connections,
                None if chosen.once else chosen.seconds,
            )
        )
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
