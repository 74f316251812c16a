"""Search parameters of a type, with their paths resolved against the metadata.

Source: search specification, 3 SearchParameter meta-resource.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.json_text import encode_json
from boxruntime.fhir.search.query import (
    CompositeBase,
    Having,
    Index,
    Key,
    Location,
    Parameter,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from boxruntime.fhir.metadata import Element, Metadata

_PARENTS = ("DomainResource", "Resource")


def find_parameter(metadata: Metadata, type_name: str, name: str) -> Parameter | None:
    """Return the parameter `name` of a type: its own, or else one of its parents'."""
    cache = metadata.artefacts("search-parameter")
    key = f"{type_name}.{name}"
    if key not in cache:
        row = _find_row(metadata, type_name, name)
        found = None if row is None else _resolve(metadata, type_name, row)
        if found is None and len(cache) > 20_000:
            return None  # names from requests must not fill the memory
        cache[key] = found
    known: Parameter | None = cache[key]
    return known


def _find_row(metadata: Metadata, type_name: str, name: str) -> dict[str, Any] | None:
    for owner in (type_name, *_parents_of(metadata, type_name)):
        row = metadata.search_parameters.get((owner, name))
        if row is not None:
            return row
    return None


def _parents_of(metadata: Metadata, type_name: str) -> Iterator[str]:
    seen = {type_name}
    type_def = metadata.find_type(type_name)
    while type_def is not None and type_def.base is not None and type_def.base not in seen:
        seen.add(type_def.base)
        yield type_def.base
        type_def = metadata.find_type(type_def.base)
    for parent in _PARENTS:
        if parent not in seen:
            yield parent


def _resolve(metadata: Metadata, type_name: str, row: dict[str, Any]) -> Parameter:
    bases: tuple[CompositeBase, ...] = ()
    if row["type"] == "composite":
        bases = tuple(_bases(metadata, type_name, row))
    return Parameter(
        name=row["name"],
        type=row["type"],
        locations=tuple(_locations(metadata, type_name, (), row)),
        targets=tuple(row["target"]) if row.get("target") else None,
        exists=bool(row.get("exists")),
        bases=bases,
    )


def _bases(metadata: Metadata, type_name: str, row: dict[str, Any]) -> Iterator[CompositeBase]:
    for base in row.get("expression", ()):
        components = []
        for component in row.get("components", ()):
            from_root = bool(component.get("root"))
            start = () if from_root else tuple(base)
            parameter = Parameter(
                name=component["name"],
                type=component["type"],
                locations=tuple(_locations(metadata, type_name, start, component)),
                targets=tuple(component["target"]) if component.get("target") else None,
            )
            # A component without a place at this kind of node makes the node useless.
            components.append((parameter, from_root))
        steps = _steps(metadata, type_name, (), base)[0]
        yield CompositeBase(steps=steps, components=tuple(components))


def _locations(
    metadata: Metadata, type_name: str, start: Sequence[Any], row: dict[str, Any]
) -> Iterator[Location]:
    """Yield the places of a row's paths, relative to `start`."""
    guards = row.get("guards") or [None] * len(row.get("expression", ()))
    for path, known in zip(row.get("expression", ()), guards, strict=False):
        guard = known or {}
        steps, element = _steps(metadata, type_name, start, path)
        types = tuple(guard.get("types", ()))
        if "raw" in guard:
            yield Location(steps, guard["raw"], types, raw=True)
        elif element is not None and element.union:
            for variant in element.union:
                below = metadata.find_element(type_name, (*_names(start), *_names(path), variant))
                array = below is not None and below.array
                yield Location((*steps, Key(variant, array)), variant, types)
        else:
            yield Location(steps, None if element is None else _datatype(metadata, element), types)


def _datatype(metadata: Metadata, element: Element) -> str | None:
    """Return the type by which values are read: before R4 Money is a Quantity."""
    if element.type == "Money" and metadata.types["Money"].base == "Quantity":
        return "Quantity"
    return element.type


def _steps(
    metadata: Metadata, type_name: str, start: Sequence[Any], path: Sequence[Any]
) -> tuple[tuple[Step, ...], Element | None]:
    """Return the steps of a path, and the element it ends at if the metadata knows it."""
    steps: list[Step] = []
    names = list(_names(start))
    element: Element | None = None
    for step in path:
        if isinstance(step, str):
            names.append(step)
            element = metadata.find_element(type_name, names)
            steps.append(Key(step, element is not None and element.array))
        elif isinstance(step, int):
            steps.append(Index(step))
        else:
            steps.append(Having(encode_json(step).decode()))
    return tuple(steps), element


def _names(path: Sequence[Any]) -> tuple[str, ...]:
    return tuple(step for step in path if isinstance(step, str))
