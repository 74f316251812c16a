"""Holds a document in FHIR format to the FHIR JSON rules, at the place where each thing stands.

Shape, empties, `_x`, primitives and extensions are judged on the document as it was sent. Paths
of these issues have FHIR members (`valueQuantity`), for they are read at /fhir only.
Source: core specification, "FHIR JSON rules at /fhir"; FHIR R4, JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.fhir_members import Kind, Member, Table, root_member, table_of
from boxruntime.fhir.metadata import SHADOW
from boxruntime.fhir.outcome import Issue, Path
from boxruntime.fhir.release import COMMENTS, shadow_members

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Metadata

EMPTY = "expected a value, not an empty one"
_NEITHER = "expected a value or an extension"
_EXTRA = "extra property"
_ONE_CONTENT = "expected exactly one of value and extension"
_IGNORED = frozenset({("meta", "versionId"), ("meta", "lastUpdated")})
"""What a write takes from no client. Source: core specification, "Meta and primitive extensions"."""
_EXTENSION_KEY = ("Extension", ())


class Scope(NamedTuple):
    """The resource that something stands in, and the one that holds that as `contained`."""

    type_name: str
    resource: dict[str, Any]
    path: Path
    root: dict[str, Any]


class Visit(NamedTuple):
    """One value of a document with its place: what the checks of `$validate` go over.

    A primitive that has an extension in place of a value is None.
    """

    member: Member
    value: Any
    path: Path
    scope: Scope


def check_shape(metadata: Metadata, type_name: str, document: dict[str, Any]) -> list[Issue]:
    """Return what breaks the FHIR JSON rules in a document that is stripped of what is empty.

    150 us for a 2 kB Patient: writes call it only when something is known to be wrong, or rare.
    """
    return _Walk(metadata, type_name, strict=False).run(document)[0]


def examine(
    metadata: Metadata, type_name: str, document: dict[str, Any]
) -> tuple[list[Issue], list[Visit]]:
    """Return what breaks the rules in a document as sent, empties included, and all it holds."""
    return _Walk(metadata, type_name, strict=True).run(document)


class _Walk:
    def __init__(self, metadata: Metadata, type_name: str, *, strict: bool) -> None:
        self._metadata = metadata
        self._type_name = type_name
        self._strict = strict
        self._beside_members = shadow_members(metadata)
        self._issues: list[Issue] = []
        self._visits: list[Visit] = []

    def run(self, document: dict[str, Any]) -> tuple[list[Issue], list[Visit]]:
        name = self._type_name
        member = root_member(self._metadata, name.removeprefix(SHADOW))
        scope = Scope(name.removeprefix(SHADOW), document, (), document)
        self._visits.append(Visit(member, document, (), scope))
        self._object(table_of(self._metadata, (name, ())), document, (), scope)
        return self._issues, self._visits

    def _report(self, path: Path, message: str) -> None:
        name = self._type_name.removeprefix(SHADOW)
        self._issues.append(Issue(message=message, path=path, type_name=name))

    def _object(self, table: Table, source: dict[str, Any], path: Path, scope: Scope) -> None:
        members = table.members
        for key, value in source.items():
            member = members.get(key)
            if member is not None:
                self._member(member, key, value, path, source, scope)
            elif key.startswith("_"):
                self._underscored(table, source, key, value, path, scope)
            elif not (table.is_open or (table.is_resource and key == "resourceType")):
                self._report((*path, key), _EXTRA)
        for name, keys in table.required:
            if not any(key in source for key in keys):
                self._report(path, f"Property {name} is required")
        for name, alternatives in table.choices:
            present = [key for key in source if key.removeprefix("_") in alternatives]
            if len(present) > 1 and len({key.removeprefix("_") for key in present}) > 1:
                self._report((*path, name), "expected exactly one type of value")

    def _member(
        self, member: Member, key: str, value: Any, path: Path, source: dict[str, Any], scope: Scope
    ) -> None:
        place: Path = (*path, key)
        if self._is_empty(value):
            self._report(place, EMPTY)
        elif member.kind is Kind.FREE:
            return
        elif not member.array:
            self._value(member, value, place, scope)
        elif type(value) is not list:
            self._report(place, "expected array")
        else:
            if member.max_items is not None and len(value) > member.max_items:
                self._report(place, "too many items")
            extras = source.get(f"_{key}") if member.kind is Kind.PRIMITIVE else None
            for index, item in enumerate(value):
                if item is None and type(extras) is list:
                    continue  # padding, judged with `_x`
                if self._is_empty(item):
                    self._report((*place, index), EMPTY)
                else:
                    self._value(member, item, (*place, index), scope)

    def _is_empty(self, value: Any) -> bool:
        return self._strict and (
            value is None or (isinstance(value, (str, dict, list)) and not value)
        )

    def _value(self, member: Member, value: Any, path: Path, scope: Scope) -> None:
        if member.check is not None:
            if path in _IGNORED and not self._strict:
                return
            if self._strict or member.element.type != "id":
                message = member.check(value)
            else:
                message = None if type(value) is str else "expected type of string"
            if message is not None:
                self._report(path, message)
            elif self._strict:
                self._visits.append(Visit(member, value, path, scope))
            return
        if type(value) is not dict:
            self._report(path, "expected type of object")
            return
        if member.kind is Kind.RESOURCE:
            self._resource(member, value, path, scope)
            return
        if self._strict:
            self._visits.append(Visit(member, value, path, scope))
        if member.kind is Kind.EXTENSION:
            self._one_content(value, path)
        self._object(table_of(self._metadata, member.below), value, path, scope)

    def _resource(self, member: Member, value: dict[str, Any], path: Path, scope: Scope) -> None:
        type_name = value.get("resourceType")
        if type_name is None:
            self._report(path, "Property resourceType is required")
            return
        if not isinstance(type_name, str) or type_name not in self._metadata.resource_types:
            self._report((*path, "resourceType"), "unknown resource type")
            return
        is_contained = member.element.name == "contained"
        inner = Scope(type_name, value, path, scope.root if is_contained else value)
        if self._strict:
            self._visits.append(Visit(member, value, path, inner))
        below = self._metadata.fhir_type(type_name), ()
        self._object(table_of(self._metadata, below), value, path, inner)

    def _one_content(self, extension: dict[str, Any], path: Path) -> None:
        """Exactly one of value[x] and nested extensions; `valueString` and `_valueString` are one."""
        values = {key.removeprefix("_") for key in extension if key.startswith(("value", "_value"))}
        if len(values) + ("extension" in extension) != 1:
            self._report(path, _ONE_CONTENT)

    def _underscored(
        self, table: Table, source: dict[str, Any], key: str, value: Any, path: Path, scope: Scope
    ) -> None:
        bare = key[1:]
        member = table.members.get(bare)
        place: Path = (*path, key)
        if member is None or not member.has_shadow:
            if member is not None or not table.is_open:
                self._report(place, _EXTRA)
            return
        if self._is_empty(value):
            self._report(place, EMPTY)
            return
        plain = source.get(bare)
        if not member.array:
            self._beside(value, place, scope, has_value=plain is not None)
            if plain is None and self._strict:
                self._visits.append(Visit(member, None, place, scope))
            return
        if type(value) is not list:
            self._report(place, "expected array")
            return
        values = plain if isinstance(plain, list) else []
        for index in range(max(len(value), len(values))):
            extra = value[index] if index < len(value) else None
            has_value = index < len(values) and values[index] is not None
            if extra is not None:
                self._beside(extra, (*place, index), scope, has_value=has_value)
                if not has_value and self._strict:
                    self._visits.append(Visit(member, None, (*place, index), scope))
            elif index < len(values) and not has_value:
                self._report((*path, bare, index), _NEITHER)

    def _beside(self, extra: Any, path: Path, scope: Scope, *, has_value: bool) -> None:
        """Check the object that stands beside a primitive value, or in place of one."""
        if type(extra) is not dict:
            self._report(path, "expected type of object")
            return
        if self._is_empty(extra):
            self._report(path, EMPTY)
            return
        if not extra.keys() <= self._beside_members:
            self._report(path, _EXTRA)
        if "id" in extra and not (isinstance(extra["id"], str) and extra["id"]):
            self._report((*path, "id"), "expected type of string")
        if "extension" in extra:
            member = table_of(self._metadata, _EXTENSION_KEY).members["extension"]
            self._member(member, "extension", extra["extension"], path, extra, scope)
        elif not has_value and COMMENTS not in extra:
            self._report(path, _NEITHER)
