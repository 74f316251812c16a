"""StructureDefinitions to the compact element tables.

A type keeps only its own elements, in definition order, under their dotted Aidbox path
(`value`, not `value[x]`); inherited ones come through `base`.

Source: core specification, Metadata: Entity and Attribute; FHIR R4, ElementDefinition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.definitions.primitives import lexical_form

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.definitions.package import Json

GROUP_TYPES = frozenset({"BackboneElement", "Element"})
TEXT_LENGTH = 80
_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
# The published R4 snapshot says `string` for the logical id; the datatypes page says `id`.
_TYPE_FIXES = {"Resource.id": "id"}


def compile_types(structures: Iterable[Json]) -> dict[str, Json]:
    """Return every primitive, complex and resource type, profiles and logical models left out."""
    kept = list(structures)
    targets = {s["url"]: s["type"] for s in kept if s.get("kind") == "resource"}
    return {
        structure["type"]: compile_type(structure, targets)
        for structure in sorted(kept, key=lambda s: str(s["type"]))
        if structure["kind"] in ("primitive-type", "complex-type", "resource")
        and structure.get("derivation") != "constraint"
    }


def compile_type(structure: Json, targets: dict[str, str]) -> Json:
    """Return one type. `targets` maps the URL of a resource definition or profile to its type."""
    name = structure["type"]
    root = structure["snapshot"]["element"][0]
    result: Json = {"kind": _kind(structure)}
    if "baseDefinition" in structure:
        result["base"] = structure["baseDefinition"].rpartition("/")[2]
    result["text"] = shorten(root.get("short") or structure.get("description", ""))
    if result["kind"] == "primitive":
        return result | lexical_form(name)
    result["elements"] = {
        element_path(element["path"]): compile_element(element, targets)
        for element in structure["snapshot"]["element"][1:]
        if element["base"]["path"].partition(".")[0] == name
    }
    return result


def _kind(structure: Json) -> str:
    if structure["kind"] == "primitive-type":
        return "primitive"
    if structure["abstract"]:
        return "abstract"
    return "resource" if structure["kind"] == "resource" else "type"


def element_path(path: str) -> str:
    """Drop the owner and the choice mark: "Observation.value[x]" -> "value"."""
    return path.partition(".")[2].removesuffix("[x]")


def compile_element(element: Json, targets: dict[str, str]) -> Json:
    """Return the facts of one element; flags that are false and empty facts are left out."""
    result: Json = {}
    types = element.get("type", [])
    codes = [_type_code(element["path"], entry) for entry in types]
    if "contentReference" in element:
        # "#Questionnaire.item" names an element of the same owner.
        result["contentRef"] = element_path(element["contentReference"].partition("#")[2])
    elif element["path"].endswith("[x]"):
        result["union"] = codes
    elif codes[0] in GROUP_TYPES:
        result["group"] = codes[0]
    else:
        result["type"] = codes[0]
    maximum = element["max"]
    if maximum != "1":
        result["array"] = True
        if maximum != "*":
            result["max"] = maximum
    if element["min"] > 0:
        result["required"] = True
    if element.get("isSummary"):
        result["summary"] = True
    if element.get("isModifier"):
        result["modifier"] = True
    if refers := _reference_targets(types, targets):
        result["refers"] = refers
    binding = element.get("binding", {})
    if "valueSet" in binding:
        result["valueSet"] = binding["valueSet"].partition("|")[0]
        result["strength"] = binding["strength"]
    if text := shorten(element.get("short", "")):
        result["text"] = text
    return result


def _type_code(path: str, entry: Json) -> str:
    """Return the FHIR type; System types of FHIRPath carry the FHIR one in an extension."""
    if path in _TYPE_FIXES:
        return _TYPE_FIXES[path]
    for extension in entry.get("extension", []):
        if extension["url"] == _FHIR_TYPE:
            return str(extension["valueUrl"])
    return str(entry["code"])


def _reference_targets(types: list[Json], targets: dict[str, str]) -> list[str]:
    """Return the resource types a Reference may name, alone or in a CodeableReference; [] = any."""
    found: set[str] = set()
    for entry in types:
        if entry["code"] not in ("Reference", "CodeableReference"):
            continue
        profiles = entry.get("targetProfile", [])
        if not profiles:
            return []
        found.update(targets[url] for url in profiles)
    return [] if "Resource" in found else sorted(found)


def shorten(text: str) -> str:
    """Return one line of at most 80 characters, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= TEXT_LENGTH:
        return line
    return line[: TEXT_LENGTH - 1].rpartition(" ")[0].rstrip(",;:.") + "…"


def extension_datatypes(structures: Iterable[Json]) -> dict[str, list[str]]:
    """Return URL -> datatypes of `value[x]` for every defined simple extension."""
    return {
        structure["url"]: [entry["code"] for entry in element["type"]]
        for structure in structures
        if structure["type"] == "Extension"
        for element in structure["snapshot"]["element"]
        if element["path"] == "Extension.value[x]" and element["max"] != "0"
    }
