"""Which profiles the box can hold a resource to.

Source: core specification, "$validate" (profile) and "AidboxProfile"; FHIR R4, meta.profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.examination.rules import rules_of
from boxruntime.fhir.outcome import Dialect, Issue

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Metadata

_BASE = "http://hl7.org/fhir/StructureDefinition/"


def has_rules(dialect: Dialect, metadata: Metadata, profile: str, resource_type: str) -> bool:
    """Tell whether resources of a type are held to a profile, named by its canonical URL.

    The definition of the type itself, and those it is built on, always hold; at /fhir also the
    vital signs.
    """
    url = profile.partition("|")[0]
    if dialect is Dialect.FHIR and url in rules_of(metadata.fhir_version).vital_signs:
        return resource_type == "Observation"
    base, _, name = url.rpartition("/")
    if f"{base}/" != _BASE:
        return False
    known: str | None = metadata.fhir_type(resource_type)
    while known is not None:
        if known.rpartition(":")[2] == name:
            return True
        type_def = metadata.find_type(known)
        known = type_def.base if type_def is not None else None
    return False


def profile_issues(
    dialect: Dialect,
    metadata: Metadata,
    resource: dict[str, Any],
    resource_type: str,
    named: tuple[str, ...],
) -> list[Issue]:
    """Return an error for each named profile without rules, a warning for each in meta.profile."""
    issues = [
        Issue(
            message="the box has no rules for a named profile",
            type_name=resource_type,
            code="not-supported",
            severity="error",
        )
        for profile in named
        if not has_rules(dialect, metadata, profile, resource_type)
    ]
    meta = resource.get("meta")
    stated = meta.get("profile") if isinstance(meta, dict) else None
    for index, profile in enumerate(stated if isinstance(stated, list) else ()):
        if isinstance(profile, str) and not has_rules(dialect, metadata, profile, resource_type):
            issues.append(
                Issue(
                    message="the box has no rules for this profile; it was not checked",
                    path=("meta", "profile", index),
                    type_name=resource_type,
                    code="not-supported",
                    severity="warning",
                )
            )
    return issues
