"""Walks compiled types: from a node to its member, through bases, groups and content references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.definitions.package import Json


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a type. `path` is dotted; "" is the type itself."""

    owner: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.owner}.{self.path}" if self.path else self.owner


class TypeModel:
    """Types as `structures.compile_types` returns them."""

    def __init__(self, types: dict[str, Json]) -> None:
        self.types = types

    def element(self, node: Node) -> Json:
        """Return the facts of a node; {"type": name} for a type itself."""
        if not node.path:
            return {"type": node.owner}
        element: Json = self.types[node.owner]["elements"][node.path]
        return element

    def alternatives(self, node: Node) -> list[str]:
        """Return the types a choice may have, [] for any other node."""
        return list(self.element(node).get("union", ()))

    def is_group(self, node: Node) -> bool:
        """Tell whether a node is only its members."""
        return "group" in self.element(node)

    def type_of(self, node: Node) -> str | None:
        """Return the declared type; None for a group, content reference or choice."""
        found = self.element(node).get("type")
        return None if found is None else str(found)

    def find_member(self, node: Node, name: str) -> Node | None:
        """Return the member `name` of a node that is not a choice."""
        element = self.element(node)
        if "contentRef" in element:
            return self.find_member(Node(node.owner, element["contentRef"]), name)
        if "group" in element:
            path = f"{node.path}.{name}"
            if path in self.types[node.owner]["elements"]:
                return Node(node.owner, path)
            return self._find_in_type(element["group"], name)
        return self._find_in_type(element.get("type"), name)

    def _find_in_type(self, owner: str | None, name: str) -> Node | None:
        while owner is not None:
            if name in self.types[owner].get("elements", {}):
                return Node(owner, name)
            owner = self.types[owner].get("base")
        return None
