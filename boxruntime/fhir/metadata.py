"""What a box knows about its types: elements, search parameters, compartments.

Everything here describes the *Aidbox* form of a resource: `value` is one element with
alternatives below it, a Reference has `resourceType` and `id`.
Source: core specification, "Metadata: Entity and Attribute".
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

ElementPath: TypeAlias = tuple[str, ...]
CREATED_AT_URL = "ex:createdAt"
SHADOW = "fhir:"
"""Prefix of a FHIR type whose plain name Aidbox uses for a type of its own: SearchParameter."""
Record: TypeAlias = "Mapping[str, Any]"
"""An Entity or Attribute resource in Aidbox format."""


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """One Attribute: a member of an object, located by `path` inside its owner.

    Exactly one of these tells what stands there: `type`, `union` (then `children` holds one
    element per alternative), `content_ref` (the children of the element at that path of the
    same owner), or none of them: a group, described by `children`. A typed element may have
    `children` too: attributes added at this place only.
    """

    name: str
    path: ElementPath
    type: str | None = None
    union: tuple[str, ...] = ()
    array: bool = False
    required: bool = False
    refers: frozenset[str] | None = None
    """Allowed types of a Reference's target; None = any."""
    codes: frozenset[str] | None = None
    """Allowed values, from `enum` or a required binding whose codes are known."""
    value_set: str | None = None
    strength: str | None = None
    content_ref: ElementPath | None = None
    children: dict[str, Element] = msgspec.field(default_factory=dict)
    summary: bool = False
    modifier: bool = False
    unique: bool = False
    is_open: bool = False
    extension_url: str | None = None
    order: int = 0
    text: str | None = None
    max_items: int | None = None
    schema: dict[str, Any] | None = None
    """Extra JSON Schema of the node (Attribute.schema)."""


class TypeDef(msgspec.Struct, frozen=True, kw_only=True):
    """One Entity. `elements` holds inherited elements too, in the order of the definition."""

    name: str
    kind: str
    """resource, type, primitive or abstract; shadow: a FHIR type behind an Aidbox one."""
    base: str | None = None
    module: str | None = None
    text: str | None = None
    is_open: bool = False
    is_meta: bool = False
    history: bool = True
    elements: dict[str, Element] = msgspec.field(default_factory=dict)
    pattern: str | None = None
    """Anchored regular expression of a primitive that is a JSON string."""
    json: str | None = None
    """JSON type of a primitive: string, boolean, number or integer."""
    minimum: int | None = None
    maximum: int | None = None
    schema: dict[str, Any] | None = None


