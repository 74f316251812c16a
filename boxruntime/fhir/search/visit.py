"""Walks over the conditions of a Query: which types it reaches, and replacing some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.search.query import (
    AllOf,
    AnyOf,
    Chain,
    Condition,
    Hierarchy,
    ListMember,
    Not,
    Query,
    ReverseChain,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def types_of(query: Query) -> set[str]:
    """Return every resource type whose rows decide the result, or belong to it by name."""
    found = {branch.type for branch in query.branches}
    for branch in query.branches:
        for condition in branch.conditions:
            found.update(_types(condition))
    for edge in query.includes:
        found.add(edge.source)
        if edge.target is not None:
            found.add(edge.target)
    return found


def _types(condition: Condition) -> Iterator[str]:
    match condition:
        case Not(inner):
            yield from _types(inner)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _types(part)
        case Chain():
            for target, inner in condition.targets:
                yield target
                yield from _types(inner)
        case ReverseChain():
            yield condition.source
            yield from _types(condition.condition)
        case Hierarchy():
            yield condition.type
        case ListMember():
            yield "List"
        case _:
            return
