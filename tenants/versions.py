"""The FHIR versions a box can have. Fixed at creation; written `fhir-4.0.1` in the RPC API."""

from __future__ import annotations

from types import MappingProxyType

from tenants.errors import InvalidRequestError

FHIR_VERSIONS = MappingProxyType({"4.0.1": "FHIR R4 (4.0.1)"})
"""Version -> label, newest first. Only versions whose template database can be built."""


def check_fhir_version(text: str) -> str:
    """Return `4.0.1` for `4.0.1` or `fhir-4.0.1`. Raises InvalidRequestError."""
    version = text.removeprefix("fhir-")
    if version not in FHIR_VERSIONS:
        offered = ", ".join(FHIR_VERSIONS)
        raise InvalidRequestError(
            "fhirVersion", f"This FHIR version is not offered. Choose one of: {offered}."
        )
    return version
