"""The Attributes that make the extensions of profiles first-class.

The extension's own definition gives their shape: of one that may repeat an array is stored, however
often a profile allows it, so that all profiles that use it agree. An extension whose definition is
unknown, or whose value has no single type, stays raw.
Source: core specification, "First-class extensions", "Attribute"; FHIR R4, Defining Extensions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.overlay import uses_of
from boxruntime.fhir.profiles.extensions import (
    Extension,
    extension_of,
    nested_slices,
    value_types,
)
from boxruntime.fhir.profiles.library import ConversionError
from boxruntime.fhir.profiles.places import EXTENSIONS, Place, children_at, is_primitive

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, ElementPath
    from boxruntime.fhir.profiles.library import Library
    from boxruntime.fhir.profiles.tree import Node

Attribute = dict[str, Any]

MODULE = "profiles"
MAX_ATTRIBUTES = 20_000
"""Of one conversion; US Core has 12. Extensions that use each other twice double at each step."""
_EVERYWHERE = frozenset({"Element", "BackboneElement", "Resource", "DomainResource", "Extension"})


class AttributePlan:
    """Gathers the Attributes of one conversion. An extension that has one already gets none."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._metadata = library.metadata
        self.attributes: dict[str, Attribute] = {}
        self._uses: dict[str, set[str]] = {}
        """Types that planned elements of a type have."""
        self._taken: dict[tuple[str, ElementPath], dict[str, str]] = {}

    def profile(self, definition: dict[str, Any]) -> None:
        """Plan the Attributes of all extensions that a profile on a resource type names."""
        owner = definition["type"]
        type_def = self._metadata.types[self._metadata.fhir_type(owner)]
        place = Place(owner, type_def.elements, owner)
        self._object(self._library.tree(definition), place, owner, ())

    def extension(self, definition: dict[str, Any]) -> None:
        """Plan the Attributes of an extension where its definition says that it is used.

        "Any element" and "any resource" are no places: there it stays raw unless a profile
        names it.
        """
        tree = self._library.tree(definition)
        found = Extension(definition["url"], (tree,))
        name = definition["url"].rstrip("/").rpartition("/")[2]
        modifier = tree.facts.get("isModifier") is True
        for context in definition.get("context") or ():
            if not isinstance(context, dict) or context.get("type") != "element":
                continue
            owner, *path = str(context.get("expression", "")).split(".")
            type_def = self._metadata.find_type(owner)
            if type_def is None or owner in _EVERYWHERE or type_def.kind in ("primitive", "shadow"):
                continue
            elements = self._elements_at(owner, tuple(path))
            if elements is not None:
                self._place(found, name, owner, tuple(path), elements, modifier=modifier)

    def _elements_at(self, owner: str, path: ElementPath) -> dict[str, Element] | None:
        """Return what stands in the object at a path; None where no Attribute can."""
        elements = self._metadata.types[owner].elements
        if owner == "Reference":
            return None
        for depth in range(len(path)):
            element = self._metadata.find_element(owner, path[: depth + 1])
            if element is None or not self._can_hold(element):
                return None
            _, elements = self._metadata.children_of(owner, element)
        return elements

    def _can_hold(self, element: Element) -> bool:
        return not (
            element.union
            or element.content_ref is not None
            or element.type in ("Reference", "Resource", "Extension")
            or is_primitive(self._metadata, element)
        )

    def _object(self, node: Node, place: Place, owner: str, path: ElementPath) -> None:
        for child, element in children_at(node, place):
            if child.name in EXTENSIONS:
                for one in child.slices.values():
                    found = extension_of(self._library, one)
                    if found is not None and one.slice and one.maximum != 0:
                        modifier = child.name == "modifierExtension"
                        self._place(
                            found, one.slice, owner, path, place.elements, modifier=modifier
                        )
                continue
            if element is None:
                continue
            below = (*path, element.name)
            for one in (child, *child.slices.values()):
                if element.union:
                    for alternative, inner in element.children.items():
                        if one.type_codes == [alternative]:
                            self._enter(one, inner, place, owner, (*below, alternative))
                else:
                    self._enter(one, element, place, owner, below)

    def _enter(
        self, node: Node, element: Element, place: Place, owner: str, path: ElementPath
    ) -> None:
        if node.children and self._can_hold(element):
            inner, elements = self._metadata.children_of(place.owner, element)
            self._object(node, Place(inner, elements, place.below(node)), owner, path)

    def _place(
        self,
        found: Extension,
        wished: str,
        owner: str,
        path: ElementPath,
        elements: dict[str, Element],
        *,
        modifier: bool,
    ) -> None:
        taken = self._taken.setdefault((owner, path), {})
        known = {element.extension_url for element in elements.values()} | set(taken.values())
        if found.url in known:
            return  # as a modifier too: one url has one element at a place
        shape = self._shape(found)
        if shape is None or self._makes_endless(owner, found):
            return
        name = _free_name(wished, {*elements, *taken})
        taken[name] = found.url
        flags = {"isModifier": True} if modifier else {}
        order = len(elements) + len(taken)
        self._add(owner, (*path, name), found, {**shape, **flags, "order": order}, ())

    def _makes_endless(self, owner: str, found: Extension) -> bool:
        """Tell whether the element would let a type contain itself; note what it uses if not.

        Converters are compiled per type and would never end; a Reference has its own.
        """
        if self._metadata.types[owner].kind == "resource":
            return False  # no type contains one that has to be looked into
        used = self._value_types(found, set())
        seen: set[str] = set()
        todo = list(used)
        while todo:
            name = todo.pop()
            if name == owner:
                return True
            type_def = self._metadata.find_type(name)
            if name in seen or type_def is None or name == "Reference":
                continue
            seen.add(name)
            todo += [*uses_of(type_def), *self._uses.get(name, ())]
        self._uses.setdefault(owner, set()).update(used)
        return False

    def _value_types(self, found: Extension, seen: set[str]) -> set[str]:
        """Return the types of all values in an extension, at any depth."""
        if len(found.views) > 1:  # it has a definition, which may lead back to itself
            if found.url in seen:
                return set()
            seen.add(found.url)
        types = set(value_types(self._library, found.views) or ())
        for one in nested_slices(found.views):
            inner = extension_of(self._library, one)
            if inner is not None:
                types |= self._value_types(inner, seen)
        return types

    def _shape(self, found: Extension) -> Attribute | None:
        """Return what the extension's definition says of its Attribute; None = it stays raw."""
        types = value_types(self._library, found.views)
        # The root of the definition tells; of a nested extension, its slice.
        maximum = found.views[0].facts.get("max")
        shape: Attribute = {"extensionUrl": found.url}
        if maximum != "1":
            shape["isCollection"] = True
        if nested_slices(found.views):
            return shape if not types else None
        if types is None or len(types) != 1 or types[0] not in self._metadata.types:
            return None
        return {**shape, "type": {"resourceType": "Entity", "id": types[0]}}

    def _add(
        self,
        owner: str,
        path: ElementPath,
        found: Extension,
        shape: Attribute,
        above: tuple[str, ...],
    ) -> None:
        id_ = ".".join((owner, *path))
        if len(self.attributes) >= MAX_ATTRIBUTES:
            raise ConversionError(found.url, f"There are more than {MAX_ATTRIBUTES} Attributes.")
        self.attributes[id_] = {
            "resourceType": "Attribute",
            "id": id_,
            "resource": {"resourceType": "Entity", "id": owner},
            "path": list(path),
            **shape,
            "module": MODULE,
        }
        if "type" in shape:
            return
        names: set[str] = {"extension"}
        urls = {found.url, *above}  # one that leads back to itself stays raw there
        for one in nested_slices(found.views):
            inner = extension_of(self._library, one)
            below = self._shape(inner) if inner is not None else None
            if inner is None or below is None or inner.url in urls or not one.slice:
                continue
            urls.add(inner.url)
            name = _free_name(one.slice, names)
            names.add(name)
            below["order"] = len(names)
            self._add(owner, (*path, name), inner, below, (*above, found.url))
        # What has no Attribute among the nested extensions stays raw, and must have room.
        self.attributes[f"{id_}.extension"] = {
            "resourceType": "Attribute",
            "id": f"{id_}.extension",
            "resource": {"resourceType": "Entity", "id": owner},
            "path": [*path, "extension"],
            "type": {"resourceType": "Entity", "id": "Extension"},
            "isCollection": True,
            "module": MODULE,
        }


def _free_name(wished: str, taken: set[str]) -> str:
    """Return a name for an element: the slice's in camel case, told apart where it is taken."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", wished) if word]
    name = "".join(
        word if number == 0 else word[:1].upper() + word[1:] for number, word in enumerate(words)
    )
    if not name or not name[0].isalpha():
        name = f"extension{name[:1].upper()}{name[1:]}"
    if name not in taken:
        return name
    name = f"{name}Extension"
    number = 2
    found = name
    while found in taken:
        found, number = f"{name}{number}", number + 1
    return found
