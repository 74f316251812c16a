"""What the metadata says of the objects inside a resource in FHIR format.

The metadata describes Aidbox's form; what differs here are the choices (`value` and its type are
one member, valueQuantity), first-class extensions (they stand in `extension`), and References.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.metadata import SHADOW

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, Metadata


class Kind(NamedTuple):
    """What stands at one place: the type, and the elements below it by their names.

    `owner` is the type that the elements' paths start at. `is_open`: others may be there too.
    """

    owner: str
    elements: dict[str, Element]
    type_name: str | None
    is_open: bool


class Member(NamedTuple):
    """One member of an object: its key in JSON, the element, and the choice that it is one of."""

    key: str
    element: Element | None
    choice: Element | None = None


def kind_of_type(metadata: Metadata, name: str) -> Kind:
    """Return the kind of a type; one that nobody defined is open."""
    definition = metadata.find_type(name)
    if definition is None:
        return Kind("", {}, None, is_open=True)
    elements = definition.elements
    if definition.kind == "primitive":
        element = metadata.find_type("Element")  # its id and extensions
        elements = element.elements if element is not None else {}
    return Kind(name, elements, name.removeprefix(SHADOW), definition.is_open)


def kind_below(metadata: Metadata, owner: str, element: Element | None, value: Any) -> Kind:
    """Return the kind of what stands at an element; `value` tells the type of an inner resource."""
    if element is None:
        return Kind("", {}, None, is_open=True)
    if element.type == "Resource":
        name = value.get("resourceType") if isinstance(value, dict) else None
        return kind_of_type(metadata, metadata.fhir_type(name) if isinstance(name, str) else "")
    if element.type is not None:
        kind = kind_of_type(metadata, element.type)
        if not element.children:
            return kind
        owner, elements = metadata.children_of(owner, element)
        return kind._replace(owner=owner, elements=elements)
    owner, elements = metadata.children_of(owner, element)
    return Kind(owner, elements, "BackboneElement", element.is_open)


def find_element(kind: Kind, name: str) -> Element | None:
    """Return the element of that name if FHIR's form has it."""
    element = kind.elements.get(name)
    return None if element is not None and element.extension_url is not None else element


def alternatives(choice: Element) -> list[Member]:
    """Return the members that a choice may be: valueQuantity, valueString, ..."""
    return [
        Member(choice_key(choice.name, name), choice.children.get(name), choice)
        for name in choice.union
    ]


def choice_of(kind: Kind, key: str) -> Member | None:
    """Return the member that is one alternative of a choice: "valueQuantity"."""
    for element in kind.elements.values():
        if element.union and key.startswith(element.name):
            for member in alternatives(element):
                if member.key == key:
                    return member
    return None
