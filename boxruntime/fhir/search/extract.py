"""Values at a parameter's places in a resource at hand (Aidbox format), without a database.

Source: search specification, 1.2 (PathArray), 7.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.json_text import decode_json
from boxruntime.fhir.search.query import Having, Index, Key, Parameter, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_WHOLE = frozenset({"contained", "resource"})


class Target(NamedTuple):
    """What a reference leads to; `identifier` is (system, value) of a logical one."""

    type: str | None
    id: str | None
    identifier: tuple[str | None, str] | None = None


def values_at(document: Any, steps: Sequence[Step]) -> list[Any]:
    """Return all values at a path, lists flattened, nulls left out."""
    found = [document]
    for step in steps:
        match step:
            case Key(name):
                found = [
                    item[name]
                    for item in _flat(found)
                    if isinstance(item, dict) and item.get(name) is not None
                ]
            case Index(position):
                found = [
                    value[position]
                    for value in found
                    if isinstance(value, list) and -len(value) <= position < len(value)
                ]
            case Having(pattern):
                wanted = decode_json(pattern)
                found = [item for item in _flat(found) if contains(item, wanted)]
    return [item for item in _flat(found) if item is not None]


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def contains(value: Any, pattern: Any) -> bool:
    """Return whether a JSON value contains a pattern, as PostgreSQL's `@>` decides."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            key in value and contains(value[key], part) for key, part in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(
            any(contains(item, part) for item in value) for part in pattern
        )
    return type(value) is type(pattern) and bool(value == pattern)


def references_of(parameter: Parameter, document: dict[str, Any]) -> Iterator[Target]:
    """Yield where the references of a parameter lead; absolute and local ones lead nowhere."""
    for place in parameter.locations:
        for value in values_at(document, place.steps):
            if not isinstance(value, dict):
                continue
            target = _target(value)
            if not place.types or target.type in place.types:
                yield target


def all_references(document: dict[str, Any]) -> Iterator[Target]:
    """Yield where all references in a resource lead."""
    # These members hold whole resources, which look like references.
    pending = [(value, key in _WHOLE) for key, value in document.items()]
    while pending:
        value, whole = pending.pop()
        if isinstance(value, list):
            pending.extend((item, whole) for item in value)
        elif isinstance(value, dict):
            if not whole and isinstance(value.get("resourceType"), str):
                yield _target(value)
            pending.extend((item, key in _WHOLE) for key, item in value.items())


def _target(reference: dict[str, Any]) -> Target:
    type_name = reference.get("resourceType") or reference.get("type")
    id_ = reference.get("id") if "resourceType" in reference else None
    raw = reference.get("reference")
    if isinstance(raw, str) and raw.count("/") == 1:
        type_name, _, id_ = raw.partition("/")
    identifier = reference.get("identifier")
    logical = None
    if isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
        logical = (identifier.get("system"), identifier["value"])
    return Target(
        type_name if isinstance(type_name, str) else None,
        id_ if isinstance(id_, str) else None,
        logical,
    )
