"""Extension slices: what a profile demands of an extension, first-class or raw.

Where the box has an Attribute with the extension's url the value stands in an element of its own;
but an extension that says more than the element can carry (an `id`), or that was stored before the
Attribute was there, stays raw in `extension`. So both forms are looked at, and counted together.
Source: core specification, "First-class extensions"; FHIR R4, Defining Extensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.profiles.checking import MESSAGE
from boxruntime.fhir.profiles.parts import CODED, NODE, Schema, all_of
from boxruntime.fhir.profiles.places import Place, children_at

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element
    from boxruntime.fhir.profiles.library import Library
    from boxruntime.fhir.profiles.schema import SchemaMaker
    from boxruntime.fhir.profiles.tree import Node


class Extension(NamedTuple):
    """An extension that a slice is about."""

    url: str
    views: tuple[Node, ...]
    """What describes its content: its definition, and the slice itself."""


def extension_of(library: Library, one: Node) -> Extension | None:
    """Return the extension of a slice; None if the slice does not name it."""
    for url in one.profiles():
        definition = library.find("StructureDefinition", url)
        if definition is None:
            return Extension(url, (one,))
        return Extension(url, (library.tree(definition), one))
    known = one.children.get("url")
    fixed = known.value() if known is not None else None
    return Extension(fixed[2], (one,)) if fixed and isinstance(fixed[2], str) else None


def nested_slices(views: tuple[Node, ...]) -> list[Node]:
    """Return the slices of the extensions inside an extension."""
    holders = [view.children["extension"] for view in views if "extension" in view.children]
    return [one for holder in holders for one in holder.slices.values()]


def value_types(library: Library, views: tuple[Node, ...]) -> list[str] | None:
    """Return the types that the value may have; [] = it has none; None = nothing is said."""
    found: list[str] | None = None
    place = Place("Extension", library.metadata.types["Extension"].elements, "Extension")
    for view in views:
        for child, element in children_at(view, place):
            if element is None or element.name != "value":
                continue
            codes = child.type_codes
            if not codes:
                codes = [
                    alternative
                    for one in child.slices.values()
                    for alternative in element.union
                    if alternative in one.type_codes
                    or choice_key("value", alternative) in (one.name, one.slice)
                ]
            if child.maximum == 0:
                found = []
            elif codes:
                found = [code for code in element.union if code in codes]
    return found


def extension_rules(maker: SchemaMaker, node: Node, place: Place) -> list[Schema]:
    """Return the rules on the object that holds the extensions which the node slices."""
    if node.maximum == 0:
        return [{"properties": {node.name: False}}]
    rules: list[Schema] = []
    for one in node.slices.values():
        found = extension_of(maker.library, one)
        if found is None:
            maker.note(place.below(one), "The slice names no extension; it is passed over.")
            continue
        element = first_class(place.elements, found.url, modifier=node.name == "modifierExtension")
        maker.spend(NODE)
        if len(found.views) > 1 and found.url in maker.entered:
            continue  # an extension inside itself
        maker.entered.append(found.url)
        rules += _Extension(maker, one, found, place, node.name).rules(element)
        maker.entered.pop()
    if node.is_closed:
        rules.append(_closed(maker.library, node, place))
    return rules


def _closed(library: Library, node: Node, place: Place) -> Schema:
    """Return the rule that there are no extensions but those of the slices."""
    known = [extension_of(library, one) for one in node.slices.values()]
    urls = [one.url for one in known if one is not None]
    if len(urls) < len(known):
        return {}
    allowed = {"properties": {"url": {"enum": urls}}}
    properties: Schema = {
        node.name: {"items": {"anyOf": [allowed], MESSAGE: "extension is not allowed here"}}
    }
    modifier = node.name == "modifierExtension"
    for name, element in place.elements.items():
        url = element.extension_url
        if url is not None and element.modifier == modifier and url not in urls:
            properties[name] = False
    return {"properties": properties}


def first_class(elements: dict[str, Element], url: str, *, modifier: bool) -> Element | None:
    """Return the element that an extension is stored in."""
    for element in elements.values():
        if element.extension_url == url and element.modifier == modifier:
            return element
    return None


class _Extension:
    def __init__(
        self, maker: SchemaMaker, one: Node, found: Extension, place: Place, member: str
    ) -> None:
        self._maker = maker
        self._slice = one
        self._found = found
        self._place = place
        self._member = member
        self._named = {"properties": {"url": {"const": found.url}}, "required": ["url"]}

    def rules(self, element: Element | None) -> list[Schema]:
        one = self._slice
        rules: list[Schema] = []
        if one.maximum == 0:
            forbidden = {"not": self._named, MESSAGE: f"extension {one.slice} is not allowed here"}
            rules.append({"properties": {self._member: {"items": forbidden}}})
            if element is not None:
                rules.append({"properties": {element.name: False}})
            return rules
        raw = self._raw()
        if raw:
            rules.append(
                {"properties": {self._member: {"items": {"if": self._named, "then": raw}}}}
            )
        rules += self._raw_counts() if element is None else self._counts(element)
        if element is not None:
            value = all_of(self._stored(view, element) for view in self._found.views)
            if element.array and value:
                value = {"items": value}
            if value:
                rules.append({"properties": {element.name: value}})
        return rules

    def _raw_counts(self) -> list[Schema]:
        one = self._slice
        rules: list[Schema] = []
        if one.minimum:
            rules.append(self._has_raw(one.minimum))
        if one.maximum:
            rules.append(self._at_most(one.maximum))
        return rules

    def _counts(self, element: Element) -> list[Schema]:
        """Count both forms: they hardly ever stand together, yet they may."""
        one, name = self._slice, element.name
        rules: list[Schema] = []
        if one.minimum:
            here: Schema = {"required": [name]}
            if element.array and one.minimum > 1:
                here["properties"] = {name: {"minItems": one.minimum}}
            rules.append({"anyOf": [here, self._has_raw(one.minimum)], MESSAGE: self._needed()})
        if one.maximum:
            rules.append(self._at_most(one.maximum))
            if element.array:
                rules.append({"properties": {name: {"maxItems": one.maximum}}})
            if one.maximum == 1:
                rules.append({"if": {"required": [name]}, "then": self._at_most(0)})
        return rules

    def _has_raw(self, minimum: int) -> Schema:
        needed = self._needed()
        contains = {"contains": self._named, "minContains": minimum, MESSAGE: needed}
        return {
            "required": [self._member],
            "properties": {self._member: contains},
            MESSAGE: needed,
        }

    def _at_most(self, maximum: int) -> Schema:
        counted = {
            "contains": self._named,
            "minContains": 0,
            "maxContains": maximum,
            MESSAGE: f"extension {self._slice.slice} allows at most {self._slice.maximum}",
        }
        return {"properties": {self._member: counted}}

    def _needed(self) -> str:
        count = self._slice.minimum
        more = f" at least {count} times" if count > 1 else ""
        return f"Extension {self._slice.slice} is required{more}"

    def _stored(self, view: Node, element: Element) -> Schema:
        """Return what one view demands of the value in its first-class form."""
        text = self._place.below(self._slice)
        if element.type is None:
            owner, children = self._maker.metadata.children_of(self._place.owner, element)
            inner = Place(owner, children, text)
            nested = view.children.get("extension")
            return all_of(extension_rules(self._maker, nested, inner)) if nested else {}
        place = Place("Extension", self._maker.metadata.types["Extension"].elements, text)
        parts = []
        for child, found in children_at(view, place):
            if found is not None and found.name == "value":
                parts += [
                    self._maker.value(one, element, place)
                    for one in (child, *child.slices.values())
                    if one is child or element.type in (one.type_codes or [element.type])
                ]
        return all_of(parts)

    def _raw(self) -> Schema:
        """Return what is demanded of the extension as it is received, its own Attribute apart."""
        parts: list[Schema] = []
        types = value_types(self._maker.library, self._found.views)
        nested = nested_slices(self._found.views)
        if types is not None:
            parts.append(_value_keys(types))
        if types:
            bound = [self._raw_value(view, name) for view in self._found.views for name in types]
            parts += [schema for schema in bound if schema]
        if nested:
            inner = Place("Extension", {}, self._place.below(self._slice))
            for view in self._found.views:
                if "extension" in view.children:
                    parts += extension_rules(self._maker, view.children["extension"], inner)
        return all_of(parts)

    def _raw_value(self, view: Node, type_name: str) -> Schema:
        """Return what binds the raw value; of complex types only coded ones are looked into."""
        elements = self._maker.metadata.types["Extension"].elements
        place = Place("Extension", elements, self._place.below(self._slice))
        parts: list[Schema] = []
        for child, found in children_at(view, place):
            if found is None or found.name != "value" or type_name not in found.children:
                continue
            below = found.children[type_name]
            type_def = self._maker.metadata.find_type(type_name)
            if type_name not in CODED and (type_def is None or type_def.kind != "primitive"):
                continue
            parts += [
                self._maker.value(one, below, place)
                for one in (child, *child.slices.values())
                if one is child or type_name in (one.type_codes or [type_name])
            ]
        schema = all_of(parts)
        if not schema:
            return {}
        nested = {"properties": {type_name: schema}}
        return {"properties": {choice_key("value", type_name): schema, "value": nested}}


def _value_keys(types: list[str]) -> Schema:
    """Allow only the value members of these types, in FHIR's form or as root accepts it."""
    keys = [choice_key("value", name) for name in types]
    allowed = "|".join(["value", *keys]) if keys else "(?!)"
    schema: dict[str, Any] = {
        "pattern": f"^(?:(?!_?value).*|_?(?:{allowed}))$",
        MESSAGE: f"expected {' or '.join(keys)}" if keys else "a value is not allowed here",
    }
    return {"propertyNames": schema}
