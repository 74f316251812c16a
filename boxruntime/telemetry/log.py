"""Structured events: one JSON object a line, to standard output or a rotated file.

Fields carry ids, types, counts and durations; never bodies, query values, names or tokens.
Source: core specification, "Structured logs".
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import Any

import msgspec

MAX_FILE_BYTES = 64 * 1024 * 1024
KEPT_FILES = 5

_encode = msgspec.json.Encoder(enc_hook=str).encode


class EventLog:
    """Writes the events of one box process; `box_id` becomes `tn` of each."""

    def __init__(self, box_id: str, path: str | None) -> None:
        self._box_id = box_id
        self._logger = logging.Logger("box")  # noqa: LOG001 - one log a process, no hierarchy
        handler: logging.Handler = (
            RotatingFileHandler(path, maxBytes=MAX_FILE_BYTES, backupCount=KEPT_FILES)
            if path
            else logging.StreamHandler(sys.stdout)
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._logger.addHandler(handler)

    def write(self, event: str, *, level: str | None = None, **fields: Any) -> None:
        """Write one event; `level` is absent for information."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
        record: dict[str, Any] = {"tn": self._box_id, "ev": event, "ts": now}
        if level is not None:
            record["lvl"] = level
        record.update((key, value) for key, value in fields.items() if value is not None)
        self._logger.info(_encode(record).decode())

    def close(self) -> None:
        """Close the file; nothing is written after that."""
        for handler in self._logger.handlers:
            handler.close()

    def write_bug(self, error: BaseException, *, request_id: str) -> None:
        """Write an unexpected exception: where it happened and its type, but not its text.

        The text of an exception may quote the data that caused it.
        """
        frames = traceback.extract_tb(error.__traceback__)
        self.write(
            "w/bug",
            level="error",
            ctx=request_id,
            err=type(error).__name__,
            etr=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-12:]],
        )
