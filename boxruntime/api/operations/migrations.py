"""POST and GET /db/migrations: SQL that runs once. Root only, also as an entry of a transaction.

POST [{id, sql}, …] -> those that ran now; GET -> all that ever ran, with `ts`.
Source: search specification, 11.1; core specification, "Wire expectations of existing clients".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.api.call import Call, Result
from boxruntime.api.sql_session import check_text, refusal, sql_session
from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.storage.sql.migrations import Migration, MigrationFailedError, list_run, run_new

if TYPE_CHECKING:
    from boxruntime.api.box import Box


async def run_migrations(call: Call, box: Box) -> Result:
    """Run the migrations whose ids never ran, in order; stop at the first failure (422)."""
    sent = call.body.value()
    if not isinstance(sent, list):
        raise OutcomeError(Fault.UNPROCESSABLE, "expected an array of migrations")
    wanted = [_migration(index, one) for index, one in enumerate(sent)]
    async with sql_session(box) as session:
        try:
            fresh = await run_new(session, wanted)
        except MigrationFailedError as error:
            said = refusal(error.failure).issues[0].message
            raise _refused(error.index, "sql", said) from None
    return Result(status=200, value=fresh)


async def list_migrations(_: Call, box: Box) -> Result:
    """Return id, ts and sql of all migrations that ran, in their order."""
    async with sql_session(box) as session:
        return Result(status=200, value=await list_run(session))


def _migration(index: int, one: Any) -> Migration:
    if not isinstance(one, dict):
        raise _refused(index, None, "expected type of object")
    id_ = one.get("id")
    if not isinstance(id_, str) or not id_ or "\x00" in id_:
        raise _refused(index, "id", "expected a string")
    try:
        return Migration(id_, check_text(one.get("sql")))
    except OutcomeError as error:
        raise _refused(index, "sql", error.issues[0].message) from None


def _refused(index: int, member: str | None, message: str) -> OutcomeError:
    place = (index,) if member is None else (index, member)
    expression = f"[{index}]" if member is None else f"[{index}].{member}"
    return OutcomeError(
        Fault.UNPROCESSABLE, Issue(message=message, path=place, expression=expression)
    )
