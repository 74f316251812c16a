"""Finds the elements of type `secret` in a resource, at any depth and in resources inside it.

Source: core specification, "Encryption of `secret` attributes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.overlay import uses_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxruntime.fhir.metadata import Element, Metadata
    from boxruntime.fhir.outcome import Path

SECRET = "secret"  # noqa: S105 - the name of a type


def secret_types(metadata: Metadata) -> frozenset[str]:
    """Return the types that have a secret somewhere inside. None has in the base metadata."""
    cache = metadata.artefacts("secrets")
    found: frozenset[str] | None = cache.get("")
    if found is None:
        users: dict[str, set[str]] = {}
        for type_def in metadata.types.values():
            for used in uses_of(type_def):
                users.setdefault(used, set()).add(type_def.name)
        names: set[str] = set()
        todo = [SECRET]
        while todo:
            fresh = users.get(todo.pop(), set()) - names
            names |= fresh
            todo.extend(fresh)
        found = cache[""] = frozenset(names)
    return found


def change_secrets(
    metadata: Metadata,
    type_name: str,
    resource: dict[str, Any],
    change: Callable[[str, Path], str],
) -> dict[str, Any]:
    """Return the resource (Aidbox format) with every secret changed; itself if it has none.

    Nothing is changed in place: a body may be read a second time after a deadlock.
    """
    holders = secret_types(metadata)
    if not holders:
        return resource
    return _Walk(metadata, holders, change).resource(type_name, resource, ())


class _Walk:
    def __init__(
        self, metadata: Metadata, holders: frozenset[str], change: Callable[[str, Path], str]
    ) -> None:
        self._metadata = metadata
        self._holders = holders
        self._change = change

    def resource(self, type_name: str, source: dict[str, Any], path: Path) -> dict[str, Any]:
        type_def = self._metadata.find_type(type_name)
        if type_def is None:
            return source
        return self._object(type_name, type_def.elements, source, path)

    def _object(
        self, owner: str, elements: dict[str, Element], source: dict[str, Any], path: Path
    ) -> dict[str, Any]:
        result: dict[str, Any] | None = None
        for name, value in source.items():
            element = elements.get(name)
            if element is None or not self._may_hold(element):
                continue
            new = self._value(owner, element, value, (*path, name))
            if new is not value:
                result = dict(source) if result is None else result
                result[name] = new
        return source if result is None else result

    def _may_hold(self, element: Element) -> bool:
        name = element.type
        return (
            name is None
            or name in {SECRET, "Resource"}
            or name in self._holders
            or bool(element.children)
        )

    def _value(self, owner: str, element: Element, value: Any, path: Path) -> Any:
        if isinstance(value, list):
            items = [
                self._value(owner, element, item, (*path, index))
                for index, item in enumerate(value)
            ]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else items
        if element.type == SECRET:
            return self._change(value, path) if isinstance(value, str) else value
        if not isinstance(value, dict):
            return value
        if element.type == "Resource":
            inner = value.get("resourceType")
            if not isinstance(inner, str):
                return value
            return self.resource(self._metadata.fhir_type(inner), value, path)
        below, children = self._metadata.children_of(owner, element)
        return self._object(below, children, value, path)
