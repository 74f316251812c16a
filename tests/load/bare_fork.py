"""`python -m tests.load.bare_fork COUNT`: the floor of waking a box.

Preloads what the box host preloads, then forks COUNT children that answer one byte and end.
Prints the milliseconds from fork to byte, and the private memory of a child that does nothing.
"""

from __future__ import annotations

import gc
import os
import sys
import time

import msgspec

from boxruntime.contract import FHIR_VERSIONS
from tests.load.usage import private_bytes


class Forks(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    fork_ms: list[float]
    private_bytes: int


def _fork(*, inspect: bool) -> tuple[float, int]:
    up_read, up_write = os.pipe()
    down_read, down_write = os.pipe()
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.write(up_write, b".")
        os.close(down_write)
        os.read(down_read, 1)
        os._exit(0)
    os.read(up_read, 1)
    elapsed_ms = (time.perf_counter() - started) * 1000
    private = private_bytes(pid) if inspect else 0
    for descriptor in (up_read, up_write, down_read, down_write):
        os.close(descriptor)
    os.waitpid(pid, 0)
    return elapsed_ms, private


def main() -> int:
    """Measure; return the exit code."""
    gc.disable()
    from boxruntime.host import application  # the bench itself imports this module, not the box

    application.preload(next(iter(FHIR_VERSIONS)))
    gc.collect()
    gc.freeze()
    _, private = _fork(inspect=True)
    times = [_fork(inspect=False)[0] for _ in range(int(sys.argv[1]))]
    forks = Forks(fork_ms=times, private_bytes=private)
    sys.stdout.write(msgspec.json.encode(forks).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
