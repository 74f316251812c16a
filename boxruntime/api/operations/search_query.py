"""SearchQuery: a search put together from SQL parts. Root only.

GET  /alpha/{type}?query={id}&…   -> a search Bundle; with `_explain` how it runs
POST /SearchQuery/$debug {query, tests: {name: {param: value}}} -> {name: {params, result, …}}
Source: search specification, 9 SearchQuery.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.call import Call, Result
from boxruntime.api.dispatch import authorize_type, may_see
from boxruntime.api.intake import body_object
from boxruntime.api.query_values import (
    context_of,
    fill_template,
    question_format,
    read_parameters,
    timeout_ms,
)
from boxruntime.api.row_resources import entry_of
from boxruntime.api.sql_session import refusal, sql_session
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.search.query import encode_parts
from boxruntime.storage.sql.run import StatementFailedError
from boxruntime.storage.sql.search_query import (
    Composed,
    MalformedQueryError,
    compose,
    compose_include,
    includes_of,
    read_include,
)

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.storage.sql.binding import Bound
    from boxruntime.storage.sql.run import Session

_TYPE = "SearchQuery"
DEFAULT_LIMIT = 100
_MAX_LIMIT = 2**31 - 1
_PAGE_KEYS = frozenset({"page", "_page"})
MAX_DEPTH = 10


class _Search(msgspec.Struct, frozen=True):
    """A query that is ready to run, and the page that is asked for."""

    type: str
    composed: Composed
    includes: dict[str, Any]
    context: dict[str, Any]
    counts: bool
    limit: int
    page: int


async def search_alpha(call: Call, box: Box) -> Result:
    """Run a stored SearchQuery of a type. Raises OutcomeError."""
    stored = await box.store.find(_TYPE, call.parameter("query") or "")
    if stored is None or _type_of(stored.resource()) != call.type:
        raise OutcomeError(Fault.NOT_FOUND, "The type has no such query.")
    search = _ready(call, stored.resource(), dict(call.query))
    if call.parameter("_explain"):
        authorize_type(call, box, "AidboxQuery")
        return Result(status=200, value=await _within(call, box, search, _explained))
    return Result(status=200, value=await _within(call, box, search, _bundle))


async def debug_search(call: Call, box: Box) -> Result:
    """Run each test of the body with the query of the body; one that fails fails alone."""
    body = body_object(call)
    query, tests = body.get("query"), body.get("tests") or {}
    if not isinstance(query, dict) or not isinstance(tests, dict):
        raise OutcomeError(Fault.UNPROCESSABLE, "expected query and tests, which are objects")
    if _type_of(query) not in box.metadata.resource_types:
        raise OutcomeError(Fault.NOT_FOUND, "The resource type does not exist.")
    limit = body.get("timeout")
    if isinstance(limit, int) and 0 < limit <= _MAX_LIMIT:
        call = msgspec.structs.replace(call, query=[*call.query, ("_timeout", str(limit))])
    explains = body.get("explain") is True
    answers = {
        name: await _test(call, box, query, params, explains=explains)
        for name, params in tests.items()
    }
    return Result(status=200, value=answers)


async def _test(
    call: Call, box: Box, query: dict[str, Any], params: Any, *, explains: bool
) -> dict[str, Any]:
    sent = params if isinstance(params, dict) else {}
    try:
        search = _ready(call, query, sent)
    except OutcomeError as error:
        errors = [{"details": issue.message} for issue in error.issues]
        return {"status": "error", "params": sent, "errors": errors}
    answer: dict[str, Any] = {"params": search.context["params"]}
    try:
        answer["result"] = await _within(call, box, search, _bundle)
        if explains:
            answer["explain"] = (await _within(call, box, search, _explained))["explain"]
    except OutcomeError as error:
        shown = search.composed.page.as_jdbc()
        said = error.issues[0].message
        answer["result"] = {"status": "error", "query": shown, "error": said}
    return answer


def _type_of(query: dict[str, Any]) -> Any:
    resource = query.get("resource")
    return resource.get("id") if isinstance(resource, dict) else None


def _ready(call: Call, query: dict[str, Any], sent: dict[str, Any]) -> _Search:
    params = read_parameters(
        query.get("params"), sent, question_format, missing=lambda n: f"Parameter {n} is required"
    )
    resource_type = _type_of(query)
    context = context_of(call, params, resource_type)
    limit = _whole(sent, ("_count",), query.get("limit"), DEFAULT_LIMIT, 0)
    page = _whole(sent, ("page", "_page"), None, 1, 1)
    try:
        composed = compose(
            query, resource_type, set(params), lambda text: fill_template(text, context),
            limit=limit, offset=(page - 1) * limit,
        )  # fmt: skip
        includes = includes_of(query, set(params))
    except MalformedQueryError as error:
        raise OutcomeError(Fault.UNPROCESSABLE, f"The query is malformed: {error}.") from None
    counts = query.get("total") is True and sent.get("_total") != "none"
    return _Search(resource_type, composed, includes, context, counts, limit, page)


def _whole(sent: dict[str, Any], names: tuple[str, ...], own: Any, default: int, least: int) -> int:
    for name in names:
        if sent.get(name) not in (None, ""):
            text = str(sent[name])
            if text.isdecimal() and least <= int(text) <= _MAX_LIMIT:
                return int(text)
            raise OutcomeError(Fault.INVALID, f"{name} is a whole number from {least} on.")
    return own if isinstance(own, int) and own >= least else default


async def _within(call: Call, box: Box, search: _Search, work: Any) -> dict[str, Any]:
    """Run work on a session that only reads, in the time that the request has."""
    async with sql_session(box) as session:
        try:
            async with session.together(read_only=True, timeout_ms=timeout_ms(call)):
                answer: dict[str, Any] = await work(call, box, search, session)
        except StatementFailedError as failure:
            raise refusal(failure, wrote_it=False) from None
        except MalformedQueryError as error:
            raise OutcomeError(Fault.UNPROCESSABLE, f"The query is malformed: {error}.") from None
    return answer


async def _explained(_: Call, __: Box, search: _Search, session: Session) -> dict[str, Any]:
    page, counting = search.composed.page, search.composed.counting
    answer: dict[str, Any] = {
        "query": page.as_jdbc(),
        "params": search.context["params"],
        "explain": await session.plan(page, analyse=True),
    }
    if search.counts:
        answer["total-query"] = counting.as_jdbc()
        answer["total-explain"] = await session.plan(counting, analyse=True)
    return answer


async def _bundle(call: Call, box: Box, search: _Search, session: Session) -> dict[str, Any]:
    started = time.perf_counter()
    rows = (await session.run(search.composed.page)).listed()
    total = None
    if search.counts:
        total = (await session.run(search.composed.counting)).listed()[0]["total"]
    included: dict[tuple[str, str], dict[str, Any]] = {}
    ids = [row["id"] for row in rows]
    seen = {(search.type, id_) for id_ in ids}
    await _include(call, box, session, search, (search.type, ids, search.includes), seen, included)
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [
            *(entry_of(box.metadata, call, row, search.type) for row in rows),
            *(entry_of(box.metadata, call, r, t, "include") for (t, _), r in included.items()),
        ],
    }
    if total is not None:
        bundle["total"] = total
    bundle["link"] = _links(call, search, total, len(rows))
    bundle["query-sql"] = search.composed.page.as_jdbc()
    bundle["query-timeout"] = timeout_ms(call)
    bundle["query-time"] = int((time.perf_counter() - started) * 1000)
    return bundle


async def _include(
    call: Call,
    box: Box,
    session: Session,
    search: _Search,
    source: tuple[str, list[str], dict[str, Any]],
    seen: set[tuple[str, str]],
    included: dict[tuple[str, str], dict[str, Any]],
    depth: int = 0,
) -> None:
    """Add what the includes bring along for resources of a type, and theirs in turn."""
    source_type, ids, includes = source
    if not ids or depth == MAX_DEPTH:
        return
    for each in includes.values():
        include = read_include(each)
        if include.type not in box.metadata.resource_types or not may_see(call, box, include.type):
            continue

        def fill(text: str) -> Bound:
            return fill_template(text, search.context)

        found = (await session.run(compose_include(include, source_type, ids, fill))).listed()
        for row in found:
            key = include.type, row["id"]
            if key not in seen:
                seen.add(key)
                included[key] = row
        below = include.type, [row["id"] for row in found], include.includes
        await _include(call, box, session, search, below, seen, included, depth + 1)


def _links(call: Call, search: _Search, total: int | None, found: int) -> list[dict[str, str]]:
    kept = tuple(part for part in call.query if part[0] not in _PAGE_KEYS)

    def link(relation: str, page: int) -> dict[str, str]:
        return {
            "relation": relation,
            "url": f"{call.uri}?{encode_parts((*kept, ('page', str(page))))}",
        }

    links = [link("first", 1), link("self", search.page)]
    if search.limit == 0:
        return links
    last = None if total is None else max(1, -(-total // search.limit))
    if search.page < last if last is not None else found == search.limit:
        links.append(link("next", search.page + 1))
    if search.page > 1:
        links.append(link("previous", search.page - 1))
    if last is not None and last > 1:
        links.append(link("last", last))
    return links
