"""People's SQL as requests send it: the session it runs in, and its failures as outcomes.

Source: search specification, 2 Requests, Errors; 11.1.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.storage.sql.run import Session, StatementFailedError, open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from boxruntime.api.box import Box


@asynccontextmanager
async def sql_session(box: Box) -> AsyncIterator[Session]:
    """Give the session for a request, or that of the transaction Bundle it is an entry of."""
    runner = None if box.transaction is None else box.store.runner
    async with open_session(box.database, runner) as session:
        yield session


def refusal(failure: StatementFailedError, *, wrote_it: bool = True) -> OutcomeError:
    """Return the outcome of a statement that PostgreSQL refused.

    `wrote_it`: the caller sent the statement, or could read all that its message may quote.
    """
    if not wrote_it:
        return OutcomeError(Fault.UNPROCESSABLE, failure.without_values())
    at = "" if failure.position is None else f" (position {failure.position})"
    return OutcomeError(Fault.UNPROCESSABLE, f"{failure.message}{at}")


def check_text(sql: object) -> str:
    """Return SQL that can be sent to PostgreSQL. Raises OutcomeError UNPROCESSABLE."""
    if not isinstance(sql, str) or not sql.strip():
        raise OutcomeError(Fault.UNPROCESSABLE, Issue(message="expected SQL, a string"))
    if "\x00" in sql:
        raise OutcomeError(Fault.UNPROCESSABLE, "A text has characters that cannot be stored.")
    return sql
