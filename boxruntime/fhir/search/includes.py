"""`_include`, `_revinclude` and the compact `_with` as edges to follow.

Source: search specification, 7.5.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from boxruntime.fhir.search.errors import UnknownParameterError, invalid, not_supported
from boxruntime.fhir.search.parameters import find_parameter
from boxruntime.fhir.search.query import Include

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxruntime.fhir.metadata import Metadata

_RECURSE = frozenset({"recurse", "recur", "recursive"})
_MODIFIERS = _RECURSE | {"iterate", "reverse", "logical"}
MAX_INCLUDES = 100


def parse_includes(
    metadata: Metadata, type_name: str | None, key: str, value: str
) -> tuple[Include, ...]:
    """Parse one `_include…=…` or `_revinclude…=…` pair.

    Raises UnknownParameterError for an unknown type or reference, OutcomeError for the rest.
    """
    name, *modifiers = key.split(":")
    if unknown := [m for m in modifiers if m not in _MODIFIERS]:
        raise invalid(key, f"the modifier {unknown[0]} is unknown")
    reverse = (name == "_revinclude") != ("reverse" in modifiers)
    iterate = "iterate" in modifiers
    recurse = bool(_RECURSE & set(modifiers))
    logical = "logical" in modifiers
    found = []
    for item in filter(None, map(str.strip, value.split(","))):
        owner, _, rest = item.partition(":")
        if item == "*" or (rest == "*" and owner in metadata.resource_types):
            if reverse:
                raise not_supported(key, "the wildcard is not supported in reverse")
            source = item.removesuffix("*").removesuffix(":") or type_name
            if source is None or source not in metadata.resource_types:
                raise UnknownParameterError(item, what="include")
            found.append(Include(source, None, None, iterate=iterate))
            continue
        found.append(
            _edge(
                metadata,
                type_name,
                item,
                reverse=reverse,
                iterate=iterate,
                recurse=recurse,
                logical=logical,
            )
        )
    return tuple(found)


def _edge(
    metadata: Metadata,
    type_name: str | None,
    item: str,
    *,
    reverse: bool,
    iterate: bool,
    recurse: bool,
    logical: bool,
) -> Include:
    parts = item.split(":")
    source, target = type_name, None
    source_named = True
    match parts:
        case [name]:
            source_named = False
        case [first, second] if first in metadata.resource_types:
            source, name = first, second
        case [first, second]:
            name, target = first, second
            source_named = False
        case [first, second, third]:
            source, name, target = first, second, third
        case _:
            raise UnknownParameterError(item, what="include")
    target = None if target in (None, "", "*") else target
    if source not in metadata.resource_types or (
        target is not None and target not in metadata.resource_types
    ):
        raise UnknownParameterError(item, what="include")
    parameter = find_parameter(metadata, source, name)
    if parameter is None or parameter.type != "reference":
        raise UnknownParameterError(item, what="include")
    return Include(
        source,
        parameter,
        target,
        reverse=reverse,
        iterate=iterate or recurse,
        recurse=recurse or (iterate and source == target),
        logical=logical,
        source_named=source_named,
    )


_WITH = re.compile(r"\s*(?:(?P<mark>[{}])|(?P<separator>,)|(?P<item>[^\s,{}]+))")


def parse_with(metadata: Metadata, type_name: str, text: str) -> tuple[Include, ...]:
    """Parse the `_with` language: `organization{Organization{partof:recur}},Condition.patient`.

    Raises UnknownParameterError for an unknown type or reference, OutcomeError for bad syntax.
    """
    tokens = [m[str(m.lastgroup)] for m in _WITH.finditer(text) if m.lastgroup != "separator"]
    if len(tokens) > 10 * MAX_INCLUDES:
        raise invalid("_with", "it is too long")
    position = 0
    found: list[Include] = []

    def items(owner: str, depth: int) -> Iterator[Include]:
        nonlocal position
        if depth > 10:
            raise invalid("_with", "it is nested too deeply")
        while position < len(tokens) and tokens[position] != "}":
            item = tokens[position]
            if item == "{":
                raise invalid("_with", "a name is missing before a brace")
            position += 1
            yield from one(owner, item, depth)

    def one(owner: str, item: str, depth: int) -> Iterator[Include]:
        nonlocal position
        name, *modifiers = item.split(":")
        if any(m not in _RECURSE | {"logical"} for m in modifiers):
            raise invalid("_with", "a modifier is unknown")
        reverse = "." in name
        source = owner
        if reverse:
            source, _, name = name.partition(".")
        parameter = (
            find_parameter(metadata, source, name) if source in metadata.resource_types else None
        )
        if parameter is None or parameter.type != "reference":
            raise UnknownParameterError(item, what="include")
        recurse = bool(_RECURSE & set(modifiers))
        edge = Include(
            source,
            parameter,
            owner if reverse else None,
            reverse=reverse,
            # What stands inside braces starts from what the level above brought in.
            iterate=depth > 0 or recurse,
            recurse=recurse,
            logical="logical" in modifiers,
        )
        if position >= len(tokens) or tokens[position] != "{":
            yield edge
            return
        position += 1
        while position < len(tokens) and tokens[position] != "}":
            target = tokens[position]
            position += 1
            if target not in metadata.resource_types:
                raise UnknownParameterError(target, what="include")
            if reverse:
                yield edge
                nested_owner = source
            else:
                yield Include(
                    edge.source, edge.parameter, target,
                    iterate=edge.iterate, recurse=edge.recurse, logical=edge.logical,
                )  # fmt: skip
                nested_owner = target
            if position < len(tokens) and tokens[position] == "{":
                position += 1
                yield from items(nested_owner, depth + 1)
                close()
        close()

    def close() -> None:
        nonlocal position
        if position >= len(tokens) or tokens[position] != "}":
            raise invalid("_with", "a brace is open")
        position += 1

    found.extend(items(type_name, 0))
    if position < len(tokens):
        raise invalid("_with", "a brace is closed that was not opened")
    return tuple(dict.fromkeys(found))
