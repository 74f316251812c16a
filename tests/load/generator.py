"""The load generator: wrk where there is one, else `tests.load.client`.

Both send the same ready-made requests, so that a floor and our figure differ in the server only.
"""

from __future__ import annotations

import math
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from infra.environment import base_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ATTEMPTS = 3  # on a machine with other work wrk's second may pass without an answer
_LENGTH = struct.Struct(">I")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one measurement saw, from the client's side."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int
    """Answers other than 2xx, and requests without an answer."""
    first_failure: int = 0
    """Status of the first such answer; 0 = unknown."""


class LoadError(Exception):
    """A measurement that would measure something else; `str(error)` says what went wrong."""


class Generator:
    """Sends requests to servers on 127.0.0.1."""

    def __init__(self, directory: Path, name: str | None = None) -> None:
        """`directory`: for request files. `name`: "wrk" or "client"; None = the best there is."""
        self._directory = directory
        self._wrk = shutil.which("wrk") if name in {None, "wrk"} else None
        if name == "wrk" and self._wrk is None:
            raise LoadError("There is no wrk on PATH.")
        self.name = "wrk" if self._wrk else "client"
        self._files: dict[str, Path] = {}

    def prepare(self, label: str, requests: Iterable[bytes]) -> Path:
        """Write the requests to a file for the measurements to come, and return it."""
        path = self._directory / f"{label}.requests"
        with path.open("wb") as file:
            for request in requests:
                file.write(_LENGTH.pack(len(request)) + request)
        return path

    def for_seconds(self, path: Path, port: int, *, connections: int, seconds: float) -> Outcome:
        """Send the requests in turn for a while. Raises LoadError when one fails."""
        if self._wrk is None:
            return self._client(path, port, connections, ["--seconds", str(seconds)])
        return _run(
            [
                *(
                    self._wrk,
                    "-t1",
                    f"-c{connections}",
                    f"-d{math.ceil(seconds)}s",
                    "--timeout",
                    "10s",
                ),
                *("-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{port}/", str(path)),
            ]
        )

    def once(self, path: Path, port: int, *, connections: int) -> Outcome:
        """Send every request once; always by `tests.load.client`. Raises LoadError."""
        return self._client(path, port, connections, ["--once"])

    def _client(self, path: Path, port: int, connections: int, length: Sequence[str]) -> Outcome:
        return _run(
            [
                *(sys.executable, "-m", "tests.load.client", str(path), "--port", str(port)),
                *("--connections", str(connections), *length),
            ]
        )


def read_requests(path: Path) -> list[bytes]:
    """Return the requests of a file that `Generator.prepare` wrote."""
    data, at, requests = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        requests.append(data[at : at + length])
        at += length
    return requests


def _run(command: Sequence[str]) -> Outcome:
    for _ in range(ATTEMPTS):
        outcome = _attempt(command)
        if outcome.failed:
            raise LoadError(
                f"{outcome.failed} of {outcome.requests} requests failed, the first with status "
                f"{outcome.first_failure or 'unknown'}."
            )
        if outcome.requests:
            return outcome
    raise LoadError("The server answered nothing while it was measured.")


def _attempt(command: Sequence[str]) -> Outcome:
    result = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, env=base_environment()
    )
    if result.returncode != 0:
        raise LoadError(f"The load generator failed: {result.stderr.strip()[-500:]}")
    return msgspec.json.decode(result.stdout.splitlines()[-1], type=Outcome)
