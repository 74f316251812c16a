"""A box's rules made from StructureDefinitions, without a box: FHIR in, findings out."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from boxruntime.fhir.formats import to_aidbox, to_fhir
from boxruntime.fhir.metadata import Metadata, base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.profiles.convert import Conversion, convert
from boxruntime.fhir.profiles.library import Library
from boxruntime.fhir.profiles.registry import ProfileSet
from boxruntime.fhir.validation import validate

BASE = base_metadata("4.0.1")
DATA = Path(__file__).parents[3] / "data" / "us-core"
CANONICAL = "http://example.org/StructureDefinition/"
FHIR = "http://hl7.org/fhir/StructureDefinition/"


class Rules:
    """What came of definitions, and the metadata that goes with it."""

    def __init__(self, *resources: dict[str, Any], metadata: Metadata = BASE) -> None:
        self.conversion: Conversion = convert(
            Library(metadata, resources),
            [
                one
                for one in resources
                if one["resourceType"] == "StructureDefinition"
                and one["derivation"] == "constraint"
            ],
        )
        attributes = self.conversion.attributes
        self.metadata = metadata.with_records([], attributes) if attributes else metadata
        self.profiles = ProfileSet(self.conversion.profiles)

    def stored(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Return the resource in Aidbox format."""
        return to_aidbox(self.metadata, resource["resourceType"], resource).resource

    def found(self, resource: dict[str, Any], dialect: Dialect = Dialect.FHIR) -> list[Any]:
        """Return (expression, message) of everything wrong with a resource in FHIR format."""
        type_name = resource["resourceType"]
        converted = to_aidbox(self.metadata, type_name, resource)
        issues = converted.issues + validate(
            self.metadata, type_name, converted.resource, dialect, self.profiles
        )
        return [(issue.expression, issue.message) for issue in issues]

    def round_trip(self, resource: dict[str, Any]) -> dict[str, Any]:
        return to_fhir(self.metadata, self.stored(resource))


def element(path: str, **facts: Any) -> dict[str, Any]:
    """Return an ElementDefinition; `slice` names the slice, `id` may stand apart."""
    name = facts.pop("slice", None)
    found = {"id": path, "path": ".".join(s.partition(":")[0] for s in path.split(".")), **facts}
    return {**found, "sliceName": name} if name else found


def profile(type_name: str, *elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a profile with a differential; its url ends with its id."""
    id_ = more.pop("id", "p")
    return {
        "resourceType": "StructureDefinition",
        "id": id_,
        "url": CANONICAL + id_,
        "name": "P",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type_name,
        "derivation": "constraint",
        "baseDefinition": FHIR + type_name,
        "differential": {"element": [{"id": type_name, "path": type_name}, *elements]},
        **more,
    }


def declaring(resource: dict[str, Any], id_: str = "p") -> dict[str, Any]:
    return {**resource, "meta": {"profile": [CANONICAL + id_]}}


@cache
def definitions(name: str) -> tuple[dict[str, Any], ...]:
    """Return the resources of a file of published definitions."""
    with gzip.open(DATA / f"{name}.ndjson.gz") as lines:
        return tuple(json.loads(line) for line in lines)
