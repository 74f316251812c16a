"""Observation/$lastn: the newest Observations of each code, of a search or in a compartment.

Spec: https://hl7.org/fhir/R4/observation-operation-lastn.html
Source: core specification, "Compartments and `$lastn`".
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.call import Call, Result
from boxruntime.api.dispatch import may_see
from boxruntime.api.intake import body_object
from boxruntime.api.interactions.search import is_strict, permitted, search_options
from boxruntime.api.search_bundle import Found, search_bundle, search_resources
from boxruntime.api.search_includes import load_includes
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.search.parse import MAX_FHIR_COUNT, parse_search
from boxruntime.storage.search.lastn import fetch_newest
from boxruntime.storage.search.run import fetch_version, prepare_query

if TYPE_CHECKING:
    from boxruntime.api.box import Box

_TYPE = "Observation"
_MAX_DIGITS = 9


async def lastn(call: Call, box: Box) -> Result:
    """Return the newest `max` (1) of each code among the Observations that are searched for."""
    return await _lastn(call, box, None)


async def lastn_in_compartment(call: Call, box: Box) -> Result:
    """Return the same of the Observations in a compartment: /Patient/p1/Observation/$lastn."""
    return await _lastn(call, box, (call.type, call.id))


async def _lastn(call: Call, box: Box, compartment: tuple[str, str] | None) -> Result:
    parameters = [*call.query, *_sent_parameters(call)]
    most = _most(parameters)
    query = parse_search(
        box.metadata,
        _TYPE,
        [pair for pair in parameters if pair[0] != "max"],
        call.dialect,
        strict=is_strict(call),
        options=search_options(box),
        compartment=compartment,
    )
    query = await prepare_query(box.store.runner, permitted(call, box, query))
    # The order is the operation's own; a page is long, for most callers want all of it.
    counted = any(name == "_count" for name, _ in parameters)
    query = msgspec.structs.replace(
        query,
        sort=(),
        parts=(*(p for p in query.parts if p[0] != "_sort"), ("max", str(most))),
        count=query.count if counted else MAX_FHIR_COUNT,
    )
    started = time.perf_counter()
    runner = box.store.runner
    newest = await fetch_newest(runner, query, most)
    found = Found(
        matches=[] if query.counts_only else newest.rows,
        included=await load_includes(
            runner, query, newest.rows, may_see=lambda name: may_see(call, box, name)
        ),
        total=newest.total,
        has_next=False,
        is_exact=True,
        version=await fetch_version(runner, [_TYPE]),
        statement=None,
        elapsed_ms=int((time.perf_counter() - started) * 1000),
    )
    if query.as_array:
        return Result(status=200, value=search_resources(box.metadata, call, query, found))
    return Result(status=200, value=search_bundle(box.metadata, call, query, found))


def _most(parameters: list[tuple[str, str]]) -> int:
    text = next((value for name, value in reversed(parameters) if name == "max"), "1")
    if not (text.isascii() and text.isdigit() and int(text[:_MAX_DIGITS])):
        raise OutcomeError(Fault.INVALID, "Parameter max: expected a whole number from 1.")
    return int(text[:_MAX_DIGITS])


def _sent_parameters(call: Call) -> list[tuple[str, str]]:
    """Return what a POST sends as Parameters: names and values as a query string has them.

    Values are primitives or references, in either format: valuePositiveInt, or value.positiveInt.
    Raises OutcomeError INVALID.
    """
    if call.method != "POST" or call.body.is_empty:
        return []
    items = body_object(call).get("parameter", [])
    return [_sent(item) for item in (items if isinstance(items, list) else [None])]


def _sent(item: Any) -> tuple[str, str]:
    name = item.get("name") if isinstance(item, dict) else None
    values = [item[key] for key in item if key.startswith("value")] if name else []
    value = values[0] if len(values) == 1 else None
    if isinstance(value, dict) and "reference" in value:
        value = value["reference"]
    elif isinstance(value, dict) and "resourceType" in value and "id" in value:
        value = f"{value['resourceType']}/{value['id']}"
    elif isinstance(value, dict) and len(value) == 1:
        return _sent({"name": name, "value": next(iter(value.values()))})
    if not isinstance(name, str) or not isinstance(value, str | int | Decimal):
        raise OutcomeError(Fault.INVALID, "A parameter needs a name and one simple value.")
    return name, str(value).lower() if isinstance(value, bool) else str(value)
