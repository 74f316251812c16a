"""Brings the definitions of DSTU2 and STU3 into the shape of R4, which the generator reads.

What differs: STU3 repeats a type per target profile and refers to value sets by Reference;
DSTU2 also names types by `kind` and `constrainedType`, says nothing of where an element comes
from, refers to elements by name, and keeps code systems inside value sets.

Source: FHIR STU3 and DSTU2, StructureDefinition, ElementDefinition, ValueSet, SearchParameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.definitions.structures import GROUP_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.definitions.package import Json

_BASE_URL = "http://hl7.org/fhir/StructureDefinition/"


def upgrade(resources: Iterable[Json]) -> list[Json]:
    """Return the definitions in R4's shape; what needs no change is passed on as it is."""
    found = [_upgraded(resource) for resource in resources]
    structures = [each for each in found if each["resourceType"] == "StructureDefinition"]
    _fill_bases(structures)
    return found + _code_systems(found)


def _upgraded(resource: Json) -> Json:
    match resource["resourceType"]:
        case "StructureDefinition":
            return _structure(resource)
        case "ValueSet":
            return _value_set(resource)
        case "SearchParameter":
            return _search_parameter(resource)
        case _:
            return resource


def _structure(source: Json) -> Json:
    result = source | {"abstract": source["abstract"] or source["id"] in GROUP_TYPES}
    if "type" not in source:  # DSTU2
        result |= _dstu2_identity(source)
    named: dict[str, str] = {}
    for element in source["snapshot"]["element"]:
        # ImplementationGuide's page refers to a name that no element has: to itself.
        named.setdefault(element["path"].rpartition(".")[2], element["path"])
    for element in source["snapshot"]["element"]:
        if "name" in element:
            named[element["name"]] = element["path"]
    elements = [_element(element, named) for element in source["snapshot"]["element"]]
    if result["type"] == "Extension":
        for element in elements:
            if element["path"].startswith("Extension.value"):  # Extension.valueDateTime
                element["path"] = "Extension.value[x]"
    return result | {"snapshot": {"element": elements}}


def _dstu2_identity(source: Json) -> Json:
    """Return type, kind, derivation and base as R4 states them."""
    is_primitive = any(
        element["path"].endswith(".value") and "code" not in entry
        for element in source["snapshot"]["element"]
        for entry in element.get("type", [])
    )
    constrained = source.get("constrainedType")
    is_constraint = constrained is not None and not is_primitive
    kind = "primitive-type" if is_primitive else "complex-type"
    found: Json = {
        "type": constrained if is_constraint else source["id"],
        "kind": kind if source["kind"] == "datatype" else source["kind"],
        "derivation": "constraint" if is_constraint else "specialization",
    }
    if "base" in source:
        found["baseDefinition"] = source["base"]
    return found


def _element(source: Json, named: dict[str, str]) -> Json:
    result = source | {"type": _types(source.get("type", []))}
    if "nameReference" in source:
        result["contentReference"] = "#" + named[source["nameReference"]]
    binding = source.get("binding", {})
    value_set = binding.get("valueSetUri") or binding.get("valueSetReference", {}).get("reference")
    if value_set is not None:
        result["binding"] = binding | {"valueSet": value_set}
    return result


def _types(entries: list[Json]) -> list[Json]:
    """Return one entry per type with all its target profiles; none of them = any target."""
    targets: dict[str, list[Any]] = {}
    for entry in entries:
        code = entry.get("code", "string")  # the values of primitives have no type
        profiles = entry.get("targetProfile") or entry.get("profile") or ()
        if isinstance(profiles, str):
            profiles = (profiles,)
        targets.setdefault(code, []).append(profiles)
    return [
        {"code": code, "targetProfile": sorted({url for listed in groups for url in listed})}
        if code == "Reference" and all(groups)
        else {"code": code}
        for code, groups in targets.items()
    ]


def _fill_bases(structures: list[Json]) -> None:
    """Say of each element whether it is inherited, where the definition does not."""
    own = {s["type"]: s for s in structures if s.get("derivation") != "constraint"}
    elements = {
        name: {element["path"]: element for element in structure["snapshot"]["element"]}
        for name, structure in own.items()
    }

    def find_origin(type_name: str | None, member: str) -> str | None:
        while type_name in own:
            path = f"{type_name}.{member}"
            if path in elements[type_name]:
                base = elements[type_name][path].get("base", {}).get("path", path)
                return find_origin(_base_of(own[type_name]), member) or str(base)
            type_name = _base_of(own[type_name])
        return None

    for structure in structures:
        for path, element in _by_path(structure):
            if "base" in element:
                continue
            above, _, member = path.rpartition(".")
            origin = None
            if above == structure["type"]:
                origin = find_origin(_base_of(structure), member)
            elif above in elements.get(structure["type"], {}):
                types = elements[structure["type"]][above].get("type", [])
                group = types[0]["code"] if types else None
                origin = find_origin(group, member) if group in GROUP_TYPES else None
            element["base"] = {"path": origin or path}


def _by_path(structure: Json) -> list[tuple[str, Json]]:
    return [(element["path"], element) for element in structure["snapshot"]["element"]]


def _base_of(structure: Json) -> str | None:
    base = structure.get("baseDefinition")
    return None if base is None else str(base).removeprefix(_BASE_URL)


def _value_set(source: Json) -> Json:
    """Return compose with the value set's own code system and with what it imports."""
    compose = source.get("compose", {})
    includes = list(compose.get("include", ()))
    includes += [{"valueSet": [url]} for url in compose.get("import", ())]
    if "codeSystem" in source:
        includes.append({"system": source["codeSystem"]["system"]})
    return source | {"compose": compose | {"include": includes}} if includes else source


def _code_systems(resources: list[Json]) -> list[Json]:
    """Return the code systems that DSTU2 keeps inside value sets."""
    return [
        {
            "resourceType": "CodeSystem",
            "url": resource["codeSystem"]["system"],
            "content": "complete",
            "caseSensitive": resource["codeSystem"].get("caseSensitive", False),
            "concept": resource["codeSystem"].get("concept", []),
        }
        for resource in resources
        if "codeSystem" in resource
    ]


def _search_parameter(source: Json) -> Json:
    if "component" not in source:
        return source
    components = [
        part | {"definition": part["definition"]["reference"]} for part in source["component"]
    ]
    return source | {"component": components}
