"""The vital sign profiles, which FHIR itself applies to every Observation with one of their codes.

Source: FHIR R4, Observation Vital Signs Profiles ("SHALL conform", by LOINC code).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from infra.definitions.value_sets import NotExpandableError, expand_value_set

if TYPE_CHECKING:
    from infra.definitions.package import Json, Package

_PANEL = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
_CODE = re.compile(r"Observation\.code\.coding:[^.]+\.code")
_COMPONENT = re.compile(r"(Observation\.component:[^.]+)\.code\.coding:[^.]+\.code")
_VALUE = "Observation.value[x]:valueQuantity"


def compile_vital_signs(package: Package) -> dict[str, Json]:
    """Return profile -> {"code": LOINC code, "units": UCUM codes, "components": code -> units}.

    Without "units" the profile says nothing of a Quantity.
    """
    result: dict[str, Json] = {}
    for structure in package.structures:
        if structure.get("baseDefinition") != _PANEL:
            continue
        elements = {each.get("id", ""): each for each in structure["snapshot"]["element"]}
        code = next((e for id_, e in elements.items() if _CODE.fullmatch(id_)), None)
        if code is None or code["min"] == 0 or "fixedCode" not in code:
            continue
        row: Json = {"code": code["fixedCode"]}
        if units := _units(package, elements.get(f"{_VALUE}.code")):
            row["units"] = units
        components = {
            element["fixedCode"]: _units(package, elements.get(f"{match[1]}.value[x].code"))
            for id_, element in elements.items()
            if (match := _COMPONENT.fullmatch(id_)) is not None and "fixedCode" in element
        }
        if components:
            row["components"] = components
        result[structure["url"]] = row
    return result


def _units(package: Package, element: Json | None) -> list[str]:
    if element is None:
        return []
    if "fixedCode" in element:
        return [element["fixedCode"]]
    url = element.get("binding", {}).get("valueSet", "")
    try:
        systems = expand_value_set(url, package.value_sets, package.code_systems)
    except NotExpandableError:
        return []
    return [code for codes in systems.values() for code in codes]
