"""POST /$sql and /$psql: any SQL, for those who may do everything. Root only.

/$sql   "SELECT …", raw text, or [sql, param, …] with `?`  -> [row, …]
/$psql  {"query": "…"}, parts between lines of `----`      -> [{status, query, result, duration}, …]
Source: search specification, 11.1.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from boxruntime.api.call import Call, Result
from boxruntime.api.intake import body_object
from boxruntime.api.sql_session import check_text, refusal, sql_session
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.http.negotiation import media_type
from boxruntime.storage.sql.binding import Bound, TooManyParametersError, from_jdbc, plain
from boxruntime.storage.sql.run import StatementFailedError, run_script
from boxruntime.storage.sql.scripts import blocks_of

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.storage.sql.run import Session

_JSON = frozenset({"application/json", "application/fhir+json", "text/json"})
_RAW = frozenset({"", "text/plain", "application/sql", "text/yaml", "application/yaml",
                  "application/x-yaml", "text/x-yaml", "application/x-www-form-urlencoded"})  # fmt: skip
_MARKS_OF_DATA = ('"', "'", "[", "|", ">", "- ", "---")
"""What a body in JSON or YAML begins with. SQL is not read as YAML: `#>>` would be a comment."""


async def sql(call: Call, box: Box) -> Result:
    """Run SQL and return its rows. Raises OutcomeError UNPROCESSABLE with what PostgreSQL says."""
    bound = _statement(_sent(call))
    async with sql_session(box) as session:
        try:
            if bound.values:
                answer = await session.run(bound)
            else:
                answer = await run_script(session, bound.pieces[0])
        except StatementFailedError as failure:
            raise refusal(failure) from None
    return Result(status=200, value=answer.listed())


async def psql(call: Call, box: Box) -> Result:
    """Run each part of a script for itself; one that fails does not fail the request."""
    text = check_text(body_object(call).get("query"))
    async with sql_session(box) as session:
        answers = [await _block(session, block) for block in blocks_of(text)]
    return Result(status=200, value=answers)


async def _block(session: Session, block: str) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        answer = await run_script(session, block)
    except StatementFailedError as failure:
        at = "" if failure.position is None else f"\n  Position: {failure.position}"
        return {"status": "error", "error": f"ERROR: {failure.message}{at}", "query": block}
    duration = int((time.perf_counter() - started) * 1000)
    return {"status": "success", "query": block, "result": answer.listed(), "duration": duration}


def _sent(call: Call) -> Any:
    """Return the body: a string or an array. Raises OutcomeError."""
    body = call.body
    if not body.raw:
        return body.value()  # of an entry, or nothing
    media = media_type(body.content_type)
    if media in _JSON:
        return body.value()
    if media not in _RAW:
        raise OutcomeError(Fault.UNSUPPORTED_MEDIA_TYPE, "The Content-Type is not supported.")
    try:
        text = body.raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise OutcomeError(Fault.INVALID, "The body is not UTF-8.") from None
    if text.lstrip().startswith(_MARKS_OF_DATA) and media not in {"text/plain", "application/sql"}:
        return body.value(also=_RAW if media == "application/x-www-form-urlencoded" else None)
    return text


def _statement(sent: Any) -> Bound:
    if not isinstance(sent, list):
        return plain(check_text(sent))
    if not sent:
        raise OutcomeError(Fault.UNPROCESSABLE, "expected an array that begins with SQL")
    text, *values = sent
    try:
        bound = from_jdbc(check_text(text), values)
    except TooManyParametersError:
        raise OutcomeError(Fault.UNPROCESSABLE, "The statement has too many parameters.") from None
    if bound is None:
        raise OutcomeError(
            Fault.UNPROCESSABLE, "The number of parameters is not that of the placeholders."
        )
    return bound
