"""Which profiles the box can hold a resource to: its own, and those of the FHIR version.

Source: core specification, "$validate" (profile) and "AidboxProfile"; FHIR R4, meta.profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.examination.rules import rules_of
from boxruntime.fhir.outcome import Dialect, Issue

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.profiles.registry import Profile

_BASE = "http://hl7.org/fhir/StructureDefinition/"


def named_profiles(box: Box, canonicals: tuple[str, ...]) -> list[Profile]:
    """Return the profiles of the box that are asked for, by URL or by the id of their resource."""
    found = [box.profiles.find(each) or box.profiles.with_id(each) for each in canonicals]
    return [profile for profile in found if profile is not None]


def has_rules(dialect: Dialect, box: Box, canonical: str, resource_type: str) -> bool:
    """Tell whether the box can hold resources of a type to a profile.

    The definition of the type itself, and those it is built on, always hold; at /fhir also the
    vital signs.
    """
    if named_profiles(box, (canonical,)):
        return True
    url = canonical.partition("|")[0]
    if dialect is Dialect.FHIR and url in rules_of(box.metadata.fhir_version).vital_signs:
        return resource_type == "Observation"
    base, _, name = url.rpartition("/")
    return f"{base}/" == _BASE and name in _bases(box.metadata, resource_type)


def _bases(metadata: Metadata, resource_type: str) -> set[str]:
    names = set()
    known: str | None = metadata.fhir_type(resource_type)
    while known is not None:
        names.add(known.rpartition(":")[2])
        type_def = metadata.find_type(known)
        known = type_def.base if type_def is not None else None
    return names


def profile_issues(
    dialect: Dialect, box: Box, resource: dict[str, Any], resource_type: str, named: tuple[str, ...]
) -> list[Issue]:
    """Return an error for each named profile without rules, a warning for each in meta.profile."""
    issues = [
        Issue(
            message="the box has no rules for a named profile",
            type_name=resource_type,
            code="not-supported",
            severity="error",
        )
        for canonical in named
        if not has_rules(dialect, box, canonical, resource_type)
    ]
    meta = resource.get("meta")
    stated = meta.get("profile") if isinstance(meta, dict) else None
    for index, canonical in enumerate(stated if isinstance(stated, list) else ()):
        if isinstance(canonical, str) and not has_rules(dialect, box, canonical, resource_type):
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
