"""FHIR search: GET [base]/{type}, POST [base]/{type}/_search, over all types, in a compartment.

Spec: https://hl7.org/fhir/R4/http.html#search
Source: search specification, 2 Requests, 6.6, 7, 12.1.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.call import Call, Result
from boxruntime.api.dispatch import GOVERNING, authorize_type, may_see
from boxruntime.api.operations.stored_query import search_by_query
from boxruntime.api.preconditions import tags
from boxruntime.api.search_bundle import Found, search_bundle, search_resources
from boxruntime.api.search_includes import load_includes
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.fhir.search.parse import SearchOptions, parse_search
from boxruntime.fhir.search.query import Query, Total
from boxruntime.fhir.search.visit import types_of
from boxruntime.http.target import parse_query
from boxruntime.storage.search.compile import compile_count, compile_estimate, compile_search
from boxruntime.storage.search.explain import explain
from boxruntime.storage.search.run import (
    fetch_estimate,
    fetch_rows,
    fetch_total,
    fetch_version,
    limited,
    prepare_query,
)

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.storage.database import Runner

_FORM = "application/x-www-form-urlencoded"


async def search_type(call: Call, box: Box) -> Result:
    """Return the resources of one type that meet the parameters, or those of a stored query."""
    query_id = call.parameter("_query")
    if query_id:
        return await search_by_query(call, box, query_id)
    return await _search(call, box, call.type)


async def search_system(call: Call, box: Box) -> Result:
    """Return resources of several types: those of `_type`, or all the caller may see."""
    return await _search(call, box, None)


async def search_compartment(call: Call, box: Box) -> Result:
    """Return the resources of one type in a compartment: /Patient/p1/Observation."""
    return await _search(call, box, call.parameters["target"], (call.type, call.id))


async def search_whole_compartment(call: Call, box: Box) -> Result:
    """Return all resources in a compartment: /Patient/p1/*."""
    return await _search(call, box, None, (call.type, call.id))


async def _search(
    call: Call, box: Box, type_name: str | None, compartment: tuple[str, str] | None = None
) -> Result:
    query = parse_search(
        box.metadata,
        type_name,
        search_parameters(call),
        call.dialect,
        strict=is_strict(call),
        options=search_options(box),
        compartment=compartment,
    )
    query = permitted(call, box, query)
    query = await prepare_query(box.store.runner, query)
    if query.explain:
        authorize_type(call, box, "AidboxQuery")
        return Result(
            status=200,
            value=await limited(box.database, query.timeout_ms, lambda r: explain(r, query)),
        )
    runner = box.store.runner
    types = [branch.type for branch in query.branches]
    version = await fetch_version(runner, types) if types else 0
    fhir = call.dialect is Dialect.FHIR
    headers = ((b"etag", (f'"{version}"' if fhir else str(version)).encode()),)
    known = call.header(b"if-none-match") or query.etag
    if known is not None and str(version) in tags(known):
        return Result(status=304, headers=headers)
    if box.transaction is None and any(key == "_timeout" for key, _ in query.parts):
        found = await limited(
            box.database, query.timeout_ms, lambda r: _find(call, box, r, query, version)
        )
    else:
        found = await _find(call, box, runner, query, version)
    value: Any
    if query.as_array:
        value = search_resources(box.metadata, call, query, found)
    else:
        value = search_bundle(box.metadata, call, query, found)
    return Result(status=200, value=value, headers=headers)


def search_parameters(call: Call) -> list[tuple[str, str]]:
    """Return the parameters of the URL and, for a search by POST, of the form in its body.

    Raises OutcomeError UNSUPPORTED_MEDIA_TYPE for another kind of body.
    """
    if call.method != "POST" or not call.body.raw.strip():
        return call.query
    declared = (call.header(b"content-type") or _FORM).partition(";")[0].strip().lower()
    if declared != _FORM:
        raise OutcomeError(Fault.UNSUPPORTED_MEDIA_TYPE, f"A search by POST is sent as {_FORM}.")
    return [*call.query, *parse_query(call.body.raw)]


def search_options(box: Box) -> SearchOptions:
    """Return what of the box decides how a search is read."""
    return SearchOptions(bases=tuple(dict.fromkeys(box.authorities.values())))


def is_strict(call: Call) -> bool:
    """Tell whether the caller prefers strict handling. Raises nothing: a preference is no duty."""
    for item in (call.header(b"prefer") or "").replace(";", ",").split(","):
        name, _, value = item.partition("=")
        if name.strip().lower() == "handling":
            return value.strip().strip('"').lower() == "strict"
    return False


def permitted(call: Call, box: Box, query: Query) -> Query:
    """Return the query without types that the caller may not see.

    A search over all types leaves them out; naming one, or asking by a chain through it, is
    refused: the answer would tell what its rows hold.
    """
    if query.type is None and not any(key == "_type" for key, _ in query.parts):
        visible = tuple(b for b in query.branches if may_see(call, box, b.type))
        query = msgspec.structs.replace(query, branches=visible)
    for resource_type in sorted(types_of(query) & GOVERNING):
        authorize_type(call, box, resource_type)
    return query


async def _find(call: Call, box: Box, runner: Runner, query: Query, version: int) -> Found:
    started = time.perf_counter()
    if query.counts_only:
        counting = compile_count(query)
        total = await fetch_total(runner, counting)
        return Found(
            matches=[],
            included=[],
            total=total,
            has_next=False,
            is_exact=True,
            version=version,
            statement=counting,
            elapsed_ms=_elapsed(started),
        )
    statement = compile_search(query)
    rows = await fetch_rows(runner, statement)
    matches = rows[: query.count]
    offset = (query.page - 1) * query.count
    # A page that is not full tells the total, unless it is empty and not the first.
    is_known = len(rows) < query.count and (bool(rows) or offset == 0)
    known_total: int | None = offset + len(rows) if is_known else None
    is_exact = True
    if query.total is Total.ACCURATE and known_total is None:
        known_total = await fetch_total(runner, compile_count(query))
    elif query.total is Total.ESTIMATE and known_total is None:
        estimate = await fetch_estimate(runner, compile_estimate(query))
        known_total, is_exact = max(estimate, offset + len(rows)), False
    elif query.total is Total.NONE and query.page_given:
        known_total = None
    included = await load_includes(
        runner, query, matches, may_see=lambda name: may_see(call, box, name)
    )
    return Found(
        matches=matches,
        included=included,
        total=known_total,
        has_next=len(rows) > query.count,
        is_exact=is_exact,
        version=version,
        statement=statement,
        elapsed_ms=_elapsed(started),
    )


def _elapsed(started: float) -> int:
    return int((time.perf_counter() - started) * 1000)
