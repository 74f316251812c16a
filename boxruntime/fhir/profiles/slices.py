"""Slicing: which items belong to a slice, and what is demanded of them and of their number.

Source: FHIR R4, Profiling (Slicing, Discriminator).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.profiles.checking import MESSAGE
from boxruntime.fhir.profiles.parts import CODED, Schema, all_of, like, member_of, present
from boxruntime.fhir.profiles.places import Place, children_at
from boxruntime.fhir.profiles.type_rules import targets

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element
    from boxruntime.fhir.profiles.schema import SchemaMaker
    from boxruntime.fhir.profiles.tree import Node

_STEP = re.compile(r"[A-Za-z]\w*|\$this|resolve\(\)|ofType\([A-Za-z]\w*\)")
_BY_TYPE = ("type", "profile")


class InexpressibleError(Exception):
    """A discriminator that does not tell the items of a slice here."""


def array_rules(maker: SchemaMaker, node: Node, element: Element, place: Place) -> list[Schema]:
    """Return what the slices of a repeating element demand of the array."""
    rules: list[Schema] = []
    found = _matched(maker, node, element, place)
    for one, match in found:
        if match is None:
            continue
        if one.maximum == 0:
            message = f"slice {one.slice} is not allowed here"
            rules.append({"items": {"not": match, MESSAGE: message}})
            continue
        rules += slice_counts(one, match)
        body = maker.value(one, element, place)
        if body and body != match:
            rules.append({"items": {"if": match, "then": body}})
    closed = _closed(node, found)
    return [*rules, {"items": closed}] if closed else rules


def single_rules(maker: SchemaMaker, node: Node, element: Element, place: Place) -> list[Schema]:
    """Return what the slices of an element that does not repeat demand of its value."""
    rules: list[Schema] = []
    found = _matched(maker, node, element, place)
    for one, match in found:
        if match is None:
            continue
        if one.maximum == 0:
            rules.append({"not": match, MESSAGE: f"slice {one.slice} is not allowed here"})
            continue
        if one.minimum:
            rules.append({"anyOf": [match], MESSAGE: f"slice {one.slice} needs at least 1"})
        body = maker.value(one, element, place)
        if body and body != match:
            rules.append({"if": match, "then": body})
    closed = _closed(node, found)
    return [*rules, closed] if closed else rules


def _closed(node: Node, found: list[tuple[Node, Schema | None]]) -> Schema:
    """Return the rule that an item lies in one of the slices, where nothing else may be there."""
    matches = [match for _, match in found if match is not None]
    if not matches or len(matches) < len(found) or not node.is_closed:
        return {}
    names = ", ".join(str(one.slice) for one, _ in found)
    return {"anyOf": matches, MESSAGE: f"expected one of the slices {names}"}


def slice_counts(one: Node, match: Schema) -> list[Schema]:
    """Return the rules on how many items of an array match a slice."""
    rules: list[Schema] = []
    if one.minimum:
        message = f"slice {one.slice} needs at least {one.minimum}"
        rules.append({"contains": match, "minContains": one.minimum, MESSAGE: message})
    if one.maximum:
        message = f"slice {one.slice} allows at most {one.maximum}"
        rules.append(
            {"contains": match, "minContains": 0, "maxContains": one.maximum, MESSAGE: message}
        )
    return rules


def _matched(
    maker: SchemaMaker, node: Node, element: Element, place: Place
) -> list[tuple[Node, Schema | None]]:
    """Return each slice with the schema of its items; None, and a note, if nothing tells them."""
    if not node.slices:
        return []
    discriminators = node.facts.get("slicing", {}).get("discriminator") or []
    matcher = _Matcher(maker)
    found: list[tuple[Node, Schema | None]] = []
    for one in node.slices.values():
        try:
            match = matcher.match(one, element, place, discriminators)
        except InexpressibleError:
            maker.note(place.below(one), "Nothing here tells the items of this slice.")
            match = None
        found.append((one, match))
    return found


class _Matcher:
    def __init__(self, maker: SchemaMaker) -> None:
        self._maker = maker

    def match(
        self, one: Node, element: Element, place: Place, discriminators: list[dict[str, Any]]
    ) -> Schema:
        if not discriminators:
            found = self._content(one, element, place)
            if found is None:
                raise InexpressibleError
            return found
        return all_of(self._by(one, element, place, each) for each in discriminators)

    def _by(
        self, one: Node, element: Element, place: Place, discriminator: dict[str, Any]
    ) -> Schema:
        kind, path = discriminator.get("type"), discriminator.get("path")
        steps = _steps(path) if isinstance(path, str) else None
        if steps is None or kind not in ("value", "pattern", "exists", *_BY_TYPE):
            raise InexpressibleError
        found = self._at(one, element, place, steps, str(kind))
        if found is None:
            raise InexpressibleError
        return found

    def _at(
        self, node: Node, element: Element, place: Place, steps: list[str], kind: str
    ) -> Schema | None:
        """Return the schema of values that are, at the path, what the node says; None = nothing."""
        self._maker.spend(1)
        if not steps:
            if kind in _BY_TYPE:
                return self._of_type(node, element, place)
            return self._content(node, element, place)
        first, *rest = steps
        if first == "resolve()":
            types = targets(self._maker, node, place)
            if rest or kind not in _BY_TYPE or not types:
                return None
            return present("resourceType", {"enum": sorted(types)}, array=False)
        if kind != "exists":
            told = self._told_above(node, element, steps)
            if told is not None:
                return told
        owner, elements = self._maker.metadata.children_of(place.owner, element)
        below = Place(owner, elements, place.below(node))
        for holder in (node, *node.slices.values()):
            for child, found in children_at(holder, below):
                if found is not None and found.name == first:
                    inner = self._member(child, found, below, rest, kind)
                    if inner is not None:
                        return inner
        return None

    def _member(
        self, child: Node, element: Element, place: Place, rest: list[str], kind: str
    ) -> Schema | None:
        name = element.name
        if not rest and kind == "exists":
            if child.maximum == 0:
                return {"not": {"required": [name]}}
            return {"required": [name]} if child.minimum else None
        if element.union:
            return self._choice(child, element, place, rest, kind)
        if kind == "exists":
            inner = self._at(child, element, place, rest, kind)
            return None if inner is None else present(name, inner, array=element.array)
        # A sliced member tells by one of its slices, if not by itself.
        for one in (child, *child.slices.values()):
            inner = self._at(one, element, place, rest, kind)
            if inner is not None:
                return present(name, inner, array=element.array)
        return None

    def _choice(
        self, child: Node, element: Element, place: Place, rest: list[str], kind: str
    ) -> Schema | None:
        """A choice on the way: `value`, `value.ofType(Quantity).code`."""
        alternatives = [code for code in child.type_codes if code in element.union]
        for one in child.slices.values():
            alternatives += [code for code in one.type_codes if code in element.union]
        if rest and rest[0].startswith("ofType("):
            alternatives = [rest[0][len("ofType(") : -1]]
            rest = rest[1:]
        if kind in _BY_TYPE and not rest:
            if not alternatives:
                return None
            inner: Schema = {
                "anyOf": [{"required": [name]} for name in dict.fromkeys(alternatives)]
            }
            return present(element.name, inner, array=False)
        for one in (child, *child.slices.values()):
            for alternative in alternatives or element.union:
                below = element.children.get(alternative)
                if below is None:
                    continue
                found = self._at(one, below, place, rest, kind)
                if found is not None:
                    inner = present(alternative, found, array=False)
                    return present(element.name, inner, array=False)
        return None

    def _told_above(self, node: Node, element: Element, steps: list[str]) -> Schema | None:
        """Use fixed[x] or pattern[x] of a node above the path: only what lies on the path."""
        told = node.value()
        if told is None or element.type is None:
            return None
        on_path = _restricted(self._maker.stored(element.type, told[2]), steps)
        return None if on_path is None else like(on_path)

    def _of_type(self, node: Node, element: Element, place: Place) -> Schema | None:
        if element.type == "Reference":
            types = targets(self._maker, node, place)
        elif element.type == "Resource":
            types = set(node.type_codes) & self._maker.metadata.resource_types
            named = [self._maker.library.type_of(url) for url in node.profiles()]
            types |= {name for name in named if name is not None}
        else:
            return None
        if not types:
            return None
        return present("resourceType", {"enum": sorted(types)}, array=False)

    def _content(self, node: Node, element: Element, place: Place) -> Schema | None:
        """Return what a node says of its value: fixed, pattern, codes, or the same of its parts."""
        told = node.value()
        if told is not None and element.type is not None:
            return like(self._maker.stored(element.type, told[2]))
        coded = self._codes(node, element)
        if coded is not None:
            return coded
        owner, elements = self._maker.metadata.children_of(place.owner, element)
        below = Place(owner, elements, place.below(node))
        parts = []
        for child, found in children_at(node, below):
            if found is not None and found.extension_url is None and found.type != "Extension":
                inner = self._member(child, found, below, [], "value")
                if inner is not None:
                    parts.append(inner)
        return all_of(parts) or None

    def _codes(self, node: Node, element: Element) -> Schema | None:
        url = node.value_set()
        codes = self._maker.value_sets.codes(url) if url is not None else None
        if codes is None or url is None or element.type not in CODED:
            return None
        self._maker.spend(sum(map(len, codes.values())))
        return member_of(codes, element.type, url)


def _steps(path: str) -> list[str] | None:
    """Parse a discriminator's path; None for one that is not understood."""
    steps = path.split(".")
    if not all(_STEP.fullmatch(step) for step in steps):
        return None
    return [step for step in steps if step != "$this"]


def _restricted(value: Any, steps: list[str]) -> Any:
    """Return the part of a pattern that lies on a path; None if there is none."""
    if not steps:
        return value
    if isinstance(value, list):
        items = [item for item in (_restricted(each, steps) for each in value) if item is not None]
        return items or None
    if not isinstance(value, dict) or steps[0] not in value:
        return None
    inner = _restricted(value[steps[0]], steps[1:])
    return None if inner is None else {steps[0]: inner}
