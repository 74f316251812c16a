"""Statements in the log: `db/q` with its duration, `db/ex` with the SQLSTATE of its failure.

Those that people write themselves always, others where the operator switched it on. Literals and
comments in the text and all parameters are masked unless values may be logged: any of them may be
health data.
Source: core specification, "Structured logs"; platform specification, "X-Audit, logs, health".
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from boxruntime.telemetry.sql_text import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.telemetry.log import EventLog

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request that runs."""
MAX_PARAMETER_CHARS = 1000
MAX_SQL_CHARS = 10_000  # a migration may be megabytes


class StatementLog:
    """Writes each statement of a box's connections."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    @staticmethod
    def started() -> float:
        return time.perf_counter()

    def ran(self, sql: str, parameters: Sequence[Any], started: float) -> None:
        """Write a statement that succeeded."""
        self._log.write("db/q", **self._fields(sql, parameters, started))

    def failed(
        self, sql: str, parameters: Sequence[Any], started: float, state: str | None
    ) -> None:
        """Write a statement that failed; not what PostgreSQL says of it, which may quote rows."""
        fields = self._fields(sql, parameters, started)
        self._log.write("db/ex", level="warn", state=state, **fields)

    def _fields(self, sql: str, parameters: Sequence[Any], started: float) -> dict[str, Any]:
        values = self._log.values
        return {
            "ctx": REQUEST.get(),
            "d": round((time.perf_counter() - started) * 1000, 3),
            "sql": sql[:MAX_SQL_CHARS] if values else masked(sql[:MAX_SQL_CHARS]),
            "db_prm": [_shown(value) if values else "*" for value in parameters],
        }


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_PARAMETER_CHARS else text[:MAX_PARAMETER_CHARS] + "…"