class Metadata:
    """All types of a box. Immutable; `with_records` makes the next one and shares the rest.

    Compiled artefacts (validators, converters) belong to the metadata object that first needs
    them; `home_of` tells which one that is, so that a box which adds one type compiles one type.
    """

    __slots__ = (
        "_artefacts",
        "_base",
        "_changed",
        "compartments",
        "created_at_url",
        "fhir_version",
        "module",
        "resource_types",
        "search_parameters",
        "types",
    )

    def __init__(
        self,
        *,
        fhir_version: str,
        module: str,
        types: dict[str, TypeDef],
        search_parameters: dict[tuple[str, str], dict[str, Any]],
        compartments: dict[str, dict[str, Any]],
        base: Metadata | None = None,
        changed: frozenset[str] = frozenset(),
        created_at_url: str = CREATED_AT_URL,
    ) -> None:
        self.fhir_version = fhir_version
        self.module = module
        self.types = types
        self.resource_types = frozenset(
            name for name, type_def in types.items() if type_def.kind == "resource"
        )
        self.search_parameters = search_parameters
        """(type, name) -> the row of the definitions file."""
        self.compartments = compartments
        self.created_at_url = created_at_url
        """Of the extension that tells meta.createdAt at /fhir."""
        self._base = base
        self._changed = changed
        self._artefacts: dict[str, dict[str, Any]] = {}

    def find_type(self, name: str) -> TypeDef | None:
        return self.types.get(name)

    def find_element(self, type_name: str, path: Sequence[str | int]) -> Element | None:
        """Return the element at an Aidbox path, through complex types and content references.

        Numbers (array indexes) are skipped: ("name", 0, "given") and ("name", "given") are one.
        """
        element: Element | None = None
        owner = type_name
        type_def = self.types.get(type_name)
        children = type_def.elements if type_def is not None else {}
        for step in path:
            if isinstance(step, int):
                continue
            if element is not None:
                owner, children = self.children_of(owner, element)
            element = children.get(step)
            if element is None:
                return None
        return element

    def fhir_type(self, name: str) -> str:
        """Return the name under which FHIR's own type of that name stands.

        Usually itself; "fhir:SearchParameter" for "SearchParameter", whose plain name means
        Aidbox's type. Resources inside a resource are always FHIR's.
        """
        shadowed = SHADOW + name
        return shadowed if shadowed in self.types else name

    def children_of(self, owner: str, element: Element) -> tuple[str, dict[str, Element]]:
        """Return what stands below `element` of type `owner`, and the owner of those elements."""
        if element.content_ref is not None:
            target = self.find_element(owner, element.content_ref)
            below = target.children if target is not None else {}
            return owner, {**below, **element.children} if element.children else below
        if element.type is not None:
            type_def = self.types.get(element.type)
            below = type_def.elements if type_def is not None else {}
            return element.type, {**below, **element.children} if element.children else below
        return owner, element.children

    def with_records(
        self,
        entities: Iterable[Record],
        attributes: Iterable[Record],
        parameters: Iterable[Record] = (),
        *,
        without_parameters: Collection[str] = (),
    ) -> Metadata:
        """Return this metadata with meta-resources (Aidbox format) laid over it.

        A record replaces what it names (type, owner and path, type and parameter). Untouched types
        are shared, and with them their validators and converters. `without_parameters`: ids of
        SearchParameters that were deleted.
        """
        # They build on the structs above.
        from boxruntime.fhir.overlay import overlay_parameters, overlay_types

        types, changed = overlay_types(self, list(entities), list(attributes))
        search_parameters = overlay_parameters(self, parameters, without_parameters)
        if not changed and search_parameters == self.search_parameters:
            return self
        return Metadata(
            fhir_version=self.fhir_version,
            module=self.module,
            types=types,
            search_parameters=search_parameters,
            compartments=self.compartments,
            base=self,
            changed=changed,
            created_at_url=self.created_at_url,
        )

    def with_created_at_url(self, url: str) -> Metadata:
        """Return this metadata with another url for meta.createdAt."""
        if url == self.created_at_url:
            return self
        return Metadata(
            fhir_version=self.fhir_version,
            module=self.module,
            types=self.types,
            search_parameters=self.search_parameters,
            compartments=self.compartments,
            base=self,
            created_at_url=url,
        )

    def with_compartments(self, definitions: Iterable[Record]) -> Metadata:
        """Return this metadata with CompartmentDefinitions laid over it, by their `code`.

        Types, and all that was compiled for them, are shared. One without a code says nothing.
        """
        own = {
            record["code"]: {"url": record.get("url"), "resource": _rows_of(record)}
            for record in definitions
            if isinstance(record.get("code"), str)
        }
        if not own:
            return self
        return Metadata(
            fhir_version=self.fhir_version,
            module=self.module,
            types=self.types,
            search_parameters=self.search_parameters,
            compartments={**self.compartments, **own},
            base=self._base or self,
            changed=self._changed,
            created_at_url=self.created_at_url,
        )

    @property
    def changed(self) -> frozenset[str]:
        """The types that differ from those of the metadata this one was laid over."""
        return self._changed

    def home_of(self, type_name: str) -> Metadata:
        """Return the oldest metadata object in which this type, and all it uses, is the same."""
        home = self
        while home._base is not None and type_name not in home._changed:
            home = home._base
        return home

    def artefacts(self, kind: str) -> dict[str, Any]:
        """Return the cache of one kind of compiled artefact of this object, keyed by type."""
        cache = self._artefacts.get(kind)
        if cache is None:
            cache = self._artefacts.setdefault(kind, {})
        return cache


def _rows_of(compartment: Record) -> list[dict[str, Any]]:
    """Return the rows of a CompartmentDefinition that can be used; people write some by SQL."""
    rows = compartment.get("resource")
    found = []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("code"), str):
            names = row.get("param")
            names = names if isinstance(names, list) else []
            params = [name for name in names if isinstance(name, str)]
            found.append({"code": row["code"], "param": params})
    return found


@lru_cache(maxsize=8)
def base_metadata(fhir_version: str) -> Metadata:
    """Return the metadata every new box of this FHIR version starts with. 40 ms, once.

    Raises ValueError for a FHIR version without a definitions file.
    """
    from boxruntime.fhir.definitions_file import read_definitions

    return read_definitions(fhir_version)
