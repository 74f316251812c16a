"""From path segments to a route: a tree in which a literal segment wins over a parameter.

Knows no FHIR: what a parameter may match is the business of its predicate.
Source: platform specification, "Manifest" (a literal path segment wins over a parameter).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("by_method", "literals", "parameters")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.parameters: list[tuple[str, Callable[[str], bool], _Node[T]]] = []
        self.by_method: dict[str, T] = {}


class Router(Generic[T]):
    """Routes by template: "/{type}/{id}/_history"; the last segment may be no wildcard.

    `predicates` maps a parameter's name to a test of the segment; a parameter without one takes
    any segment.
    """

    def __init__(self, predicates: dict[str, Callable[[str], bool]]) -> None:
        self._root: _Node[T] = _Node()
        self._predicates = predicates

    def add(self, method: str, template: str, target: T) -> None:
        """Add one route. Raises ValueError if method and template are taken."""
        node = self._root
        for segment in template.strip("/").split("/") if template.strip("/") else ():
            if segment.startswith("{"):
                node = self._parameter(node, segment[1:-1])
            else:
                node = node.literals.setdefault(segment, _Node())
        if method in node.by_method:
            raise ValueError(f"{method} {template} is routed twice")
        node.by_method[method] = target

    def _parameter(self, node: _Node[T], name: str) -> _Node[T]:
        for known, _, child in node.parameters:
            if known == name:
                return child
        child = _Node()
        node.parameters.append((name, self._predicates.get(name, lambda _: True), child))
        return child

    def find(self, method: str, segments: tuple[str, ...]) -> tuple[T, dict[str, str]] | None:
        """Return the target and its parameters, None if no route fits."""
        parameters: dict[str, str] = {}
        target = self._find(self._root, method, segments, 0, parameters)
        return None if target is None else (target, parameters)

    def methods(self, segments: tuple[str, ...]) -> list[str]:
        """Return the methods that the path knows, for 405 and Allow."""
        found: set[str] = set()
        self._methods(self._root, segments, 0, found)
        return sorted(found)

    def _find(
        self,
        node: _Node[T],
        method: str,
        segments: tuple[str, ...],
        index: int,
        parameters: dict[str, str],
    ) -> T | None:
        if index == len(segments):
            return node.by_method.get(method)
        segment = segments[index]
        literal = node.literals.get(segment)
        if literal is not None:
            target = self._find(literal, method, segments, index + 1, parameters)
            if target is not None:
                return target
        for name, accepts, child in node.parameters:
            if accepts(segment):
                target = self._find(child, method, segments, index + 1, parameters)
                if target is not None:
                    parameters[name] = segment
                    return target
        return None

    def _methods(
        self, node: _Node[T], segments: tuple[str, ...], index: int, found: set[str]
    ) -> None:
        if index == len(segments):
            found.update(node.by_method)
            return
        literal = node.literals.get(segments[index])
        if literal is not None:
            self._methods(literal, segments, index + 1, found)
        for _, accepts, child in node.parameters:
            if accepts(segments[index]):
                self._methods(child, segments, index + 1, found)
