"""FHIRPath Patch: Parameters whose operations name their places by FHIRPath.

Spec: https://hl7.org/fhir/R4/fhirpatch.html
Source: core specification, "Patch".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.outcome import OutcomeError
from boxruntime.fhir.patch.elements import Spelled, read_many, read_one, write_many, write_one
from boxruntime.fhir.patch.fhirpath_operations import Operation
from boxruntime.fhir.patch.given import Given, element_of
from boxruntime.fhir.patch.kinds import (
    Kind,
    Member,
    alternatives,
    choice_of,
    find_element,
    kind_below,
)
from boxruntime.fhir.patch.path_syntax import Step, Tree
from boxruntime.fhir.patch.places import Node, Paths, Place
from boxruntime.fhir.patch.refusal import located

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, Metadata


def apply_fhirpath_patch(
    document: dict[str, Any], operations: list[Operation], metadata: Metadata, type_name: str
) -> dict[str, Any]:
    """Carry out all operations on a document in FHIR format, in place, and return it.

    `type_name`: its type in the metadata. The patch stays as it is, so that it can be applied
    again. Raises OutcomeError: INVALID for a path that names no element or several, TOO_LARGE for
    paths that look at too much; what the document is then does not matter any more.
    """
    editor = _Editor(metadata, Paths(metadata, type_name, document))
    for operation in operations:
        try:
            editor.run(operation)
        except OutcomeError as error:
            raise located(error, operation.place) from None
    return document


class _Editor:
    """Carries out operations on the resource of `paths`."""

    def __init__(self, metadata: Metadata, paths: Paths) -> None:
        self._metadata = metadata
        self._paths = paths

    def run(self, operation: Operation) -> None:
        """Carry out one operation. Raises OutcomeError."""
        match operation.kind:
            case "add":
                self._add(operation)
            case "insert":
                self._insert(operation)
            case "delete":
                self._delete(operation)
            case "replace":
                self._replace(operation)
            case "move":
                self._move(operation)

    def _one(self, operation: Operation, tree: Tree) -> Node:
        return _only(operation, self._paths.find(tree))

    def _add(self, operation: Operation) -> None:
        node = self._one(operation, operation.path)
        given = self._given(operation)
        member, taken = self._member(operation, node.kind, operation.name, given)
        holder = _inside(operation, node)
        new = self._element(operation, node.kind.owner, member, given)
        if member.element is not None and member.element.array:
            self._write(holder, member.key, [*read_many(holder, member.key), new])
        elif any(read_one(holder, key) is not None for key in taken):
            raise operation.refused("The element is there already and does not repeat.")
        else:
            write_one(holder, member.key, new)

    def _insert(self, operation: Operation) -> None:
        node, member, items = self._list(operation)
        if not 0 <= operation.index <= len(items):
            raise operation.refused("The index is beyond the list.")
        new = self._element(operation, node.kind.owner, member, self._given(operation))
        items.insert(operation.index, new)
        self._write(_inside(operation, node), member.key, items)

    def _delete(self, operation: Operation) -> None:
        found = self._paths.find(operation.path)
        if not found:
            return  # what is not there is deleted already (FHIR R4)
        place = _placed(operation, _only(operation, found))
        if place.index is None:
            write_one(place.holder, place.member.key, None)
        else:
            items = read_many(place.holder, place.member.key)
            del items[place.index]
            self._write(place.holder, place.member.key, items)

    def _replace(self, operation: Operation) -> None:
        place = _placed(operation, self._one(operation, operation.path))
        given = self._given(operation)
        member = place.member
        if member.choice is not None and given.type is not None:
            member = _alternative(operation, member.choice, given.type)
        new = self._element(operation, place.owner, member, given)
        if place.index is not None:
            items = read_many(place.holder, member.key)
            items[place.index] = new
            self._write(place.holder, member.key, items)
            return
        if member.key != place.member.key:
            write_one(place.holder, place.member.key, None)
        write_one(place.holder, member.key, new)

    def _move(self, operation: Operation) -> None:
        node, member, items = self._list(operation)
        length = len(items)
        if not 0 <= operation.source < length or not 0 <= operation.destination < length:
            raise operation.refused("The source or the destination is beyond the list.")
        items.insert(operation.destination, items.pop(operation.source))
        self._write(_inside(operation, node), member.key, items)

    def _list(self, operation: Operation) -> tuple[Node, Member, list[Spelled]]:
        """Return the element that holds the list of the path, and the list."""
        path = operation.path
        if not isinstance(path, Step):
            raise operation.refused("The path of this operation ends with the name of a list.")
        node = self._one(operation, path.source) if path.source is not None else self._paths.root
        element = find_element(node.kind, path.name)
        if element is None or not element.array:
            raise operation.refused("The path names no list.")
        items = read_many(_inside(operation, node), path.name)
        if not items:
            raise operation.refused("The path names no element.")
        return node, Member(path.name, element), items

    def _member(
        self, operation: Operation, kind: Kind, name: str, given: Given
    ) -> tuple[Member, list[str]]:
        """Return the member that a name and a value mean, and those that must not be there."""
        element = find_element(kind, name)
        choice = element if element is not None and element.union else None
        if choice is None and element is None:
            spelled = choice_of(kind, name)
            choice = spelled.choice if spelled is not None else None
        if choice is not None:
            if given.type is None:
                raise operation.refused("The value of a choice needs its type.")
            member = _alternative(operation, choice, given.type)
            if name not in {choice.name, member.key}:
                raise operation.refused("The value is of another type than the name.")
            return member, [each.key for each in alternatives(choice)]
        if element is None and not kind.is_open:
            raise operation.refused("There is no element of that name.")
        return Member(name, element), [name]

    def _write(self, holder: dict[str, Any], key: str, items: list[Spelled]) -> None:
        self._paths.spend(len(items))
        write_many(holder, key, items)

    def _element(self, operation: Operation, owner: str, member: Member, given: Given) -> Spelled:
        """Return the given value as the element that it will be."""
        below = kind_below(self._metadata, owner, member.element, None)
        return element_of(self._metadata, below, given, operation.refused)

    @staticmethod
    def _given(operation: Operation) -> Given:
        if operation.value is None:
            raise AssertionError("parsing sees to the value")
        return operation.value


def _only(operation: Operation, found: list[Node]) -> Node:
    if not found:
        raise operation.refused("The path names no element.")
    if len(found) > 1:
        raise operation.refused("The path names several elements.")
    return found[0]


def _alternative(operation: Operation, choice: Element, type_name: str) -> Member:
    for name, member in zip(choice.union, alternatives(choice), strict=True):
        if name == type_name:
            return member
    raise operation.refused("The element cannot have a value of that type.")


def _placed(operation: Operation, node: Node) -> Place:
    if node.place is None:
        raise operation.refused("The path names no element inside the resource.")
    return node.place


def _inside(operation: Operation, node: Node) -> dict[str, Any]:
    """Return the object in JSON that holds the parts of an element."""
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.extra, dict):
        return node.extra
    place = _placed(operation, node)
    # A primitive's id and extensions; it had none.
    holder: dict[str, Any] = {}
    spelled = Spelled(node.value, holder)
    if place.index is None:
        write_one(place.holder, place.member.key, spelled)
    else:
        items = read_many(place.holder, place.member.key)
        items[place.index] = spelled
        write_many(place.holder, place.member.key, items)
    return holder
