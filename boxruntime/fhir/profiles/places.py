"""Where a node of a profile stands among the elements of a type."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.profiles.tree import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxruntime.fhir.metadata import Element, Metadata

EXTENSIONS = ("extension", "modifierExtension")


class Place(NamedTuple):
    """The object whose members are at hand."""

    owner: str
    """The type that the elements' paths start at."""
    elements: dict[str, Element]
    text: str
    """For people: Observation.component:systolic."""

    def below(self, node: Node) -> str:
        is_slice = node.slice and node.slice != node.name
        return f"{self.text}.{node.name}" + (f":{node.slice}" if is_slice else "")


def children_at(node: Node, place: Place) -> Iterator[tuple[Node, Element | None]]:
    """Yield each child with its element, None for a name that the type does not have.

    `valueQuantity` becomes a slice of `value[x]`, which it is a short form of.
    """
    _gather_choices(node, place.elements)
    for name, child in node.children.items():
        yield child, place.elements.get(name.removesuffix("[x]"))


def _gather_choices(node: Node, elements: dict[str, Element]) -> None:
    for name in list(node.children):
        if name in elements or name.endswith("[x]"):
            continue
        choice = _choice_of(name, elements)
        if choice is None:
            continue
        alias = node.children.pop(name)
        whole = node.children.setdefault(f"{choice}[x]", Node(f"{choice}[x]"))
        alias.slice = alias.slice or name
        known = whole.slices.setdefault(name.lower(), alias)
        if known is not alias:
            known.facts.update(alias.facts)
            known.children.update(alias.children)


def _choice_of(name: str, elements: dict[str, Element]) -> str | None:
    for element in elements.values():
        if any(choice_key(element.name, alternative) == name for alternative in element.union):
            return element.name
    return None


def is_primitive(metadata: Metadata, element: Element) -> bool:
    type_def = metadata.find_type(element.type) if element.type else None
    return type_def is not None and type_def.kind == "primitive"
