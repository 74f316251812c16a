"""Walks over the conditions of a Query: which types it reaches, and replacing some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.search.query import (
    AllOf,
    AnyOf,
    Branch,
    Chain,
    Condition,
    Hierarchy,
    InValueSet,
    ListMember,
    Not,
    Query,
    ReverseChain,
    Subsumption,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

import msgspec


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
        case InValueSet():
            yield "ValueSet"
        case Subsumption():
            yield "CodeSystem"
        case _:
            return


def conditions_of(query: Query) -> Iterator[Condition]:
    """Yield every condition of a query, nested ones included."""
    for branch in query.branches:
        for condition in branch.conditions:
            yield from _nested(condition)


def _nested(condition: Condition) -> Iterator[Condition]:
    yield condition
    match condition:
        case Not(inner):
            yield from _nested(inner)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _nested(part)
        case Chain():
            for _, inner in condition.targets:
                yield from _nested(inner)
        case ReverseChain():
            yield from _nested(condition.condition)
        case _:
            return


def replace_conditions(query: Query, replaced: Mapping[Condition, Condition]) -> Query:
    """Return the query with the conditions that are keys of `replaced` exchanged."""
    branches = tuple(
        Branch(branch.type, tuple(_replaced(c, replaced) for c in branch.conditions))
        for branch in query.branches
    )
    return msgspec.structs.replace(query, branches=branches)


def _replaced(condition: Condition, replaced: Mapping[Condition, Condition]) -> Condition:
    if condition in replaced:
        return replaced[condition]
    match condition:
        case Not(inner):
            return Not(_replaced(inner, replaced))
        case AllOf(parts):
            return AllOf(tuple(_replaced(part, replaced) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_replaced(part, replaced) for part in parts))
        case Chain(parameter, targets, contained):
            inside = tuple((name, _replaced(inner, replaced)) for name, inner in targets)
            return Chain(parameter, inside, contained)
        case ReverseChain(source, parameter, target, inner):
            return ReverseChain(source, parameter, target, _replaced(inner, replaced))
        case _:
            return condition


def chains_of(query: Query) -> Iterator[tuple[str, Chain]]:
    """Yield every chain with the type of the rows it starts from."""
    for branch in query.branches:
        for condition in branch.conditions:
            yield from _chains(branch.type, condition)


def _chains(type_name: str, condition: Condition) -> Iterator[tuple[str, Chain]]:
    match condition:
        case Not(inner):
            yield from _chains(type_name, inner)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _chains(type_name, part)
        case Chain():
            yield type_name, condition
            for target, inner in condition.targets:
                yield from _chains(target, inner)
        case ReverseChain():
            yield from _chains(condition.source, condition.condition)
        case _:
            return


def note_contained(query: Query, held: AbstractSet[tuple[str, str]]) -> Query:
    """Return the query whose chains know which targets are held inside other rows.

    `held`: pairs of a type of rows and a type of resource that some of them contain.
    """
    branches = tuple(
        Branch(branch.type, tuple(_noted(branch.type, c, held) for c in branch.conditions))
        for branch in query.branches
    )
    return msgspec.structs.replace(query, branches=branches)


def _noted(type_name: str, condition: Condition, held: AbstractSet[tuple[str, str]]) -> Condition:
    match condition:
        case Not(inner):
            return Not(_noted(type_name, inner, held))
        case AllOf(parts):
            return AllOf(tuple(_noted(type_name, part, held) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_noted(type_name, part, held) for part in parts))
        case Chain(parameter, targets, _):
            contained = tuple(name for name, _ in targets if (type_name, name) in held)
            inside = tuple((name, _noted(name, inner, held)) for name, inner in targets)
            return Chain(parameter, inside, contained)
        case ReverseChain(source, parameter, target, inner):
            return ReverseChain(source, parameter, target, _noted(source, inner, held))
        case _:
            return condition
