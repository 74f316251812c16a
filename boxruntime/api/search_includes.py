"""What a page of matches brings along: `_include`, `_revinclude` and their rounds.

On /fhir an edge looks at the matches, and at included resources only with `:iterate`. On root
edges chain without it where the edge before names its target and this one its source.
Source: search specification, 7.5; FHIR R4 search, 3.1.1.5.4.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.fhir.search.extract import Target, all_references, references_of
from boxruntime.storage.search.includes import (
    MAX_ROWS,
    compile_identified,
    compile_referring,
    compile_rows,
)
from boxruntime.storage.search.run import fetch_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from boxruntime.fhir.search.query import Include, Query
    from boxruntime.storage.database import Runner
    from boxruntime.storage.rows import Stored

MAX_ROUNDS = 10


class _Found(msgspec.Struct):
    """A resource of the result, and the edges on the way from a match to it."""

    stored: Stored
    path: tuple[Include, ...] = ()


async def load_includes(
    runner: Runner,
    query: Query,
    matches: Sequence[Stored],
    *,
    may_see: Callable[[str], bool],
) -> list[Stored]:
    """Return the included resources, each once and none that is a match.

    Targets that do not exist or whose type the caller may not see are left out. Raises
    OutcomeError TOO_LARGE if an edge brings more than MAX_ROWS.
    """
    pool = {(m.resource_type, m.id): _Found(m) for m in matches}
    matched = set(pool)
    fresh = list(pool.values())
    for _ in range(MAX_ROUNDS):
        added: list[_Found] = []
        for edge in query.includes:
            sources = [found for found in fresh if _follows(query.dialect, edge, found)]
            if not sources:
                continue
            for stored in await _follow(runner, edge, sources, may_see):
                key = (stored.resource_type, stored.id)
                if key not in pool:
                    first = next((s for s in sources), None)
                    path = first.path if first is not None else ()
                    pool[key] = _Found(stored, (*path, edge))
                    added.append(pool[key])
        if not added:
            break
        fresh = added
    return [found.stored for key, found in pool.items() if key not in matched]


def _follows(dialect: Dialect, edge: Include, found: _Found) -> bool:
    """Tell whether an edge starts from a resource of the result."""
    start = edge.target if edge.reverse else edge.source
    if start is not None and found.stored.resource_type != start:
        return False
    if not found.path or edge.iterate or edge.recurse:
        return True
    if edge.parameter is None or dialect is Dialect.FHIR:
        return False
    # Chaining on root: hop by hop between named types, and never round in a circle.
    return edge.source_named and found.path[-1].target is not None and edge not in found.path


async def _follow(
    runner: Runner,
    edge: Include,
    sources: Iterable[_Found],
    may_see: Callable[[str], bool],
) -> list[Stored]:
    if edge.reverse:
        return await _referring(runner, edge, sources, may_see)
    ids: dict[str, set[str]] = defaultdict(set)
    identifiers: dict[str, set[tuple[str | None, str]]] = defaultdict(set)
    for found in sources:
        for target in _targets(edge, found):
            type_name = target.type or edge.target
            if type_name is None or edge.target not in (None, type_name):
                continue
            if target.id is not None:
                ids[type_name].add(target.id)
            elif edge.logical and target.identifier is not None:
                identifiers[type_name].add(target.identifier)
    rows: list[Stored] = []
    for type_name in sorted(ids.keys() | identifiers.keys()):
        if not may_see(type_name):
            continue
        if wanted := ids[type_name]:
            rows.extend(await fetch_rows(runner, compile_rows(type_name, sorted(wanted))))
        if logical := identifiers[type_name]:
            known = sorted(logical, key=lambda pair: (pair[0] or "", pair[1]))
            rows.extend(await fetch_rows(runner, compile_identified(type_name, known)))
    return _checked(rows)


def _targets(edge: Include, found: _Found) -> Iterable[Target]:
    resource = found.stored.resource()
    if edge.parameter is None:
        return all_references(resource)
    return references_of(edge.parameter, resource)


async def _referring(
    runner: Runner,
    edge: Include,
    sources: Iterable[_Found],
    may_see: Callable[[str], bool],
) -> list[Stored]:
    if not may_see(edge.source):
        return []
    ids: dict[str, list[str]] = defaultdict(list)
    for found in sources:
        ids[found.stored.resource_type].append(found.stored.id)
    rows: list[Stored] = []
    for type_name, wanted in sorted(ids.items()):
        statement = compile_referring(edge, type_name, sorted(wanted))
        if statement is not None:
            rows.extend(_checked(await fetch_rows(runner, statement)))
    return rows


def _checked(rows: list[Stored]) -> list[Stored]:
    if len(rows) > MAX_ROWS:
        raise OutcomeError(
            Fault.TOO_LARGE, f"The includes bring more than {MAX_ROWS} resources; narrow them."
        )
    return rows
