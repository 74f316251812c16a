"""What differs between FHIR versions in how resources travel, beyond types and elements.

Source: FHIR DSTU2 and R4, JSON and RESTful API; FHIR OperationOutcome of each version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Metadata

COMMENTS = "fhir_comments"
"""DSTU2's JSON form of comments: a member any object and any `_x` may have."""

# What a version that lacks a code says instead: the code above it in the value set's hierarchy.
_BROADER_CODES = {"deleted": "not-found", "multiple-matches": "processing"}
_REFERENCE_MEMBERS = ("extension", "type", "identifier", "display")
_SHADOW_MEMBERS = frozenset({"id", "extension"})
_SHADOW_MEMBERS_OF_DSTU2 = _SHADOW_MEMBERS | {COMMENTS}
_INDEX = re.compile(r"\[(\d+)\]")
_CHOICE = re.compile(r"(\w+)((?:\[\d+\])?)\.ofType\((\w)(\w*)\)")


def is_dstu2(metadata: Metadata) -> bool:
    """Tell whether the version is DSTU2, which has a media type and comments of its own."""
    return metadata.fhir_version.startswith("1.")


def json_media_type(metadata: Metadata | None) -> str:
    """Return the media type of FHIR JSON; unknown metadata means R4's."""
    if metadata is not None and is_dstu2(metadata):
        return "application/json+fhir"
    return "application/fhir+json"


def conformance_type(metadata: Metadata) -> str:
    """Return the type of the resource at /fhir/metadata."""
    name = "CapabilityStatement"
    return name if name in metadata.resource_types else "Conformance"


def code_system(metadata: Metadata, name: str) -> str:
    """Return the URL of a code system that moved to terminology.hl7.org with R4.

    v3-ObservationValue -> http://hl7.org/fhir/v3/ObservationValue before.
    """
    if metadata.fhir_version.startswith(("1.", "3.")):
        return f"http://hl7.org/fhir/{name.replace('v3-', 'v3/')}"
    return f"http://terminology.hl7.org/CodeSystem/{name}"


def binary_data(metadata: Metadata) -> str:
    """Return the element of a Binary that holds the bytes: `content` before R4."""
    return "data" if "data" in metadata.types["Binary"].elements else "content"


def reference_members(metadata: Metadata) -> frozenset[str]:
    """Return what may stand in a FHIR Reference: no `type` before R4, no `identifier` in DSTU2."""
    cache = metadata.artefacts("reference_members")
    members: frozenset[str] | None = cache.get("Reference")
    if members is None:
        known = metadata.types["Reference"].elements
        names = {"reference", "id", *(name for name in _REFERENCE_MEMBERS if name in known)}
        names |= {f"_{name}" for name in ("reference", "type", "display") if name in names}
        if is_dstu2(metadata):
            names.add(COMMENTS)
        members = cache["Reference"] = frozenset(names)
    return members


def shadow_members(metadata: Metadata) -> frozenset[str]:
    """Return what may stand in an `_x`, beside a primitive value or in place of one."""
    return _SHADOW_MEMBERS_OF_DSTU2 if is_dstu2(metadata) else _SHADOW_MEMBERS


def issue_code(metadata: Metadata | None, code: str) -> str:
    """Return the issue code, or the broader one where this version does not know it."""
    if metadata is None or code not in _BROADER_CODES:
        return code
    element = metadata.find_element("OperationOutcome", ("issue", "code"))
    if element is None or element.codes is None or code in element.codes:
        return code
    return _BROADER_CODES[code]


def issue_place(metadata: Metadata | None, expression: str) -> tuple[str, str]:
    """Return the member of an issue that tells its place, and its value.

    A FHIRPath in `expression`; DSTU2 has only `location`, an XPath.
    """
    if metadata is None or metadata.find_element("OperationOutcome", ("issue", "expression")):
        return "expression", expression
    return "location", xpath_of(expression)


def xpath_of(expression: str) -> str:
    """Return the XPath of a place that is written as FHIRPath.

    Observation.component[0].value.ofType(Quantity) -> /f:Observation/f:component[1]/f:valueQuantity
    """
    text = _CHOICE.sub(lambda match: match[1] + match[3].upper() + match[4] + match[2], expression)
    text = re.sub(r"\.where\(url = '([^']*)'\)", r"[@url='\1']", text)
    steps = re.split(r"\.(?![^\[]*\])", text)
    counted = (_INDEX.sub(lambda match: f"[{int(match[1]) + 1}]", step) for step in steps)
    return "".join(f"/f:{step}" for step in counted)
