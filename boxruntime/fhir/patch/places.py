"""Which places of a resource a path names.

A path of a patch is evaluated for places, not for values: each result knows where it stands, so
that it can be replaced or removed. Values are compared inside of conditions only.
Spec: http://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from boxruntime.fhir.patch import conditions
from boxruntime.fhir.patch.elements import Spelled, read_many, read_one
from boxruntime.fhir.patch.json_values import weight
from boxruntime.fhir.patch.kinds import (
    Kind,
    Member,
    alternatives,
    choice_of,
    find_element,
    kind_below,
    kind_of_type,
)
from boxruntime.fhir.patch.path_syntax import (
    Apply,
    Focus,
    Index,
    Infix,
    Literal,
    Nothing,
    Step,
    Tree,
    Whole,
)
from boxruntime.fhir.patch.refusal import malformed, too_costly

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxruntime.fhir.metadata import Metadata

Nodes: TypeAlias = "list[Node]"
MAX_STEPS = 500_000
"""Members and values that one patch may look at, move or compare: a second."""
_FHIR = Step(None, "FHIR")
_ABSTRACT = frozenset({"Resource", "DomainResource"})


class Place(msgspec.Struct, frozen=True):
    """Where an element stands: in this object, under this member, as this item of it.

    `owner` is the type that the object's elements belong to.
    """

    owner: str
    holder: dict[str, Any]
    member: Member
    index: int | None = None


class Node(msgspec.Struct, frozen=True):
    """One result of a path. Without a place it was computed, or is the resource itself."""

    value: Any
    kind: Kind
    extra: Any = None
    """`_x` of a primitive x."""
    place: Place | None = None
    is_date: bool = False
    """It is a literal date, dateTime or time."""


_COMPUTED = Kind("", {}, None, is_open=False)


class Paths:
    """Evaluates paths on one resource of a type, which may change between two calls."""

    def __init__(self, metadata: Metadata, type_name: str, resource: dict[str, Any]) -> None:
        self._metadata = metadata
        self.root = Node(resource, kind_of_type(metadata, type_name))
        self._steps_left = MAX_STEPS

    def find(self, tree: Tree) -> Nodes:
        """Return what a path names, in order. Raises OutcomeError: INVALID, TOO_LARGE."""
        return self._evaluate(tree, [self.root])

    def spend(self, steps: int) -> None:
        """Count work that grows with the resource. Raises OutcomeError TOO_LARGE."""
        self._steps_left -= steps
        if self._steps_left < 0:
            raise too_costly("The patch looks at too much.")

    def _evaluate(self, tree: Tree, focus: Nodes) -> Nodes:
        self.spend(1 + len(focus))
        match tree:
            case Step():
                if tree.source is None:
                    return self._first_step(focus, tree.name)
                return self._members(self._evaluate(tree.source, focus), tree.name)
            case Index():
                number = conditions.whole_number(self._evaluate(tree.number, focus))
                found = self._evaluate(tree.source, focus)
                return found[number : number + 1] if number >= 0 else []
            case Apply():
                source = focus if tree.source is None else self._evaluate(tree.source, focus)
                return self._apply(tree, source, focus)
            case Infix():
                return self._infix(tree, focus)
            case Literal():
                return [Node(tree.value, _COMPUTED, is_date=tree.is_date)]
            case Focus():
                return focus
            case Whole():
                return [self.root]
            case Nothing():
                return []

    # Steps

    def _first_step(self, focus: Nodes, name: str) -> Nodes:
        """Follow the first step of a path: the name of the type means the resource itself."""
        found: Nodes = []
        rest: Nodes = []
        for node in focus:
            is_resource = isinstance(node.value, dict) and "resourceType" in node.value
            if is_resource and (name == node.kind.type_name or name in _ABSTRACT):
                found.append(node)
            else:
                rest.append(node)
        return found + self._members(rest, name) if rest else found

    def _members(self, nodes: Nodes, name: str) -> Nodes:
        found: Nodes = []
        is_known = not nodes
        for node in nodes:
            members = self._named(node.kind, name)
            is_known = is_known or members is not None
            holder = node.value if isinstance(node.value, dict) else node.extra
            if isinstance(holder, dict):
                for member in members or ():
                    found += self._at(node.kind.owner, holder, member)
                self.spend(len(members or ()))
        if not is_known:
            raise malformed("The path names an element that does not exist.")
        self.spend(len(found))
        return found

    @staticmethod
    def _named(kind: Kind, name: str) -> list[Member] | None:
        """Return the members that a step may mean, None if the kind has no such element."""
        element = find_element(kind, name)
        if element is not None and element.union:
            return alternatives(element)
        if element is not None:
            return [Member(name, element)]
        choice = choice_of(kind, name)  # as JSON spells it: clients do
        if choice is not None:
            return [choice]
        return [Member(name, None)] if kind.is_open or name == "resourceType" else None

    def _at(self, owner: str, holder: dict[str, Any], member: Member) -> Nodes:
        key = member.key
        if isinstance(holder.get(key), list) or isinstance(holder.get("_" + key), list):
            return [
                self._node(spelled, Place(owner, holder, member, index))
                for index, spelled in enumerate(read_many(holder, key))
            ]
        one = read_one(holder, key)
        return [] if one is None else [self._node(one, Place(owner, holder, member))]

    def _node(self, spelled: Spelled, place: Place) -> Node:
        kind = kind_below(self._metadata, place.owner, place.member.element, spelled.value)
        return Node(spelled.value, kind, spelled.extra, place)

    # Functions and operators

    def _apply(self, tree: Apply, source: Nodes, focus: Nodes) -> Nodes:
        arguments = tree.arguments
        match tree.name, len(arguments):
            case "where", 1:
                return [node for node in source if self._holds(arguments[0], node)]
            case "select", 1:
                return [n for node in source for n in self._evaluate(arguments[0], [node])]
            case "exists", 1:
                return _truth(any(self._holds(arguments[0], node) for node in source))
            case "all", 1:
                return _truth(all(self._holds(arguments[0], node) for node in source))
            case (("ofType" | "as"), 1):
                return self._of_type(source, arguments[0])
            case "is", 1:
                return self._is(source, arguments[0])
            case "extension", 1:
                url = conditions.text(self._evaluate(arguments[0], focus))
                found = self._members(source, "extension")
                return [n for n in found if isinstance(n.value, dict) and n.value.get("url") == url]
            case (("skip" | "take"), 1):
                number = max(0, conditions.whole_number(self._evaluate(arguments[0], focus)))
                return source[number:] if tree.name == "skip" else source[:number]
            case name, 0 if name in _PARTS:
                return _PARTS[name](source)
            case name, count:
                self.spend(_weight(source))
                values = (self._evaluate(argument, focus) for argument in arguments)
                return _values(conditions.call(name, count, source, values))

    def _holds(self, condition: Tree, node: Node) -> bool:
        return conditions.truth(self._evaluate(condition, [node])) is True

    def _infix(self, tree: Infix, focus: Nodes) -> Nodes:
        left = self._evaluate(tree.left, focus)
        if tree.operator == "as":
            return self._of_type(left, tree.right)
        if tree.operator == "is":
            return self._is(left, tree.right)
        right = self._evaluate(tree.right, focus)
        self.spend(_weight([*left, *right]))
        return _values(conditions.combine(tree.operator, left, right))

    def _is(self, nodes: Nodes, specifier: Tree) -> Nodes:
        name = self._type_name(specifier)
        node = conditions.only(nodes) if nodes else None
        return [] if node is None else _truth(self._is_a(node.kind.type_name, name))

    def _of_type(self, nodes: Nodes, specifier: Tree) -> Nodes:
        """Return those nodes that are of a type; a code is no string here (FHIR R4)."""
        name = self._type_name(specifier)
        if self._metadata.types[name].kind == "primitive":
            return [node for node in nodes if node.kind.type_name == name]
        return [node for node in nodes if self._is_a(node.kind.type_name, name)]

    def _type_name(self, specifier: Tree) -> str:
        """Return the type that is meant: Quantity, FHIR.Quantity."""
        if not isinstance(specifier, Step) or specifier.source not in {None, _FHIR}:
            raise malformed("The path names no type where one belongs.")
        if specifier.name not in self._metadata.types:
            raise malformed("The path names a type that does not exist.")
        return specifier.name

    def _is_a(self, type_name: str | None, name: str) -> bool:
        while type_name is not None and type_name != name:
            definition = self._metadata.find_type(type_name)
            type_name = definition.base if definition is not None else None
        return type_name is not None


def _weight(nodes: Nodes) -> int:
    """Return how much there is to compare in some values."""
    return sum(weight(node.value) for node in nodes)


def _single(nodes: Nodes) -> Nodes:
    if len(nodes) > 1:
        raise malformed("The path calls single() on several elements.")
    return nodes


_PARTS: dict[str, Callable[[Nodes], Nodes]] = {
    "first": lambda nodes: nodes[:1],
    "last": lambda nodes: nodes[-1:],
    "tail": lambda nodes: nodes[1:],
    "single": _single,
}


def _truth(value: bool) -> Nodes:
    return [Node(value, _COMPUTED)]


def _values(value: bool | int | str | None) -> Nodes:
    return [] if value is None else [Node(value, _COMPUTED)]
