"""The generated rules of a FHIR version that only `$validate` needs; read when first asked for.

Source: `infra/definitions/rules.py`, which writes the file.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec

from boxruntime.fhir.json_text import decode_json


class Constraint(msgspec.Struct, frozen=True):
    """One invariant of the base definitions."""

    key: str
    severity: str
    human: str
    expression: str


class Rules(msgspec.Struct, frozen=True):
    """What the definitions say beyond types and elements."""

    constraints: dict[tuple[str, str], tuple[Constraint, ...]]
    """(type, dotted path of the context; "" = the type itself) -> its invariants."""
    extensions: dict[str, dict[str, Any]]
    value_sets: dict[str, dict[str, frozenset[str]]]
    """URL -> system -> codes, of value sets that a Coding must come from."""
    code_systems: dict[str, dict[str, Any]]
    search_types: dict[str, str]
    """Last part of the URL of a published SearchParameter -> its type."""
    vital_signs: dict[str, dict[str, Any]]
    """URL of a profile -> LOINC code, allowed units, required components."""

    def knows_code(self, system: str, code: str) -> bool | None:
        """Tell whether a code belongs to a system; None for a system that is not held."""
        entry = self.code_systems.get(system)
        if entry is None:
            return None
        codes: str = entry["codes"]
        wanted = f"\n{code}\n"
        return wanted in codes or ("anyCase" in entry and wanted.lower() in codes.lower())


@lru_cache(maxsize=8)
def rules_of(fhir_version: str) -> Rules:
    """Return the rules of a FHIR version; none at all for one without a file. 5 ms, 1.5 MB."""
    source = files("boxruntime.fhir.definitions") / f"fhir-{fhir_version}-rules.json"
    content = decode_json(source.read_bytes()) if source.is_file() else {}
    constraints: dict[tuple[str, str], tuple[Constraint, ...]] = {}
    for owner, rows in content.get("constraints", {}).items():
        for row in rows:
            constraint = Constraint(row["key"], row["severity"], row["human"], row["expression"])
            place = (owner, row["path"])
            constraints[place] = (*constraints.get(place, ()), constraint)
    return Rules(
        constraints=constraints,
        extensions=content.get("extensions", {}),
        value_sets={
            url: {system: frozenset(codes) for system, codes in systems.items()}
            for url, systems in content.get("valueSets", {}).items()
        },
        code_systems=content.get("codeSystems", {}),
        search_types=content.get("searchTypes", {}),
        vital_signs=content.get("vitalSigns", {}),
    )
