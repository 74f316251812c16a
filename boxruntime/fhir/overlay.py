"""Lays Entity, Attribute and SearchParameter resources over a box's metadata.

The records are resources in Aidbox format, as they are stored and as a user writes them.
Source: core specification, "Entity", "Attribute" and "First-class extensions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from boxruntime.fhir.definitions_file import RESOURCE_ELEMENTS
from boxruntime.fhir.metadata import Element, ElementPath, Metadata, Record, TypeDef

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


def overlay_types(
    base: Metadata, entities: list[Record], attributes: list[Record]
) -> tuple[dict[str, TypeDef], frozenset[str]]:
    """Return the types with the records laid over them, and the names of all that differ.

    The second part also names every type that uses a changed one, at any depth.
    """
    types = dict(base.types)
    touched: set[str] = set()
    for record in entities:
        type_def = _entity(record, types)
        if type_def is not None:
            types[type_def.name] = type_def
            touched.add(type_def.name)
    # Parents first, so that a child finds its group; then the order people gave.
    for record in sorted(attributes, key=lambda r: (len(r["path"]), r.get("order", 0), r["id"])):
        owner = record["resource"].get("id")
        if owner not in types:
            continue  # an Attribute may be saved before its Entity
        member = record["path"][0]
        shared = base.types[owner].elements if owner in base.types else {}
        for name in _heirs(types, owner):
            if member in shared and member not in types[name].elements:
                continue  # one of those that our own types do without
            types[name] = _with_attribute(types[name], record, types["Element"].elements)
            touched.add(name)
    return types, _affected(types, touched) if touched else frozenset()


def overlay_parameters(
    base: Metadata, records: Iterable[Record], without: Collection[str]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the search parameters with SearchParameter resources in Aidbox's shape over them.

    One in FHIR's shape has no `expression` of paths, and no effect here.
    """
    gone = frozenset(without)
    found = {key: row for key, row in base.search_parameters.items() if ".".join(key) not in gone}
    for record in records:
        if isinstance(record.get("expression"), list) and isinstance(record.get("resource"), dict):
            owner = str(record["resource"]["id"])
            found[owner, record["name"]] = {**record, "resource": owner}
    return found


def _entity(record: Record, types: Mapping[str, TypeDef]) -> TypeDef | None:
    name = record["id"]
    kind = record.get("type")
    known = types.get(name)
    if known is not None:
        return structs.replace(
            known,
            is_open=record.get("isOpen", known.is_open),
            history=record.get("history") != "none" if "history" in record else known.history,
            text=record.get("text") or record.get("description") or known.text,
            module=record.get("module", known.module),
            schema=record.get("schema", known.schema),
        )
    if kind not in ("resource", "type", "abstract"):
        return None  # primitives cannot be made
    if kind == "resource":
        common = {**types["Resource"].elements, **types["DomainResource"].elements}
        elements = {member: common[member] for member in RESOURCE_ELEMENTS}
    else:
        elements = dict(types["Element"].elements)
    return TypeDef(
        name=name,
        kind=kind,
        module=record.get("module"),
        text=record.get("text") or record.get("description"),
        is_open=record.get("isOpen", False),
        is_meta=record.get("isMeta", False),
        history=record.get("history") != "none",
        elements=elements,
        schema=record.get("schema"),
    )


def _heirs(types: Mapping[str, TypeDef], name: str) -> list[str]:
    """Return the type and, when it is abstract, all types that inherit from it."""
    if types[name].kind != "abstract":
        return [name]
    found = []
    for candidate in types.values():
        heir: TypeDef | None = candidate
        while heir is not None and heir.name != name:
            heir = types.get(_base_of(heir) or "")
        if heir is not None:
            found.append(candidate.name)
    return found


def _base_of(type_def: TypeDef) -> str | None:
    """Return what a type inherits from; resource types of no FHIR version are DomainResources."""
    if type_def.kind == "primitive":
        return None
    return type_def.base or ("DomainResource" if type_def.kind == "resource" else None)


