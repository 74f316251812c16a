"""Why a job on a box failed: a stable code, and what to tell the person.

All of them are the platform's problem: what a person can get wrong is refused before there is a
job (`tenants.errors`).
"""

from __future__ import annotations

from types import MappingProxyType

UNEXPECTED = "box:platform:error"
FAULTS = MappingProxyType(
    {
        "box:template:failed": "The database template could not be built.",
        "box:role:failed": "The database role could not be made.",
        "box:database:failed": "The database could not be made.",
        "box:database:lost": (
            "The box's database is missing. Nothing was made in its place, so that a backup can "
            "be restored."
        ),
        "box:credentials:unreadable": (
            "The box's stored credentials cannot be opened with the cluster's key."
        ),
        "box:host:unavailable": "The box host does not answer.",
        "box:host:refused": "The box host refused the box.",
        "box:health:failing": "The box started but does not answer.",
        UNEXPECTED: "Something unexpected went wrong.",
    }
)


def describe_fault(code: str) -> str:
    """Return the sentence for a fault code; a fixed one for a code of another version."""
    return FAULTS.get(code, FAULTS[UNEXPECTED])
