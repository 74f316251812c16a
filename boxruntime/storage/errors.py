"""From a database failure to a fault: one table by SQLSTATE.

Texts of the database may quote rows, which are health data; therefore no message of PostgreSQL
reaches a client or a log from here.
"""

from __future__ import annotations

import asyncpg

from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.storage.unique import not_unique

_BY_STATE: dict[str, tuple[Fault, str]] = {
    "22003": (Fault.UNPROCESSABLE, "A number is outside the range that can be stored."),
    "22021": (Fault.UNPROCESSABLE, "A text has characters that cannot be stored."),
    "22P05": (Fault.UNPROCESSABLE, "A text has characters that cannot be stored."),
    "23505": (Fault.CONFLICT, "The resource exists already."),
    "25006": (Fault.TRANSIENT, "The database is read-only at the moment."),
    "40001": (Fault.CONFLICT, "Another request changed the same resources; try again."),
    "40P01": (Fault.CONFLICT, "Another request changed the same resources; try again."),
    "42P01": (Fault.NOT_FOUND, "The resource type has no table."),
    "28P01": (Fault.TRANSIENT, "The database refuses the box."),
    "3D000": (Fault.TRANSIENT, "The database does not exist."),
    "53100": (Fault.TRANSIENT, "The database has no disk space left."),
    "53200": (Fault.TRANSIENT, "The database is out of memory."),
    "53300": (Fault.TRANSIENT, "The database has too many connections."),
    "54000": (Fault.UNPROCESSABLE, "The resource is too large to be stored."),
    "55P03": (Fault.CONFLICT, "Another request holds the resource; try again."),
    "57014": (Fault.TIMEOUT, "The statement took too long."),
    "57P01": (Fault.TRANSIENT, "The database is restarting."),
    "57P03": (Fault.TRANSIENT, "The database is starting."),
}
_CLASS_CONNECTION = ("08", "57")


class LostRaceError(Exception):
    """Another transaction was first; running this one again will see what it did."""


RETRYABLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, LostRaceError)


def outcome_of(error: BaseException) -> OutcomeError | None:
    """Return the expected failure that a database error means, None if it is a bug of ours."""
    if isinstance(error, LostRaceError):
        return OutcomeError(*_BY_STATE["40001"])
    if isinstance(error, asyncpg.UniqueViolationError):
        refused = not_unique(error)
        if refused is not None:
            return refused
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        known = _BY_STATE.get(state)
        if known is not None:
            return OutcomeError(*known)
        if state[:2] in _CLASS_CONNECTION:
            return OutcomeError(Fault.TRANSIENT, "The database cannot be reached.")
        return None
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return None  # a parameter of the wrong type: ours to mend
    if isinstance(error, asyncpg.InterfaceError | OSError):
        return OutcomeError(Fault.TRANSIENT, "The database cannot be reached.")
    return None