def _with_attribute(type_def: TypeDef, record: Record, common: dict[str, Element]) -> TypeDef:
    path = tuple(record["path"])
    elements = _placed(type_def.elements, path, (), record, common)
    return structs.replace(type_def, elements=elements)


def _placed(
    elements: dict[str, Element],
    path: ElementPath,
    above: ElementPath,
    record: Record,
    common: dict[str, Element],
) -> dict[str, Element]:
    """Return a copy of `elements` with the record's element at `path`; untouched ones shared.

    `common`: what every group has beside its own elements, room for extensions above all.
    """
    name, rest = path[0], path[1:]
    known = elements.get(name)
    if rest:
        if known is None:
            known = Element(name=name, path=(*above, name), order=len(elements))
        below = _placed(known.children, rest, (*above, name), record, common)
        if not (known.type or known.union or known.content_ref):
            below = {**common, **below}
        return {**elements, name: structs.replace(known, children=below)}
    order = known.order if known is not None else len(elements)
    element = _attribute(record, (*above, name), order)
    if known is not None:
        if element.strength is None and element.value_set == known.value_set:
            element = structs.replace(element, strength=known.strength)
        children = dict(known.children)
        if element.union:
            children = {k: e for k, e in children.items() if k not in known.union}
        element = structs.replace(element, children={**children, **element.children})
    return {**elements, name: element}


def _attribute(record: Record, path: ElementPath, order: int) -> Element:
    union = tuple(_id(item) for item in record.get("union", ()))
    refers = frozenset(record["refers"]) if record.get("refers") else None
    value_set = record.get("valueSet") or {}
    ref = record.get("contentRef")
    return Element(
        name=path[-1],
        path=path,
        type=_id(record["type"]) if record.get("type") and not union else None,
        union=union,
        array=record.get("isCollection", False),
        required=record.get("isRequired", False),
        refers=None if union else refers,
        codes=frozenset(record["enum"]) if record.get("enum") else None,
        value_set=value_set.get("uri") or value_set.get("id"),
        strength=value_set.get("strength"),
        content_ref=tuple(ref) if ref else None,
        children={
            name: Element(
                name=name,
                path=(*path, name),
                type=name,
                refers=refers if name == "Reference" else None,
            )
            for name in union
        },
        summary=record.get("isSummary", False),
        modifier=record.get("isModifier", False),
        unique=record.get("isUnique", False),
        is_open=record.get("isOpen", False),
        extension_url=record.get("extensionUrl"),
        order=record.get("order", order),
        text=record.get("text") or record.get("description"),
        schema=record.get("schema"),
    )


def _id(reference: Mapping[str, Any] | str) -> str:
    """An Entity is named by a reference; App manifests use the plain name."""
    return reference if isinstance(reference, str) else str(reference["id"])


def uses_of(type_def: TypeDef) -> set[str]:
    """Return the types that elements of this one have; not what an Extension may hold.

    An Extension is stored as it comes, and a resource inside a resource is looked up when it is
    met, so neither makes its container depend on anything.
    """
    found: set[str] = set()
    if type_def.name in ("Extension", "Resource"):
        return found
    todo = list(type_def.elements.values())
    seen: set[int] = set()
    while todo:
        element = todo.pop()
        if id(element) in seen:
            continue
        seen.add(id(element))
        if element.type is not None:
            found.add(element.type)
        todo.extend(element.children.values())
    found.discard("Resource")
    return found


def _affected(types: Mapping[str, TypeDef], touched: set[str]) -> frozenset[str]:
    users: dict[str, set[str]] = {}
    for type_def in types.values():
        for used in uses_of(type_def):
            users.setdefault(used, set()).add(type_def.name)
    found = set(touched)
    todo = list(touched)
    while todo:
        for user in users.get(todo.pop(), ()):
            if user not in found:
                found.add(user)
                todo.append(user)
    return frozenset(found)
