"""FHIR JSON rules that only the FHIR form of a document shows: `_x`, null padding, extensions.

Everything else about types, cardinalities and primitives is the schema's, after conversion.
Paths of these issues have FHIR members (`valueQuantity`), for they are read at /fhir only.
Source: core specification, "FHIR JSON rules at /fhir"; FHIR R4, JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.extension_schema import extension_issues
from boxruntime.fhir.metadata import SHADOW
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, ElementPath, Metadata

_PRIMITIVE, _OBJECT, _EXTENSION, _RESOURCE = range(4)
_EXTRA = frozenset({"id", "extension"})


class _Member(NamedTuple):
    kind: int
    array: bool
    below: tuple[str, ElementPath]
    """Type and path of the table that describes what stands inside."""


_Table = dict[str, _Member]


def check_shape(
    metadata: Metadata, type_name: str, document: dict[str, Any], *, empties: bool = False
) -> list[Issue]:
    """Return what breaks the FHIR JSON rules; `empties` adds null, "", {} and [] ($validate).

    100 us for a 3 kB Patient: on writes it is called only for a document that has an `_x`, or an
    extension that is not right.
    """
    check = _Check(metadata, type_name)
    check.object(check.table((type_name, ())), document, ())
    if empties:
        check.empties(document, (), None)
    return check.issues


class _Check:
    def __init__(self, metadata: Metadata, type_name: str) -> None:
        self._metadata = metadata
        self._type_name = type_name.removeprefix(SHADOW)
        self._tables: dict[tuple[str, ElementPath], _Table] = metadata.artefacts("shape")  # type: ignore[assignment]
        self.issues: list[Issue] = []

    def table(self, key: tuple[str, ElementPath]) -> _Table:
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = _make_table(self._metadata, *key)
        return table

    def object(self, table: _Table, source: dict[str, Any], path: Path) -> None:
        for key, value in source.items():
            member = table.get(key)
            if member is None:
                if key.startswith("_"):
                    self._underscored(table, source, key, value, path)
                elif key.startswith("fhir_"):
                    self._report((*path, key), "extra property")
                continue
            kind = member.kind
            if kind == _PRIMITIVE:
                continue
            if kind == _EXTENSION:
                self._extensions(value, (*path, key))
            elif type(value) is dict:
                if not member.array:
                    self._inner(member, value, (*path, key))
            elif type(value) is list and member.array:
                for index, item in enumerate(value):
                    if type(item) is dict:
                        self._inner(member, item, (*path, key, index))

    def _inner(self, member: _Member, value: dict[str, Any], path: Path) -> None:
        below = member.below
        if member.kind == _RESOURCE:
            type_name = value.get("resourceType")
            if not isinstance(type_name, str) or type_name not in self._metadata.resource_types:
                return
            below = self._metadata.fhir_type(type_name), ()
        self.object(self.table(below), value, path)

    def _extensions(self, value: Any, path: Path) -> None:
        if type(value) is not list:
            return  # the schema wants an array
        for index, item in enumerate(value):
            for issue in extension_issues(self._metadata, item):
                self._report((*path, index, *issue.path), issue.message)

    def _underscored(
        self, table: _Table, source: dict[str, Any], key: str, value: Any, path: Path
    ) -> None:
        bare = key[1:]
        member = table.get(bare)
        if member is None or member.kind != _PRIMITIVE:
            self._report((*path, key), "extra property")
            return
        place: Path = (*path, key)
        plain = source.get(bare)
        if not member.array:
            self._extra(value, place, has_value=plain is not None)
            return
        if type(value) is not list:
            self._report(place, "expected array")
            return
        values = plain if isinstance(plain, list) else []
        for index in range(max(len(value), len(values))):
            extra = value[index] if index < len(value) else None
            has_value = index < len(values) and values[index] is not None
            if extra is not None:
                self._extra(extra, (*place, index), has_value=has_value)
            elif index < len(values) and not has_value:
                self._report((*path, bare, index), "expected a value or an extension")

    def _extra(self, extra: Any, path: Path, *, has_value: bool) -> None:
        """Check the object that stands beside a primitive value, or in place of one."""
        if type(extra) is not dict:
            self._report(path, "expected type of object")
            return
        for key in extra:
            if key not in _EXTRA:
                self._report((*path, key), "extra property")
        if "id" in extra and not (isinstance(extra["id"], str) and extra["id"]):
            self._report((*path, "id"), "expected type of string")
        extensions = extra.get("extension")
        if extensions is not None:
            if type(extensions) is list:
                self._extensions(extensions, (*path, "extension"))
            else:
                self._report((*path, "extension"), "expected array")
        elif not has_value:
            self._report(path, "expected a value or an extension")

    def empties(self, value: Any, path: Path, padding: Any) -> None:
        """Report null, "", {} and []; null is padding where `padding`, the other array, allows."""
        if value is None or (isinstance(value, (str, dict, list)) and not value):
            self._report(path, "expected a value, not an empty one")
        elif isinstance(value, dict):
            for key, item in value.items():
                other = value.get(key[1:] if key.startswith("_") else "_" + key)
                pads = isinstance(item, list) and (
                    isinstance(other, list) or (key.startswith("_") and other is None)
                )
                self.empties(item, (*path, key), item if pads else None)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if item is not None or padding is None:
                    self.empties(item, (*path, index), None)

    def _report(self, path: Path, message: str) -> None:
        self.issues.append(Issue(message=message, path=path, type_name=self._type_name))


def _make_table(metadata: Metadata, owner: str, path: ElementPath) -> _Table:
    """Return the members a FHIR object of this kind may have, by their FHIR names."""
    if owner == "Reference":
        primitive = _Member(_PRIMITIVE, array=False, below=("", ()))
        table = dict.fromkeys(("reference", "type", "display"), primitive)
        table["extension"] = _Member(_EXTENSION, array=True, below=("", ()))
        table["identifier"] = _Member(_OBJECT, array=False, below=("Identifier", ()))
        return table
    type_def = metadata.find_type(owner)
    if path:
        element = metadata.find_element(owner, path)
        children = metadata.children_of(owner, element)[1] if element is not None else {}
    else:
        children = type_def.elements if type_def is not None else {}
    table = {}
    for name, element in children.items():
        if element.union:
            for alternative, below in element.children.items():
                key = choice_key(name, alternative)
                if key not in children:
                    table[key] = _member(metadata, owner, below)
        elif element.extension_url is None:
            table[name] = _member(metadata, owner, element)
    return table


def _member(metadata: Metadata, owner: str, element: Element) -> _Member:
    if element.type is None:
        return _Member(_OBJECT, element.array, (owner, element.content_ref or element.path))
    if element.type == "Extension":
        return _Member(_EXTENSION, element.array, ("", ()))
    if element.type == "Resource":
        return _Member(_RESOURCE, element.array, ("", ()))
    type_def = metadata.find_type(element.type)
    if type_def is not None and type_def.kind == "primitive":
        return _Member(_PRIMITIVE, element.array, ("", ()))
    below = (owner, element.path) if element.children else (element.type, ())
    return _Member(_OBJECT, element.array, below)
