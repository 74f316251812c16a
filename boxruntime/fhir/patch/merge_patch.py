"""Merge Patch: an object that says which members change; null removes one.

Spec: https://www.rfc-editor.org/rfc/rfc7386
Source: core specification, "Patch".
"""

from __future__ import annotations

from typing import Any

from boxruntime.fhir.patch.refusal import malformed


def parse_merge_patch(body: Any) -> dict[str, Any]:
    """Return the body if it is a merge patch of a resource. Raises OutcomeError INVALID."""
    if not isinstance(body, dict):
        raise malformed("A merge patch is an object.")
    return body


def apply_merge_patch(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the patch laid over it; neither is changed.

    Arrays are replaced whole, with the nulls that are in them.
    """
    merged = document.copy()
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = apply_merge_patch(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged
