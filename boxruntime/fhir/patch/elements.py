"""Elements as FHIR's JSON spells them: a primitive `x` shares its place with `_x`.

Spec: https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Spelled(NamedTuple):
    """One element: its value, and for a primitive the object with its id and extensions."""

    value: Any
    extra: Any = None


def read_one(holder: dict[str, Any], key: str) -> Spelled | None:
    """Return a single element, None if it is not there."""
    if key not in holder and "_" + key not in holder:
        return None
    return Spelled(holder.get(key), holder.get("_" + key))


def write_one(holder: dict[str, Any], key: str, element: Spelled | None) -> None:
    """Put a single element in its place, or take it away."""
    for name, part in zip((key, "_" + key), element or (None, None), strict=True):
        if part is None:
            holder.pop(name, None)
        else:
            holder[name] = part


def read_many(holder: dict[str, Any], key: str) -> list[Spelled]:
    """Return a repeating element; one that is no array counts as its only item."""
    values, extras = (_items(holder.get(name)) for name in (key, "_" + key))
    length = max(len(values), len(extras))
    values += [None] * (length - len(values))
    extras += [None] * (length - len(extras))
    return [Spelled(*pair) for pair in zip(values, extras, strict=True)]


def write_many(holder: dict[str, Any], key: str, elements: list[Spelled]) -> None:
    """Put a repeating element in its place; an array without anything in it goes."""
    for name, parts in (
        (key, [element.value for element in elements]),
        ("_" + key, [element.extra for element in elements]),
    ):
        if all(part is None for part in parts):
            holder.pop(name, None)
        else:
            holder[name] = parts


def _items(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value.copy()
    return [] if value is None else [value]
