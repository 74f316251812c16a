"""Why a job on a box failed: a stable code, whose problem it is, and what to tell the person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Whose(StrEnum):
    PERSON = "person"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class BoxFault:
    code: str
    whose: Whose
    sentence: str


_FAULTS = (
    BoxFault(
        "box:broker:unavailable",
        Whose.PLATFORM,
        "The job queue does not answer. The work is recorded and begins as soon as it does.",
    ),
    BoxFault("box:template:failed", Whose.PLATFORM, "The database template could not be built."),
    BoxFault("box:role:failed", Whose.PLATFORM, "The database role could not be made."),
    BoxFault("box:database:failed", Whose.PLATFORM, "The database could not be made."),
    BoxFault(
        "box:database:lost",
        Whose.PLATFORM,
        "The box's database is missing. Nothing was made in its place, so that a backup can be "
        "restored.",
    ),
    BoxFault(
        "box:credentials:unreadable",
        Whose.PLATFORM,
        "The box's stored credentials cannot be opened with the cluster's key.",
    ),
    BoxFault("box:host:unavailable", Whose.PLATFORM, "The box host does not answer."),
    BoxFault("box:host:refused", Whose.PLATFORM, "The box host refused the box."),
    BoxFault("box:health:failing", Whose.PLATFORM, "The box started but does not answer."),
    BoxFault("box:platform:error", Whose.PLATFORM, "Something unexpected went wrong."),
)

FAULTS = {fault.code: fault for fault in _FAULTS}


def describe_fault(code: str) -> str:
    """Return the sentence for a fault code; a fixed one for a code of another version."""
    fault = FAULTS.get(code) or FAULTS["box:platform:error"]
    return fault.sentence
