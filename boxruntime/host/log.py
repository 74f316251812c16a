"""One JSON object a line on stderr, as boxes log too.

Source: platform specification, "X-Audit, logs, health".
"""

from __future__ import annotations

import datetime as dt
import logging
import sys

import msgspec

_LEVELS = {"WARNING": "warn", "ERROR": "error", "CRITICAL": "error", "DEBUG": "debug"}


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, str] = {
            "ts": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(
                timespec="milliseconds"
            ),
        }
        if box := getattr(record, "box", None):
            entry["tn"] = box
        entry["ev"] = record.name.replace(".", "/")
        if level := _LEVELS.get(record.levelname):
            entry["lvl"] = level
        entry["msg"] = record.getMessage()
        if record.exc_info and record.exc_info[0]:
            # A traceback's last line may quote a value; its type and place are enough.
            entry["err"] = record.exc_info[0].__name__
            entry["etr"] = _places(record)
        return msgspec.json.encode(entry).decode()


def _places(record: logging.LogRecord) -> str:
    trace = record.exc_info[2] if record.exc_info else None
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(places)


def log_to_stderr() -> None:
    """Let the root logger write to stderr, replacing what was there."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
