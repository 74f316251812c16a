"""AidboxQuery: SQL that is stored under a name and run with parameters.

GET  /$query/{id}?city=york       -> {data: [row, …], query: [sql, param, …], total}
GET  /{type}?_query={id}&…        -> a search Bundle, under both bases
POST /$query/$debug {query, params} -> {data, query, plan, ctx}, without storing it
Source: search specification, 8 AidboxQuery.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.call import Call, Interaction, Result
from boxruntime.api.dispatch import authorize, authorize_type
from boxruntime.api.intake import body_object
from boxruntime.api.query_values import (
    context_of,
    fill_template,
    percent_format,
    read_parameters,
    timeout_ms,
)
from boxruntime.api.row_resources import entry_of
from boxruntime.api.sql_session import refusal, sql_session
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.fhir.search.query import encode_parts
from boxruntime.storage.sql.run import StatementFailedError

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.storage.sql.binding import Bound

_TYPE = "AidboxQuery"


class _Run(msgspec.Struct, frozen=True):
    """A query that is ready to run."""

    bound: Bound
    counting: Bound | None
    context: dict[str, Any]
    executes: bool
    """It may write."""


class _Ran(msgspec.Struct, frozen=True):
    rows: list[dict[str, Any]]
    total: int | None
    plan: str | None


async def stored_query(call: Call, box: Box) -> Result:
    """Run a stored query with the parameters of the URL. Raises OutcomeError."""
    ready = await _stored(call, box, call.id, None)
    if call.parameter("_explain"):
        authorize_type(call, box, _TYPE)
        ran = await _run(call, box, ready, explains=True, fetches=False)
        return Result(status=200, value=_explained(ready, ran))
    ran = await _run(call, box, ready)
    value: dict[str, Any] = {"data": ran.rows, "query": ready.bound.as_jdbc()}
    if ran.total is not None:
        value["total"] = ran.total
    return Result(status=200, value=value)


async def debug_query(call: Call, box: Box) -> Result:
    """Run the query of the body; nothing is stored. Raises OutcomeError."""
    body = body_object(call)
    query, params = body.get("query"), body.get("params") or {}
    if not isinstance(query, dict) or not isinstance(params, dict):
        raise OutcomeError(Fault.UNPROCESSABLE, "expected query and params, which are objects")
    resource_type = body.get("resourceType")
    if resource_type not in box.metadata.resource_types:
        resource_type = None
    ready = _ready(call, query, params, resource_type)
    ran = await _run(call, box, ready, explains=True, wrote_it=True)
    return Result(status=200, value={"data": ran.rows, **_explained(ready, ran)})


async def search_by_query(call: Call, box: Box, id_: str) -> Result:
    """Answer a search of a type by a stored query. Raises OutcomeError."""
    started = time.perf_counter()
    ready = await _stored(call, box, id_, call.type)
    ran = await _run(call, box, ready)
    fhir = call.dialect is Dialect.FHIR
    entries = [entry_of(box.metadata, call, row, call.type) for row in ran.rows]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if entries or not fhir:
        bundle["entry"] = entries
    if ran.total is not None:
        bundle["total"] = ran.total
    url = f"{call.base if fhir else ''}{call.uri}?{encode_parts(tuple(call.query))}"
    bundle["link"] = [{"relation": "self", "url": url}]
    if not fhir:
        bundle["query-sql"] = ready.bound.as_jdbc()
        bundle["query-timeout"] = timeout_ms(call)
        bundle["query-time"] = int((time.perf_counter() - started) * 1000)
    return Result(status=200, value=bundle)


async def _stored(call: Call, box: Box, id_: str, resource_type: str | None) -> _Run:
    stored = await box.store.find(_TYPE, id_)
    if stored is None:
        raise OutcomeError(Fault.NOT_FOUND, "The query does not exist.")
    query = stored.resource()
    if query.get("type") == "execute":
        # It may write, so it takes the rights of a write, however it was asked for.
        await authorize(
            box,
            call.principal,
            msgspec.structs.replace(call.asked, method="POST"),
            route=msgspec.structs.replace(call.route, interaction=Interaction.OTHER),
            resource_type=call.parameters.get("type"),
        )
    return _ready(call, query, dict(call.query), resource_type)


def _ready(
    call: Call, query: dict[str, Any], sent: dict[str, Any], resource_type: str | None
) -> _Run:
    params = read_parameters(
        query.get("params"), sent, percent_format, missing=lambda n: f"Parameter {n} is required."
    )
    context = context_of(call, params, resource_type)
    counting = query.get("count-query")
    return _Run(
        fill_template(query.get("query"), context),
        None if counting is None else fill_template(counting, context),
        context,
        query.get("type") == "execute",
    )


async def _run(
    call: Call,
    box: Box,
    ready: _Run,
    *,
    explains: bool = False,
    fetches: bool = True,
    wrote_it: bool = False,
) -> _Ran:
    rows: list[dict[str, Any]] = []
    plan = total = None
    async with sql_session(box) as session:
        try:
            async with session.together(read_only=not ready.executes, timeout_ms=timeout_ms(call)):
                if explains:
                    # To analyse a statement is to run it.
                    plan = await session.plan(ready.bound, analyse=not ready.executes)
                if fetches:
                    rows = (await session.run(ready.bound)).listed()
                if fetches and ready.counting is not None:
                    counted = (await session.run(ready.counting)).listed()
                    total = next(iter(counted[0].values()), None) if counted else None
        except StatementFailedError as failure:
            raise refusal(failure, wrote_it=wrote_it) from None
    return _Ran(rows, total, plan)


def _explained(ready: _Run, ran: _Ran) -> dict[str, Any]:
    context = {name: ready.context[name] for name in ("params", "resourceType")}
    return {
        "plan": ran.plan,
        "ctx": {**context, "safe-paths": [["resourceType"]]},
        "query": ready.bound.as_jdbc(),
    }
