"""Structured events: one JSON object a line, to standard output or a rotated file.

Fields carry ids, types, counts and durations; never bodies, query values, names or tokens.

An event costs its encoding only: lines are gathered for FLUSH_S and then handed to the writing
thread and to everyone who follows the log.
Source: core specification, "Structured logs".
"""

from __future__ import annotations

import asyncio
import os
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.telemetry.instants import now
from boxruntime.telemetry.sink import Sink

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

FLUSH_S = 0.1
MAX_GATHERED = 4096
"""Lines after which nobody waits for FLUSH_S."""
MAX_BEHIND_BYTES = 2 * 1024 * 1024
"""What a follower may be behind before it misses events."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


class EventLog:
    """Writes the events of one box process; `box_id` becomes `tn` of each, the process id `w`.

    `sql`: statements are logged too. `values`: query strings and statement parameters are logged
    in full, which may be health data. Raises OSError if the file cannot be opened.
    """

    def __init__(
        self, box_id: str, path: str | None, *, sql: bool = False, values: bool = False
    ) -> None:
        self.sql = sql
        self.values = values
        self.common = _encode({"tn": box_id, "w": str(os.getpid())})[:-1].decode()
        """How every line begins."""
        self._sink = Sink(
            path, lambda count: self._line("log/lost", "warn", {"n": count}).encode() + b"\n"
        )
        self._gathered: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._followers: set[_Follower] = set()

    def write(self, event: str, *, level: str | None = None, **fields: Any) -> None:
        """Write one event; `level` is absent for information."""
        self.add(self._line(event, level, fields))

    def add(self, line: str) -> None:
        """Write one event that is encoded already, without the end of its line."""
        self._gathered.append(line)
        if self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self.flush()
            else:
                self._timer = loop.call_later(FLUSH_S, self.flush)
        elif len(self._gathered) > MAX_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Hand over what was gathered. Waits for nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._gathered:
            return
        self._gathered.append("")
        chunk = "\n".join(self._gathered).encode()
        self._gathered.clear()
        self._sink.put(chunk)
        for follower in self._followers:
            follower.put(chunk)

    def drain(self) -> None:
        """Wait, two seconds at most, until all events are where they belong."""
        self.flush()
        self._sink.drain()

    def close(self) -> None:
        """Write what is left and let the followers go; nothing is written after that."""
        self.flush()
        for follower in self._followers:
            follower.end()
        self._sink.close()

    async def follow(self) -> AsyncGenerator[bytes, None]:
        """Yield the events of this process from now on, as chunks of lines, until it ends."""
        follower = _Follower()
        self._followers.add(follower)
        try:
            while (chunk := await follower.next()) is not None:
                yield chunk
                if missed := follower.missed():
                    yield self._line("log/lost", "warn", {"n": missed}).encode() + b"\n"
        finally:
            self._followers.discard(follower)

    def write_bug(
        self, error: BaseException, *, request_id: str, event: str = "w/bug", **fields: Any
    ) -> None:
        """Write an unexpected exception: where it happened and its type, but not its text.

        The text of an exception may quote the data that caused it.
        """
        frames = traceback.extract_tb(error.__traceback__)
        self.write(
            event,
            level="error",
            ctx=request_id,
            err=type(error).__name__,
            etr=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-12:]],
            **fields,
        )

    def _line(self, event: str, level: str | None, fields: dict[str, Any]) -> str:
        record: dict[str, Any] = {"ev": event, "ts": now()}
        if level is not None:
            record["lvl"] = level
        record.update((key, value) for key, value in fields.items() if value is not None)
        return f"{self.common},{_encode(record)[1:].decode()}"


class _Follower:
    """The chunks that one reader of the log has not taken yet."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._bytes = 0
        self._missed = 0
        self._ended = False
        self._news = asyncio.Event()

    def put(self, chunk: bytes) -> None:
        if self._bytes + len(chunk) > MAX_BEHIND_BYTES:
            self._missed += chunk.count(b"\n")
            return
        self._chunks.append(chunk)
        self._bytes += len(chunk)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    def missed(self) -> int:
        """Return how many events did not fit, once, where their place in the log is reached."""
        if self._chunks:
            return 0
        missed, self._missed = self._missed, 0
        return missed

    async def next(self) -> bytes | None:
        """Return the next chunk, None after the last one."""
        while not self._chunks:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        chunk = self._chunks.popleft()
        self._bytes -= len(chunk)
        return chunk
