"""What a JSON object of the FHIR form may hold: tables of members, made from the metadata.

The metadata describes the Aidbox form; here a choice becomes one member per alternative
(`valueQuantity`), a Reference has `reference`, and first-class extensions are no members.
Source: core specification, "FHIR JSON rules at /fhir".
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.metadata import Element
from boxruntime.fhir.primitive_values import CheckValue, value_check
from boxruntime.fhir.release import COMMENTS, is_dstu2, reference_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxruntime.fhir.metadata import ElementPath, Metadata

TableKey = tuple[str, "ElementPath"]
"""Owner and path of the elements that stand inside an object; a type itself has the path ()."""


class Kind(IntEnum):
    """What stands at a member."""

    PRIMITIVE = 0
    OBJECT = 1
    EXTENSION = 2
    RESOURCE = 3
    FREE = 4
    """Anything: the metadata does not say."""


class Member(NamedTuple):
    """One key of an object: the element it stands for, and how to go on from there."""

    kind: Kind
    array: bool
    owner: str
    """The type whose table this is; `element.path` starts there."""
    element: Element
    below: TableKey
    check: CheckValue | None = None
    """Of a primitive: value -> what is wrong, None if nothing."""
    max_items: int | None = None
    has_shadow: bool = False
    """Whether an `_x` may stand beside it: a primitive that can have an extension."""


class Table(NamedTuple):
    """All members of one kind of object."""

    members: dict[str, Member]
    required: tuple[tuple[str, tuple[str, ...]], ...]
    """Names of required elements, with the keys that can bring them."""
    choices: tuple[tuple[str, frozenset[str]], ...]
    is_open: bool
    is_resource: bool


def table_of(metadata: Metadata, key: TableKey) -> Table:
    """Return the table of a kind of object, made once per metadata."""
    cache: dict[TableKey, Table] = metadata.artefacts("fhir_members")  # type: ignore[assignment]
    table = cache.get(key)
    if table is None:
        home = metadata.home_of(key[0])
        table = _make_table(metadata, *key) if home is metadata else table_of(home, key)
        cache[key] = table
    return table


def root_member(metadata: Metadata, type_name: str) -> Member:
    """Return the member that a whole resource of a type would be."""
    element = Element(name=type_name, path=(), type="Resource")
    return Member(Kind.RESOURCE, False, type_name, element, (metadata.fhir_type(type_name), ()))


def _make_table(metadata: Metadata, owner: str, path: ElementPath) -> Table:
    type_def = metadata.find_type(owner)
    is_open = type_def is not None and type_def.is_open
    children = type_def.elements if type_def is not None else {}
    if owner == "Reference" and not path:
        children, is_open = _reference(metadata, children), False
    elif owner == "Meta" and not path:
        children = {name: e for name, e in children.items() if name != "createdAt"}
    elif path:
        element = metadata.find_element(owner, path)
        children = metadata.children_of(owner, element)[1] if element is not None else {}
        is_open = element is not None and element.is_open
    members: dict[str, Member] = {}
    required, choices = [], []
    for name, element in children.items():
        if element.extension_url is not None:
            continue
        if not element.union:
            members[name] = _member(metadata, owner, element)
            keys: tuple[str, ...] = (name,)
        else:
            alternatives = {
                choice_key(name, alternative): element.children[alternative]
                for alternative in element.union
                if choice_key(name, alternative) not in children
            }
            for key, below in alternatives.items():
                members[key] = _member(metadata, owner, below, array=element.array)
            keys = tuple(alternatives)
            if owner != "Extension":  # there a rule of its own counts nested extensions too
                choices.append((name, frozenset(keys)))
        if element.required:
            required.append((name, (*keys, *(f"_{key}" for key in keys))))
    if is_dstu2(metadata):
        comments = Element(name=COMMENTS, path=(*path, COMMENTS))
        members[COMMENTS] = Member(Kind.FREE, False, owner, comments, ("", ()))
    is_resource = not path and type_def is not None and type_def.kind in {"resource", "shadow"}
    return Table(members, tuple(required), tuple(choices), is_open, is_resource)


def _reference(metadata: Metadata, stored: dict[str, Element]) -> dict[str, Element]:
    """FHIR's Reference, as the version has it; the metadata has the stored one."""
    own = {
        name: Element(name=name, path=(name,), type=type_name)
        for name, type_name in (("id", "string"), ("reference", "string"))
    }
    members = reference_members(metadata)
    kept = {name: element for name, element in stored.items() if name in members - own.keys()}
    return {**own, **kept}


def _member(
    metadata: Metadata, owner: str, element: Element, *, array: bool | None = None
) -> Member:
    repeats = element.array if array is None else array

    def made(
        kind: Kind, below: TableKey, check: Callable[[object], str | None] | None = None
    ) -> Member:
        return Member(kind, repeats, owner, element, below, check, element.max_items)

    if element.content_ref is not None:
        return made(Kind.OBJECT, (owner, element.content_ref))
    if element.type is None:
        is_free = element.is_open and not element.children
        return made(Kind.FREE if is_free else Kind.OBJECT, (owner, element.path))
    if element.type == "Extension":
        return made(Kind.EXTENSION, ("Extension", ()))
    if element.type == "Resource":
        return made(Kind.RESOURCE, ("Resource", ()))
    type_def = metadata.find_type(element.type)
    if type_def is None:
        return made(Kind.FREE, ("", ()))
    if type_def.kind == "primitive":
        check = value_check(metadata, type_def, element.codes)
        plain = element.type == "xhtml" or (owner, element.path) == ("Extension", ("url",))
        has_shadow = not plain and element.path != ("id",)
        return made(Kind.PRIMITIVE, ("", ()), check)._replace(has_shadow=has_shadow)
    own_members = element.children and element.type != "Reference"
    return made(Kind.OBJECT, (owner, element.path) if own_members else (element.type, ()))
