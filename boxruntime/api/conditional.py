"""Conditional interactions: which resource, if any, meets the criteria of a request.

Source: core specification, "Create", "Update", "Delete"; search specification, "Handling"
(criteria are always strict: dropping a filter here would be dangerous).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from boxruntime.api.box import Box
from boxruntime.api.call import Call
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.search.parse import parse_search
from boxruntime.http.target import parse_query
from boxruntime.storage.search.compile import compile_ids

Condition: TypeAlias = Sequence[tuple[str, str]]

CONTROL = frozenset({"_format", "_pretty", "_no-content", "_method", "_type"})
"""Parameters that steer the answer and do not make a request conditional."""


def search_condition(call: Call) -> Condition | None:
    """Return the criteria of the query string, None if it has none."""
    criteria = [(name, value) for name, value in call.query if name not in CONTROL]
    return criteria or None


def create_condition(call: Call) -> Condition | None:
    """Return the criteria of a create: the query, or the If-None-Exist header."""
    criteria = search_condition(call)
    if criteria is not None:
        return criteria
    header = call.header(b"if-none-exist")
    if not header:
        return None
    return parse_query(header.rpartition("?")[2].encode("latin-1")) or None


async def find_one(call: Call, box: Box, condition: Condition) -> str | None:
    """Return the id of the only match, None without a match.

    Raises OutcomeError MULTIPLE_MATCHES, or INVALID for unknown parameters.
    """
    query = parse_search(box.metadata, call.type, condition, call.dialect, strict=True)
    statement = compile_ids(query, limit=2)
    records = await box.store.runner.run(statement.sql, *statement.parameters)
    if len(records) > 1:
        raise OutcomeError(Fault.MULTIPLE_MATCHES, "Several resources match the criteria.")
    return records[0]["id"] if records else None
