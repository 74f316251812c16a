"""What the two directions into storage share: objects at paths, resources inside resources.

Source: core specification, "Containers".
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.conversion import contained_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxruntime.fhir.compile import Convert, Handler, Node
    from boxruntime.fhir.conversion import Conversion
    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.outcome import Path

_URL_TYPE = re.compile(r"(?:^|/)([A-Z][A-Za-z0-9]*)(?:/[^/?]+)?(?:\?.*)?$", re.DOTALL)


def convert_node(
    node: Node, source: dict[str, Any], path: Path, state: Conversion
) -> dict[str, Any]:
    """Return the object with its listed members converted; itself when it has none of them."""
    handlers = node.handlers
    result: dict[str, Any] | None = None
    if len(handlers) < len(source):
        for key, handler in handlers.items():
            if key in source:
                if result is None:
                    result = source.copy()
                handler(result, key, source[key], path, state)
    else:
        for key, value in source.items():
            if key in handlers:
                if result is None:
                    result = source.copy()
                handlers[key](result, key, value, path, state)
    return source if result is None else result


def run(node: Node) -> Convert:
    return partial(convert_node, node)


def one(convert: Convert) -> Handler:
    """Handle a single value. One of the wrong shape stays: the schema reports it at its place."""

    def handle(result: dict[str, Any], key: str, value: Any, path: Path, state: Conversion) -> None:
        if type(value) is dict:
            result[key] = convert(value, (*path, key), state)

    return handle


def many(convert: Convert) -> Handler:
    """Handle an array; what is no array, and items that are no objects, stay."""

    def handle(result: dict[str, Any], key: str, value: Any, path: Path, state: Conversion) -> None:
        if type(value) is list:
            result[key] = [
                convert(item, (*path, key, index), state) if type(item) is dict else item
                for index, item in enumerate(value)
            ]

    return handle


def inner_resource(find_node: Callable[[Metadata, str], Node]) -> Convert:
    """Convert a resource inside a resource by the rules of its own type.

    References in `contained` are checked like the container's; in entries of a stored Bundle and
    in Parameters they are not.
    """

    def convert(source: dict[str, Any], path: Path, state: Conversion) -> dict[str, Any]:
        type_name = source.get("resourceType")
        if not isinstance(type_name, str) or type_name not in state.metadata.resource_types:
            return source
        node = find_node(state.metadata, state.metadata.fhir_type(type_name))
        if len(path) >= 2 and path[-2] == "contained":
            return convert_node(node, source, path, state)
        outer = state.checked, state.contained
        state.checked, state.contained = False, contained_ids(source)
        result = convert_node(node, source, path, state)
        state.checked, state.contained = outer
        return result

    return convert


def named_entries(document: dict[str, Any]) -> dict[str, Any]:
    """Return a Bundle whose entry resources all have a resourceType, if request.url tells it."""
    entries = document.get("entry")
    if not isinstance(entries, list):
        return document
    named = [_named(entry) for entry in entries]
    if all(new is old for new, old in zip(named, entries, strict=True)):
        return document
    return {**document, "entry": named}


def _named(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    resource, request = entry.get("resource"), entry.get("request")
    if not isinstance(resource, dict) or "resourceType" in resource:
        return entry
    url = request.get("url") if isinstance(request, dict) else None
    match = _URL_TYPE.search(url) if isinstance(url, str) else None
    if match is None:
        return entry
    return {**entry, "resource": {"resourceType": match[1], **resource}}
