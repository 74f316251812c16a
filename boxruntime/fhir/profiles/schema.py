"""A profile as JSON Schema over the Aidbox format: only what it demands beyond its base type.

Source: FHIR R4, ElementDefinition; core specification, "AidboxProfile", "Aidbox and FHIR format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.conversion import Conversion
from boxruntime.fhir.inward import convert_node
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.profiles.checking import DRAFT, MESSAGE
from boxruntime.fhir.profiles.extensions import extension_rules
from boxruntime.fhir.profiles.library import ConversionError
from boxruntime.fhir.profiles.parts import (
    CODED,
    MAX_SIZE,
    NODE,
    Members,
    Schema,
    all_of,
    like,
    member_of,
    same,
)
from boxruntime.fhir.profiles.places import EXTENSIONS, Place, children_at, is_primitive
from boxruntime.fhir.profiles.slices import array_rules, single_rules
from boxruntime.fhir.profiles.type_rules import type_rules
from boxruntime.fhir.references import reference_from_fhir
from boxruntime.fhir.to_aidbox import from_fhir_node

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element
    from boxruntime.fhir.profiles.library import Library
    from boxruntime.fhir.profiles.tree import Node
    from boxruntime.fhir.profiles.value_sets import ValueSets


class Note(NamedTuple):
    """Something in a profile that is not enforced, and where."""

    place: str
    message: str


class SchemaMaker:
    """Makes the schemas of the profiles of one conversion; gathers notes on the way."""

    def __init__(self, library: Library, value_sets: ValueSets) -> None:
        self.library = library
        self.metadata = library.metadata
        self.value_sets = value_sets
        self.notes: dict[Note, None] = {}
        self._left = MAX_SIZE
        self._url = ""
        self.entered: list[str] = []
        """Profiles and extensions being looked into: none is entered from inside itself."""

    def profile(self, definition: dict[str, Any]) -> Schema:
        """Return the schema of a profile on a resource type. Raises ConversionError."""
        self._left, self._url = MAX_SIZE, definition["url"]
        tree = self.library.tree(definition)
        owner = self.metadata.fhir_type(definition["type"])
        place = Place(owner, self.metadata.types[owner].elements, definition["type"])
        return {"$schema": DRAFT, **self.object(tree, place)}

    def spend(self, size: int) -> None:
        """Raise ConversionError once a profile has become too large.

        Definitions that use each other twice would double at each step.
        """
        self._left -= size
        if self._left < 0:
            raise ConversionError(self._url, "It is too large: what it uses repeats too often.")

    def note(self, place: str, message: str) -> None:
        self.notes[Note(place, message)] = None

    def object(self, node: Node, place: Place) -> Schema:
        """Return what a node demands of the members of one object."""
        members = Members()
        for child, element in children_at(node, place):
            if child.name in EXTENSIONS:
                members.rules += extension_rules(self, child, place)
            elif place.owner == "Reference" and child.name == "reference":
                members.rules += _target_rules(child)
            elif element is None:
                self.note(place.below(child), "The type has no such element; it is passed over.")
            elif element.union:
                self._choice(members, child, element, place)
            else:
                self._member(members, child, element, place)
        return members.build()

    def _member(self, members: Members, node: Node, element: Element, place: Place) -> None:
        if node.maximum == 0:
            members.forbid(element.name)
            return
        # A differential may leave it to the reader that a required slice makes the element so.
        sliced = any(one.minimum for one in node.slices.values())
        if (node.minimum or sliced) and not element.required:
            members.require(element.name)
        value = self.value(node, element, place)
        if element.array:
            rules = [_counts(node, element), {"items": value} if value else {}]
            members.add(element.name, all_of([*rules, *array_rules(self, node, element, place)]))
        else:
            members.add(element.name, all_of([value, *single_rules(self, node, element, place)]))
        self._beside(members, node, element, place)

    def _choice(self, members: Members, node: Node, element: Element, place: Place) -> None:
        if node.maximum == 0:
            members.forbid(element.name)
            return
        if node.minimum and not element.required:
            members.require(element.name)
        sliced = [(self._alternative(one, element), one) for one in node.slices.values()]
        codes = set(node.type_codes) or set(element.union)
        if node.is_closed:
            codes &= {alternative for alternative, _ in sliced if alternative}
        allowed = [alternative for alternative in element.union if alternative in codes]
        inner = Members()
        for alternative in element.union:
            if alternative not in codes:
                inner.forbid(alternative)
        for alternative in allowed:
            below = element.children[alternative]
            children = len(allowed) == 1
            inner.add(alternative, self.value(node, below, place, children=children))
            self._beside(inner, node, below, place)
        if node.children and len(allowed) > 1:
            self.note(place.below(node), "Elements below a choice of several types: passed over.")
        for found, one in sliced:
            if found is None:
                self.note(place.below(one), "Not a slice of one type; it is passed over.")
                continue
            if one.maximum == 0:
                inner.forbid(found)
                continue
            if one.minimum:
                members.require(element.name)
                inner.require(found)
            inner.add(found, self.value(one, element.children[found], place))
            self._beside(inner, one, element.children[found], place)
        members.add(element.name, inner.build())

    def _alternative(self, node: Node, element: Element) -> str | None:
        """Return the alternative of a choice that a slice of it is about."""
        codes = [code for code in node.type_codes if code in element.union]
        if len(codes) == 1:
            return codes[0]
        for alternative in element.union:
            if choice_key(element.name, alternative) in (node.slice, node.name):
                return alternative
        return None

    def value(self, node: Node, element: Element, place: Place, *, children: bool = True) -> Schema:
        """Return what a node demands of one value of a typed element or group."""
        self.spend(NODE)
        parts = [
            self._wanted(node, element),
            self._binding(node, element, place),
            _limits(node, element),
        ]
        parts += type_rules(self, node, element, place)
        if children and node.children and not is_primitive(self.metadata, element):
            owner, below = self.metadata.children_of(place.owner, element)
            parts.append(self.object(node, Place(owner, below, place.below(node))))
        return all_of(parts)

    def _wanted(self, node: Node, element: Element) -> Schema:
        """fixed[x] and pattern[x]; in a choice only those of this alternative."""
        parts = []
        for kind, make in (("fixed", same), ("pattern", like)):
            found = node.value(kind)
            if found is not None and element.type is not None:
                _, suffix, value = found
                if suffix in (element.type, element.type[:1].upper() + element.type[1:]):
                    parts.append(make(self.stored(element.type, value)))
        return all_of(parts)

    def stored(self, type_name: str, value: Any) -> Any:
        """Return a value of the profile in Aidbox format."""
        if not isinstance(value, dict):
            return value
        state = Conversion(self.metadata, type_name, Dialect.FHIR, None, {})
        if type_name == "Reference":
            return reference_from_fhir(value, (), state, None)
        return convert_node(from_fhir_node(self.metadata, type_name), value, (), state)

    def _binding(self, node: Node, element: Element, place: Place) -> Schema:
        url = node.value_set()
        if element.type not in CODED or url is None:
            return {}
        if element.codes is not None and element.value_set == url:
            return {}  # it holds always
        codes = self.value_sets.codes(url)
        if codes is None:
            self.note(place.below(node), f"The codes of {url} are not known here.")
            return {}
        self.spend(sum(map(len, codes.values())))
        return member_of(codes, element.type, url)

    def _beside(self, members: Members, node: Node, element: Element, place: Place) -> None:
        """Extensions of a primitive stand in `_name`, always raw."""
        if not is_primitive(self.metadata, element) or not set(node.children) & set(EXTENSIONS):
            return
        inner = Place("Element", {}, place.below(node))
        rules = all_of(
            rule
            for name in EXTENSIONS
            if name in node.children
            for rule in extension_rules(self, node.children[name], inner)
        )
        if not rules:
            return
        extra = f"_{element.name}"
        if element.array:
            nullable = {"if": {"type": "object"}, "then": rules}
            members.add(extra, {"items": nullable})
        else:
            members.add(extra, rules)
            if _needs_extension(node):
                members.rules.append(
                    {"required": [extra], MESSAGE: "Property extension is required"}
                )


def _needs_extension(node: Node) -> bool:
    found = node.children.get("extension")
    return bool(node.minimum and found and any(one.minimum for one in found.slices.values()))


def _counts(node: Node, element: Element) -> Schema:
    schema: Schema = {}
    if node.minimum > 1:
        schema["minItems"] = node.minimum
    if node.maximum is not None and (element.max_items is None or node.maximum < element.max_items):
        schema["maxItems"] = node.maximum
    return schema


def _limits(node: Node, element: Element) -> Schema:
    schema: Schema = {}
    if isinstance(node.facts.get("maxLength"), int):
        schema["maxLength"] = node.facts["maxLength"]
    for kind, keyword in (("minValue", "minimum"), ("maxValue", "maximum")):
        found = node.value(kind)
        if found is not None and not isinstance(found[2], str | dict | bool) and element.type:
            schema[keyword] = found[2]
    return schema


def _target_rules(node: Node) -> list[Schema]:
    """Reference.reference, which is stored in other members."""
    members = [{"required": [name]} for name in ("id", "uri", "localRef")]
    if node.maximum == 0:
        return [{"not": {"anyOf": members}, MESSAGE: "reference is not allowed here"}]
    if node.minimum:
        return [{"anyOf": members, MESSAGE: "Property reference is required"}]
    return []
