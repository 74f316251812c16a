"""What `$validate` at /fhir checks beyond a write: constraints, extensions, codes.

A file of its own beside the types: a box reads it when somebody first asks for `$validate`.
Source: core specification, "$validate"; FHIR R4, ElementDefinition.constraint, Extensibility.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.definitions.structures import element_path
from infra.definitions.value_sets import (
    NotExpandableError,
    expand_value_set,
    read_concepts,
)
from infra.definitions.vital_signs import compile_vital_signs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.definitions.package import Json, Package

_CODED = frozenset({"Coding", "CodeableConcept", "Quantity"})
# Published expressions that FHIRPath as it became does not read as they are meant.
MISWRITTEN = {
    # STU3 Observation obs-7: without components the comparison is empty, not true.
    "value.empty() or code!=component.code": (
        "value.empty() or component.empty() or code!=component.code"
    ),
    # STU3 MedicationAdministration mad-3: a boolean is no string.
    "reasonCode.empty() or notGiven.empty() or notGiven = 'false'": (
        "reasonCode.empty() or notGiven.empty() or notGiven = false"
    ),
    # STU3 StructureDefinition sdf-8: quotes, escaped twice.
    "(%resource.kind = #39;.logical#39;. or element.first().path = %resource.type) and "
    "element.tail().all(path.startsWith(%resource.snapshot.element.first().path&'.'))": (
        "(%resource.kind = 'logical' or element.first().path = %resource.type) and "
        "element.tail().all(path.startsWith(%resource.snapshot.element.first().path&'.'))"
    ),
    # R5 ElementDefinition eld-11: FHIRPath has no double quotes, and contains() takes one text.
    'binding.empty() or type.code.empty() or type.code.contains(":") or '
    "type.select((code = 'code') or (code = 'Coding') or (code='CodeableConcept') or "
    "(code = 'Quantity') or (code = 'string') or (code = 'uri') or (code = 'Duration')).exists()": (
        "binding.empty() or type.code.empty() or type.code.where(contains(':')).exists() or "
        "type.select((code = 'code') or (code = 'Coding') or (code='CodeableConcept') or "
        "(code = 'Quantity') or (code = 'string') or (code = 'uri') or (code = 'Duration')).exists()"
    ),
}
_KINDS = frozenset({"primitive-type", "complex-type", "resource"})


def compile_rules(package: Package, types: dict[str, Json]) -> Json:
    """Return the rules of one FHIR version. `types` are those of `compile_types`."""
    return {
        "constraints": compile_constraints(package.structures),
        "extensions": compile_extensions(package.structures),
        "valueSets": _required_value_sets(package, types),
        "codeSystems": _code_systems(
            system
            for url, system in package.code_systems.items()
            if url not in package.outdated_systems
        ),
        "searchTypes": {
            each["url"].rpartition("/")[2]: each["type"]
            for each in package.search_parameters
            if "url" in each
        },
        "vitalSigns": compile_vital_signs(package),
    }


def compile_constraints(structures: Iterable[Json]) -> dict[str, list[Json]]:
    """Return the constraints that each type itself declares, at the dotted path of their context.

    Those it repeats from its base or from the types of its elements are left out (they stand in
    the snapshot only), and so are those without a FHIRPath expression: all of DSTU2's, in XPath.
    """
    result: dict[str, list[Json]] = {}
    for structure in sorted(structures, key=lambda s: str(s["type"])):
        if structure["kind"] not in _KINDS or structure.get("derivation") == "constraint":
            continue
        found = [
            {
                "path": element_path(element["path"]),
                "key": constraint["key"],
                "severity": constraint["severity"],
                "human": constraint["human"],
                "expression": MISWRITTEN.get(constraint["expression"], constraint["expression"]),
            }
            for element in structure.get("differential", {}).get("element", [])
            for constraint in element.get("constraint", [])
            if "expression" in constraint
        ]
        if found:
            result[structure["type"]] = found
    return result


def compile_extensions(structures: Iterable[Json]) -> dict[str, Json]:
    """Return URL -> {"value": [datatypes], "parts": {url: …}} for every defined extension.

    No "value": it must have none; "*" stands for any datatype. "parts" are nested extensions.
    """
    return {
        structure["url"]: _extension(
            # Old versions number no elements: there the path is all there is.
            {e.get("id", e["path"]): e for e in structure["snapshot"]["element"]},
            "Extension",
        )
        for structure in structures
        if structure["type"] == "Extension" and structure.get("derivation") == "constraint"
    }


def _extension(elements: dict[str, Json], place: str) -> Json:
    result: Json = {}
    value = elements.get(f"{place}.value[x]")
    if value is None:
        # A snapshot that slices value[x] or leaves it out says nothing about the type.
        result["value"] = ["*"]
    elif value["max"] != "0":
        codes = list(dict.fromkeys(entry["code"] for entry in value["type"]))
        result["value"] = ["*"] if len(codes) > 30 else codes
    prefix = f"{place}.extension:"
    parts = {
        elements[f"{name}.url"]["fixedUri"]: _extension(elements, name)
        for name in elements
        if name.startswith(prefix)
        and "." not in name.removeprefix(prefix)
        and "fixedUri" in elements.get(f"{name}.url", {})
    }
    if parts:
        result["parts"] = parts
    return result


def _required_value_sets(package: Package, types: dict[str, Json]) -> dict[str, Json]:
    """Return URL -> {system: codes} of the value sets that Codings must come from.

    Value sets that cannot be expanded from the definitions are left out.
    """
    bound = {
        element["valueSet"]
        for definition in types.values()
        for element in definition.get("elements", {}).values()
        if element.get("strength") == "required"
        and (element.get("type") in _CODED or _CODED & set(element.get("union", ())))
    }
    result: dict[str, Json] = {}
    for url in sorted(bound):
        try:
            result[url] = expand_value_set(url, package.value_sets, package.code_systems)
        except NotExpandableError:
            continue
    return result


def _code_systems(code_systems: Iterable[Json]) -> dict[str, Json]:
    """Return URL -> {"codes": one per line, "anyCase": …} of systems that are listed completely.

    One text a system: 20,000 objects would cost a box megabytes, a search in a text 1 us.
    """
    result: dict[str, Json] = {}
    for code_system in code_systems:
        codes = list(read_concepts(code_system)) if code_system.get("content") == "complete" else []
        if codes:
            entry: Json = {"codes": "\n".join(["", *codes, ""])}
            if not code_system.get("caseSensitive"):
                entry["anyCase"] = True
            result[code_system["url"]] = entry
    return result
