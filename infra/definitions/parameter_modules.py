"""Reads DSTU2's search parameters from the modules of a JavaScript server.

No package has the definitions themselves: the modules have name, type, path and URL of each
parameter, the path as XPath without prefixes (`Observation.component.valueQuantity`).

Source: FHIR DSTU2, SearchParameter; the components of composites from the search parameter
tables of the resources.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.definitions.package import Json

_ENTRY = re.compile(r"^  '?(?P<name>[\w-]+)'?: \{\n(?P<facts>.*?)^  \}", re.MULTILINE | re.DOTALL)
_FACT = re.compile(
    r"""^\s+(?P<name>\w+):\s+(?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)")""",
    re.MULTILINE,
)
_STEP = re.compile(r"(?P<name>\w+)(?P<criterion>\[.*\])?")
_SYSTEM = re.compile(r"\[(\w+)/@value='([^']*)'\]")
_URL = re.compile(r"\[@url='([^']*)'\]")
_SPLIT = re.compile(r"\.(?![^\[]*\])")

COMPOSITES = {
    "CarePlan-related": ("CarePlan.relatedPlan", {"relatedcode": "code", "relatedplan": "plan"}),
    "DiagnosticOrder-event-status-date": (
        "DiagnosticOrder.event",
        {"event-status": "status", "event-date": "dateTime"},
    ),
    "DiagnosticOrder-item-status-date": (
        "DiagnosticOrder.item",
        {"item-status": "status", "item-date": "event.dateTime"},
    ),
    "DocumentReference-relationship": (
        "DocumentReference.relatesTo",
        {"relation": "code", "relatesto": "target"},
    ),
    "Group-characteristic-value": (
        "Group.characteristic",
        {"characteristic": "code", "value": "value"},
    ),
    "Observation-related": (
        "Observation.related",
        {"related-type": "type", "related-target": "target"},
    ),
}
"""Composite -> (base, parameter -> path of the component)."""
_MEANT = {
    "Patient-deceased": "Patient.deceased.exists() and Patient.deceased != false",
    "Condition-onset-info": "Condition.onset.as(string)",
}
"""Parameters of which the modules keep one alternative, and whose description tells more."""


def read_parameters(modules: Iterable[str], structures: Iterable[Json]) -> list[Json]:
    """Return SearchParameters in the shape of R4."""
    paths = _Paths(structures)
    found = []
    for module in modules:
        for entry in _ENTRY.finditer(module):
            facts = {
                fact["name"]: re.sub(r"\\(.)", r"\1", fact["single"] or fact["double"] or "")
                for fact in _FACT.finditer(entry["facts"])
            }
            found.append(_parameter(entry["name"], facts, paths))
    return found


def _parameter(name: str, facts: dict[str, str], paths: _Paths) -> Json:
    url = facts["definition"]
    head, _, parameter_id = url.rpartition("/")
    # us-core-Patient-race says only in its path which type it is of.
    base = facts.get("xpath", "").partition(".")[0] or parameter_id.partition("-")[0]
    parameter: Json = {
        "resourceType": "SearchParameter",
        "id": parameter_id,
        "url": url,
        "code": name,
        "base": [base],
        "type": facts["type"],
        "description": facts.get("description", ""),
    }
    if parameter_id in COMPOSITES:
        parameter["expression"], components = COMPOSITES[parameter_id]
        parameter["component"] = [
            {"definition": f"{head}/{base}-{single}", "expression": path}
            for single, path in components.items()
        ]
    elif parameter_id in _MEANT:
        parameter["expression"] = _MEANT[parameter_id]
    elif facts.get("xpath"):
        # The modules keep one alternative of several: the others are found by their datatype.
        is_date = facts["type"] == "date"
        parameter["expression"] = paths.expression(facts["xpath"], whole_choice=is_date)
    return parameter


class _Paths:
    """Knows the elements of all types, to tell `valueQuantity` from an element of that name."""

    def __init__(self, structures: Iterable[Json]) -> None:
        self._elements: dict[str, list[str]] = {}
        for structure in structures:
            if structure.get("derivation") != "constraint":
                for element in structure["snapshot"]["element"]:
                    codes = [entry["code"] for entry in element.get("type", [])]
                    self._elements[element["path"]] = codes

    def expression(self, xpath: str, *, whole_choice: bool = False) -> str:
        """Return the FHIRPath of an XPath: valueQuantity -> value.as(Quantity).

        With `whole_choice` a choice at the end is not cut to the type in its name.
        """
        first, *steps = _SPLIT.split(xpath)
        place, result = first, first
        for written in steps:
            step = _STEP.fullmatch(written)
            if step is None:
                return xpath
            place, text = self._enter(place, step["name"])
            result += "." + text
            criterion = step["criterion"] or ""
            if match := _URL.fullmatch(criterion):
                result = result.removesuffix(".extension") + f".extension('{match[1]}')"
            elif match := _SYSTEM.fullmatch(criterion):
                result += f".where({match[1]}='{match[2]}')"
            elif criterion:
                # Bundle.entry.resource[0]: of the first entry.
                result = result.replace("entry.resource", f"entry{criterion}.resource")
        return re.sub(r"\.as\(\w+\)$", "", result) if whole_choice else result

    def _enter(self, place: str, name: str) -> tuple[str, str]:
        path = f"{place}.{name}"
        if path in self._elements:
            codes = self._elements[path]
            inside = codes[0] if len(codes) == 1 else ""
            return (path if inside in ("BackboneElement", "Element", "") else inside), name
        for known, codes in self._elements.items():
            above, _, choice = known.removesuffix("[x]").rpartition(".")
            if known.endswith("[x]") and above == place:
                if choice == name:
                    return path, name
                for code in codes:
                    if name == choice + code[0].upper() + code[1:]:
                        return code, f"{choice}.as({code})"
        return path, name
