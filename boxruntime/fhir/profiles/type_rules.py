"""The types of an element in a profile: targets of references, profiles on what stands there.

Source: FHIR R4, ElementDefinition.type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.profiles.checking import MESSAGE
from boxruntime.fhir.profiles.library import BASE
from boxruntime.fhir.profiles.parts import Schema, all_of
from boxruntime.fhir.profiles.places import Place
from boxruntime.fhir.profiles.tree import canonicals

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element
    from boxruntime.fhir.profiles.schema import SchemaMaker
    from boxruntime.fhir.profiles.tree import Node


def type_rules(maker: SchemaMaker, node: Node, element: Element, place: Place) -> list[Schema]:
    """Return what the types of a node demand of one value."""
    if element.type == "Reference":
        return [_target(maker, node, element, place)]
    if element.type == "Resource":
        return _inner_resource(maker, node, place)
    if element.type is None or element.type == "Extension":
        return []
    return [_one_of(maker, node.profiles(element.type), element.type, place)]


def targets(maker: SchemaMaker, node: Node, place: Place) -> set[str]:
    """Return the types that a Reference may name; nothing where all are allowed."""
    found: set[str] = set()
    for item in node.types:
        for canonical in canonicals(item, "targetProfile"):
            name = maker.library.type_of(canonical)
            if name is None:
                maker.note(place.below(node), f"The target {canonical} is not known here.")
                return set()
            found.add(name)
    return set() if found & {"Resource", "DomainResource"} else found


def _target(maker: SchemaMaker, node: Node, element: Element, place: Place) -> Schema:
    found = targets(maker, node, place)
    if not found or (element.refers is not None and element.refers <= found):
        return {}
    message = f"expected reference to {', '.join(sorted(found))}"
    allowed = {"properties": {"resourceType": {"enum": sorted(found)}}}
    return {"anyOf": [allowed], MESSAGE: message}  # so that the finding is at the Reference


def _inner_resource(maker: SchemaMaker, node: Node, place: Place) -> list[Schema]:
    """A resource inside the resource: of these types, and each as its profiles say."""
    codes = sorted(set(node.type_codes) & maker.metadata.resource_types)
    rules: list[Schema] = []
    if codes and len(codes) == len(node.types):
        rules.append({"properties": {"resourceType": {"enum": codes}}})
    by_type: dict[str, list[str]] = {}
    for url in node.profiles():
        name = maker.library.type_of(url)
        if name is not None:
            by_type.setdefault(name, []).append(url)
    for name, urls in by_type.items():
        wanted = _one_of(maker, urls, name, place)
        if wanted:
            of_type = {"properties": {"resourceType": {"const": name}}}
            rules.append({"if": of_type, "then": wanted})
    return rules


def _one_of(maker: SchemaMaker, urls: list[str], type_name: str, place: Place) -> Schema:
    """Return what the profiles on one type demand: that one of them is satisfied."""
    found = [_of_profile(maker, url, type_name, place) for url in dict.fromkeys(urls)]
    if len(found) < 2:
        return all_of(found)
    if not all(found):
        return {}
    return {"anyOf": found, MESSAGE: f"expected one of the profiles {', '.join(urls)}"}


def _of_profile(maker: SchemaMaker, url: str, type_name: str, place: Place) -> Schema:
    definition = maker.library.find("StructureDefinition", url)
    if definition is None or definition.get("type") != type_name:
        if not url.startswith(BASE):  # FHIR's own types say nothing new
            maker.note(place.text, f"The profile {url} is not known here.")
        return {}
    if url in maker.entered:
        return {}
    maker.entered.append(url)
    owner = maker.metadata.fhir_type(type_name)
    inner = Place(owner, maker.metadata.types[owner].elements, place.text)
    found = maker.object(maker.library.tree(definition), inner)
    maker.entered.pop()
    return found
