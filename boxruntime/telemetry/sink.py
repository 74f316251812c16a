"""Where log lines go: standard output or a rotated file, written by a thread of its own.

Whoever logs never waits and never fails: a full disk, a reader that does not read or a file that
cannot be rotated costs events, which are counted and told of once writing works again.
Source: core specification, "Structured logs".
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_FILE_BYTES = 64 * 1024 * 1024
KEPT_FILES = 5
MAX_WAITING_BYTES = 8 * 1024 * 1024  # some 25,000 events: two seconds of a box at its limit
_STDOUT = 1


class Sink:
    """Takes chunks of whole lines; `tell_lost(n)` makes the line that says how many were lost."""

    def __init__(
        self,
        path: str | None,
        tell_lost: Callable[[int], bytes],
        *,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """Open the file. Raises OSError: a box whose log cannot be opened shall not start."""
        self._path = path
        self._tell_lost = tell_lost
        self._max_file_bytes = max_file_bytes
        self._max_waiting_bytes = max_waiting_bytes
        self._fd = _STDOUT if path is None else _opened(path)
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0  # of the chunk that is being written too
        self._lost = 0
        self._thread: threading.Thread | None = None
        self._closed = False
        self._torn = False
        """The last write ended inside a line."""

    def put(self, chunk: bytes) -> None:
        """Hand over lines, the last one ended; they are dropped where too many wait already."""
        with self._changed:
            if self._closed or self._waiting_bytes + len(chunk) > self._max_waiting_bytes:
                self._lost += chunk.count(b"\n")
                return
            self._chunks.append(chunk)
            self._waiting_bytes += len(chunk)
            if self._thread is None:
                # Not before the first line: the mould, which boxes are forked from, has none.
                self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self, timeout_s: float = 2.0) -> None:
        """Wait until all lines are written, or for so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, but not for longer than this, and close the file."""
        self.drain(timeout_s)
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self._fd != _STDOUT and (self._thread is None or not self._thread.is_alive()):
            os.close(self._fd)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._chunks or self._closed)
                if not self._chunks:
                    return
                chunk = self._chunks.popleft()
                lost, self._lost = self._lost, 0
            if lost:
                chunk = self._tell_lost(lost) + chunk
            written = self._write(chunk)
            with self._changed:
                if not written:
                    self._lost += lost + chunk.count(b"\n") - bool(lost)
                self._waiting_bytes = sum(map(len, self._chunks))
                self._changed.notify_all()

    def _write(self, chunk: bytes) -> bool:
        """Write a chunk and tell whether all of it went out."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._turn_over(self._path, len(chunk))
        rest = memoryview(b"\n" + chunk if self._torn else chunk)
        try:
            while rest:
                sent = os.write(self._fd, rest)
                self._torn = rest[sent - 1] != ord("\n")
                rest = rest[sent:]
        except OSError:
            return False
        return True

    def _turn_over(self, path: str, size: int) -> None:
        """Follow a file that was moved away, or move a full one. Raises OSError."""
        ours = os.fstat(self._fd)
        try:
            is_ours = os.path.samestat(ours, Path(path).stat())
        except FileNotFoundError:
            is_ours = False
        if is_ours and ours.st_size and ours.st_size + size > self._max_file_bytes:
            for number in range(KEPT_FILES - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{path}.{number}").replace(f"{path}.{number + 1}")
            Path(path).replace(f"{path}.1")
            is_ours = False
        if not is_ours:
            fresh = _opened(path)
            os.close(self._fd)
            self._fd = fresh
            self._torn = False


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
