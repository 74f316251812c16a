"""Conditional interactions: which resource, if any, meets the criteria of a request.

Source: core specification, "Create", "Update", "Delete"; search specification, "Handling"
(criteria are always strict: dropping a filter here would be dangerous).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from boxruntime.api.dispatch import GOVERNING, authorize_type
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.search.parse import SearchOptions, is_filter, parse_search
from boxruntime.fhir.search.visit import types_of
from boxruntime.http.messages import RequestError
from boxruntime.http.target import parse_query
from boxruntime.storage.errors import LostRaceError
from boxruntime.storage.search.compile import compile_ids
from boxruntime.storage.search.run import fetch, prepare_query

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.api.call import Call

_FIRST_LOCK = 0x48_41_4C_45_00_00  # 256 numbers that nothing else of ours takes
_BEFORE_QUERY = re.compile(r"\A[^=&?]*\?")
"""What clients put before the criteria of If-None-Exist: "?", "Patient?", or a whole URL."""
Condition: TypeAlias = Sequence[tuple[str, str]]


class Match(NamedTuple):
    """A resource that meets criteria, and the version that did."""

    type: str
    id: str
    txid: int


def search_condition(call: Call) -> Condition | None:
    """Return the criteria of the query string, None if it has none."""
    return _criteria(call.query)


def create_condition(call: Call) -> Condition | None:
    """Return the criteria of a create: the query, or the If-None-Exist header."""
    criteria = search_condition(call)
    if criteria is not None:
        return criteria
    header = call.header(b"if-none-exist")
    if not header:
        return None
    try:
        return _criteria(parse_query(_BEFORE_QUERY.sub("", header.strip()).encode("latin-1")))
    except RequestError as error:
        raise OutcomeError(Fault.INVALID, error.message) from None


def _criteria(pairs: Condition) -> Condition | None:
    return [(name, value) for name, value in pairs if is_filter(name)] or None


async def hold(box: Box, *conditions: tuple[str, Condition]) -> None:
    """Let requests with the same criteria follow one another until the transaction ends.

    Otherwise two that start together both find nothing, and both create. `conditions`: type and
    criteria. The locks are few and taken in order, so that large Bundles neither fill
    PostgreSQL's lock table nor wait for each other in a circle.
    """
    wanted = sorted({_lock_of(resource_type, criteria) for resource_type, criteria in conditions})
    if wanted:
        await box.store.runner.run(
            "SELECT pg_advisory_xact_lock(key)::text FROM unnest($1::bigint[]) AS key", wanted
        )


def _lock_of(resource_type: str, criteria: Condition) -> int:
    text = "\x00".join((resource_type, *(part for pair in sorted(criteria) for part in pair)))
    return _FIRST_LOCK + hashlib.blake2b(text.encode(), digest_size=1).digest()[0]


async def find_one(call: Call, box: Box, condition: Condition) -> Match | None:
    """Return the only match, None without a match.

    Raises OutcomeError MULTIPLE_MATCHES, or INVALID for unknown parameters and criteria that
    say nothing (`identifier=`).
    """
    found = await find_matches(call, box, call.type, condition)
    if len(found) > 1:
        raise OutcomeError(Fault.MULTIPLE_MATCHES, "Several resources match the criteria.")
    return found[0] if found else None


async def find_one_to_change(call: Call, box: Box, condition: Condition) -> str | None:
    """Return the id of the only match, inside a transaction that holds it from now on.

    Raises OutcomeError as `find_one` does; LostRaceError if another write came between.
    """
    await hold(box, (call.type, condition))
    match = await find_one(call, box, condition)
    if match is None:
        return None
    await lock_matches(box, [match])
    return match.id


async def lock_matches(
    box: Box, matches: Sequence[Match], *, also: Sequence[tuple[str, str]] = ()
) -> None:
    """Lock matches that will be changed: each must still be what met the criteria.

    `also`: type and id of other rows to be locked, in one order with them. Raises LostRaceError
    if another write came between; another attempt searches again.
    """
    wanted: dict[str, list[str]] = {}
    for resource_type, id_ in (*also, *((match.type, match.id) for match in matches)):
        wanted.setdefault(resource_type, []).append(id_)
    locked = await box.store.lock(wanted)
    if any(locked.get((match.type, match.id)) != match.txid for match in matches):
        raise LostRaceError


async def find_matches(
    call: Call, box: Box, resource_type: str, condition: Condition
) -> list[Match]:
    """Return what meets the criteria, at most two."""
    query = parse_search(
        box.metadata,
        resource_type,
        condition,
        call.dialect,
        strict=True,
        options=SearchOptions(bases=tuple(dict.fromkeys(box.authorities.values()))),
    )
    if not all(branch.conditions for branch in query.branches):
        raise OutcomeError(Fault.INVALID, "The criteria have no value.")
    for reached in sorted(types_of(query) & GOVERNING):
        # Criteria that go through a type tell what its rows hold.
        authorize_type(call, box, reached)
    query = await prepare_query(box.store.runner, query)
    records = await fetch(box.store.runner, compile_ids(query, limit=2))
    return [Match(resource_type, record["id"], record["txid"]) for record in records]
