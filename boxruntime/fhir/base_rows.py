"""The metadata every box starts with, as resources: rows with txid 0 of a template database.

Source: core specification, "Entity", "Attribute"; search specification, "SearchParameter
meta-resource"; core specification, "Compartments".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxruntime.fhir.metadata import Element, ElementPath, Metadata, TypeDef

Row = tuple[str, str, dict[str, Any]]
"""Type, id and resource in Aidbox format, with resourceType and id."""

_PARAMETER_FACTS = ("url", "text", "fhirpath", "target", "guards", "components", "exists")


def base_rows(metadata: Metadata) -> Iterator[Row]:
    """Yield Entity, Attribute, SearchParameter and CompartmentDefinition rows, in stable order.

    An Attribute stands at the type that declares it only: what comes from Resource or Element
    is not repeated in every heir.
    """
    types = [type_def for type_def in metadata.types.values() if type_def.kind != "shadow"]
    for type_def in types:
        yield _row("Entity", type_def.name, entity_document(type_def))
    for type_def in types:
        inherited = _inherited(metadata, type_def)
        for name, element in type_def.elements.items():
            if inherited.get(name) is not element:
                for path, each in _tree((), name, element):
                    attribute = attribute_document(type_def, path, each)
                    yield _row("Attribute", ".".join((type_def.name, *path)), attribute)
    for (owner, name), parameter in metadata.search_parameters.items():
        if not parameter["expression"]:
            continue  # _text and the like: the engine's own, not a path
        yield _row("SearchParameter", f"{owner}.{name}", _search_parameter(parameter))
    if "CompartmentDefinition" not in metadata.resource_types:
        return  # DSTU2 has compartments, and no resource that defines them
    for code, compartment in metadata.compartments.items():
        yield _row("CompartmentDefinition", code.lower(), _compartment(code, compartment))


def _row(type_name: str, row_id: str, content: dict[str, Any]) -> Row:
    return type_name, row_id, {"resourceType": type_name, "id": row_id, **content}


def entity_document(type_def: TypeDef) -> dict[str, Any]:
    """Return the Entity of a type, without id."""
    flags = {
        "isOpen": type_def.is_open or None,
        "isMeta": type_def.is_meta or None,
        "history": None if type_def.history else "none",
        "module": type_def.module,
        "schema": type_def.schema,
        "text": type_def.text,
    }
    return {"type": type_def.kind, **_told(flags)}


def _inherited(metadata: Metadata, type_def: TypeDef) -> dict[str, Element]:
    base = metadata.find_type(type_def.base) if type_def.base else None
    if base is not None:
        return base.elements
    if type_def.kind != "resource":
        return {}
    return {**metadata.types["Resource"].elements, **metadata.types["DomainResource"].elements}


def _tree(above: ElementPath, name: str, element: Element) -> Iterator[tuple[ElementPath, Element]]:
    """Yield the element and those below it; a group's own ones, not what its base gives it."""
    path = (*above, name)
    yield path, element
    for below, child in element.children.items():
        if child.path == (*path, below):
            yield from _tree(path, below, child)


def attribute_document(type_def: TypeDef, path: ElementPath, element: Element) -> dict[str, Any]:
    """Return the Attribute that would put an element at a path of a type, without id."""
    facts = {
        "isCollection": element.array or None,
        "isRequired": element.required or None,
        "isSummary": element.summary or None,
        "isModifier": element.modifier or None,
        "isUnique": element.unique or None,
        "isOpen": element.is_open or None,
        "type": _to_entity(element.type) if element.type else None,
        "union": [_to_entity(name) for name in element.union] or None,
        "enum": sorted(element.codes) if element.codes else None,
        "refers": sorted(element.refers) if element.refers else None,
        "contentRef": list(element.content_ref) if element.content_ref else None,
        "valueSet": {"uri": element.value_set} if element.value_set else None,
        "extensionUrl": element.extension_url,
        "schema": element.schema,
        "text": element.text,
    }
    return {
        "resource": _to_entity(type_def.name),
        "path": list(path),
        **_told(facts),
        "order": element.order,
        "module": type_def.module,
    }


def _search_parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": parameter["name"],
        "type": parameter["type"],
        "resource": _to_entity(parameter["resource"]),
        "expression": parameter["expression"],
        **{fact: parameter[fact] for fact in _PARAMETER_FACTS if fact in parameter},
    }


def _compartment(code: str, compartment: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": compartment["url"],
        "name": f"Base FHIR compartment definition for {code}",
        "status": "active",
        "code": code,
        "search": True,
        "resource": compartment["resource"],
    }


def _to_entity(name: str) -> dict[str, str]:
    return {"resourceType": "Entity", "id": name}


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value is not None}
