"""Finds the resources inside a resource: contained, Bundle entries, Parameters.

Source: core specification, "Containers".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.compile import Convert, FirstClass, Handler, Node, Rules, node_of

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, Metadata
    from boxruntime.fhir.outcome import Path

Found = list[tuple["Path", dict[str, Any]]]


def find_inner_resources(metadata: Metadata, type_name: str, resource: dict[str, Any]) -> Found:
    """Return path and object of each resource inside, at any depth; containers come first."""
    found: Found = []
    _walk(inner_node(metadata, type_name), resource, (), (metadata, found))
    return found


def inner_node(metadata: Metadata, type_name: str) -> Node:
    """Return the compiled walker of a type; most have one member to look at: `contained`."""
    return node_of(metadata, type_name, _RULES)


_State = tuple["Metadata", Found]


def _walk(node: Node, source: dict[str, Any], path: Path, state: _State) -> None:
    for key, handler in node.handlers.items():
        if key in source:
            handler({}, key, source[key], path, state)


def _run(node: Node) -> Convert:
    def visit(source: dict[str, Any], path: Path, state: _State) -> None:
        _walk(node, source, path, state)

    return visit


def _one(convert: Convert) -> Handler:
    def handle(_result: Any, key: str, value: Any, path: Path, state: _State) -> None:
        if type(value) is dict:
            convert(value, (*path, key), state)

    return handle


def _many(convert: Convert) -> Handler:
    def handle(_result: Any, key: str, value: Any, path: Path, state: _State) -> None:
        if type(value) is list:
            for index, item in enumerate(value):
                if type(item) is dict:
                    convert(item, (*path, key, index), state)

    return handle


def _resource(_element: Element) -> Convert:
    return _visit_resource


def _visit_resource(source: dict[str, Any], path: Path, state: _State) -> None:
    metadata, found = state
    found.append((path, source))
    type_name = source.get("resourceType")
    if isinstance(type_name, str) and type_name in metadata.resource_types:
        _walk(inner_node(metadata, metadata.fhir_type(type_name)), source, path, state)


def _union(
    element: Element, alternatives: dict[str, Convert | None], _siblings: dict[str, Element]
) -> dict[str, Handler]:
    inner = Node()
    for alternative, convert in alternatives.items():
        if convert is not None:
            inner.handlers[alternative] = _one(convert)
    return {element.name: _one(_run(inner))} if inner.handlers else {}


def _first_class(_node: Node, found: list[FirstClass]) -> dict[str, Handler]:
    return {
        item.name: (_many if item.array else _one)(item.convert)
        for item in found
        if item.convert is not None
    }


_RULES = Rules(
    kind="inner_resources",
    run=_run,
    one=_one,
    many=_many,
    reference=lambda _element: None,
    resource=_resource,
    types={},
    union=_union,
    first_class=_first_class,
)
