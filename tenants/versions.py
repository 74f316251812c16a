"""The FHIR versions a box can have. Fixed at creation; written `fhir-4.0.1` in the RPC API.

The box runtime says which there are; the settings pass it on.
"""

from __future__ import annotations

from types import MappingProxyType

from django.conf import settings

from tenants.errors import InvalidRequestError

FHIR_VERSIONS = MappingProxyType(dict(settings.FHIR_VERSIONS))
"""Version -> label, the default first."""
DEFAULT_FHIR_VERSION = next(iter(FHIR_VERSIONS))


def check_fhir_version(text: str) -> str:
    """Return `4.0.1` for `4.0.1`, `fhir-4.0.1` or `4.0.0`. Raises InvalidRequestError.

    A version that another one only corrects in its texts means that other one.
    """
    version = text.removeprefix("fhir-")
    version = settings.FHIR_VERSION_ALIASES.get(version, version)
    if version not in FHIR_VERSIONS:
        offered = ", ".join(FHIR_VERSIONS)
        raise InvalidRequestError(
            "fhirVersion", f"This FHIR version is not offered. Choose one of: {offered}."
        )
    return version
