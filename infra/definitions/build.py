"""Puts the compiled parts of one FHIR version together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.definitions.compartments import compile_compartments
from infra.definitions.derived_compartments import derive_compartments
from infra.definitions.rules import compile_rules
from infra.definitions.search_parameters import compile_search_parameters
from infra.definitions.structures import compile_types, extension_datatypes
from infra.definitions.value_sets import expand_required

if TYPE_CHECKING:
    from infra.definitions.package import Json, Package
    from infra.definitions.pins import VersionPins


@dataclass(frozen=True, slots=True)
class Build:
    """The data files, and what could not be compiled (name -> reason)."""

    definitions: Json
    rules: Json
    left_out: dict[str, dict[str, str]]


def build_version(package: Package, pins: VersionPins) -> Build:
    """Return the definitions of one FHIR version. Pure: the same package gives the same result."""
    types = compile_types(package.structures)
    value_sets, unexpanded = expand_required(
        types,
        package.value_sets,
        package.code_systems,
        code_lists=package.code_lists,
        unlisted=package.unlisted,
    )
    search = compile_search_parameters(
        package.search_parameters, types, extension_datatypes(package.structures)
    )
    compartments = compile_compartments(package.compartments) or derive_compartments(
        package.neighbour_compartments, types, search.parameters
    )
    origin = {
        "fhirVersion": pins.fhir_version,
        "module": pins.module,
        "sources": [source.as_json() for source in pins.sources],
    }
    return Build(
        definitions={
            **origin,
            "types": types,
            "valueSets": value_sets,
            "searchParameters": search.parameters,
            "compartments": compartments,
        },
        rules={**origin, **compile_rules(package, types)},
        left_out={"valueSets": unexpanded, "searchParameters": search.left_out},
    )
