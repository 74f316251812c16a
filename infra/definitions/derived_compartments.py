"""The compartments of a FHIR version that no package has, from those of a neighbour.

FHIR made DSTU2's from the same table as STU3's, and R4B's and R5's from R4's. Entries of types
and parameters that the version lacks fall away (`MedicationOrder.patient` is none of STU3's);
a type that the neighbour lacks is in a compartment by the parameters that name its member.

Source: FHIR, CompartmentDefinition; the table of patient, encounter, ... parameters in each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.definitions.package import Json

MEMBERS = {
    "Patient": ("patient", "subject"),
    "Encounter": ("encounter", "context"),
    "RelatedPerson": (),
    "Practitioner": ("practitioner", "author", "performer"),
    "Device": ("device",),
}
"""Compartment -> parameters by which a type that the neighbour lacks belongs to it."""


def derive_compartments(
    neighbour: Iterable[Json], types: dict[str, Json], parameters: dict[str, Json]
) -> dict[str, Json]:
    """Return code -> {"url", "resource"} as `compile_compartments` does."""
    result: dict[str, Json] = {}
    resources = [name for name, each in types.items() if each["kind"] == "resource"]
    for definition in sorted(neighbour, key=lambda each: str(each["code"])):
        if definition["id"] == "example":
            continue
        code = definition["code"]
        known = {entry["code"]: entry.get("param", []) for entry in definition["resource"]}
        entries = []
        for name in resources:
            wanted = known[name] if name in known else _members(code, name, parameters)
            kept = [
                each
                for each in wanted
                if each == "{def}" or f"{name}.{each.partition('.')[0]}" in parameters
            ]
            entries.append({"code": name, "param": kept} if kept else {"code": name})
        result[code] = {"url": definition["url"], "resource": entries}
    return result


def _members(code: str, name: str, parameters: dict[str, Json]) -> list[str]:
    found = []
    for member in MEMBERS.get(code, ()):
        parameter = parameters.get(f"{name}.{member}")
        if parameter is not None and code in parameter.get("target", (code,)):
            found.append(member)
    return found
