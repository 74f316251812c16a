"""Why a request failed: faults, issues and the exception that carries them.

Rendering into an OperationOutcome happens in `boxruntime.api.render`.
Source: core specification, "Errors"; FHIR R4 OperationOutcome.
"""

from __future__ import annotations

from enum import Enum, StrEnum, unique
from typing import TypeAlias

import msgspec

Path: TypeAlias = tuple[str | int, ...]
"""Location in the Aidbox-format resource, without the type: ("name", 0, "given")."""


@unique
class Dialect(StrEnum):
    """The representation a request speaks; chosen by the path prefix alone."""

    AIDBOX = "aidbox"
    FHIR = "fhir"


@unique
class Fault(Enum):
    """HTTP status, OperationOutcome id and FHIR issue code, paired once."""

    INVALID = (400, "invalid", "invalid")
    NOT_SUPPORTED_PARAMETER = (400, "invalid", "not-supported")
    LOGIN = (401, "login", "login")
    FORBIDDEN = (403, "forbidden", "forbidden")
    NOT_FOUND = (404, "not-found", "not-found")
    METHOD_NOT_ALLOWED = (405, "not-supported", "not-supported")
    NOT_ACCEPTABLE = (406, "not-supported", "not-supported")
    CONFLICT = (409, "conflict", "conflict")
    GONE = (410, "deleted", "deleted")
    PRECONDITION_FAILED = (412, "conflict", "conflict")
    MULTIPLE_MATCHES = (412, "multiple-matches", "multiple-matches")
    TOO_LARGE = (413, "too-costly", "too-costly")
    URI_TOO_LONG = (414, "too-long", "too-long")
    UNSUPPORTED_MEDIA_TYPE = (415, "not-supported", "not-supported")
    UNPROCESSABLE = (422, "validationfail", "invalid")
    HEADER_TOO_LARGE = (431, "too-long", "too-long")
    EXCEPTION = (500, "exception", "exception")
    NOT_IMPLEMENTED = (501, "not-supported", "not-supported")
    TRANSIENT = (503, "transient", "transient")
    TIMEOUT = (504, "timeout", "timeout")

    def __init__(self, status: int, outcome_id: str, code: str) -> None:
        self.status = status
        self.outcome_id = outcome_id
        self.code = code


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `message` never quotes a value of the resource: it may be health data."""

    message: str
    path: Path = ()
    type_name: str | None = None
    """The resource type that `path` starts at; None when the finding has no place."""
    expression: str | None = None
    """Ready-made expression; None lets the renderer derive it from type_name and path."""
    code: str | None = None
    """FHIR issue code; None takes the fault's."""
    severity: str = "fatal"
    profile: str | None = None
    """Id of the AidboxProfile that demands it."""


class OutcomeError(Exception):
    """An expected failure. Stages raise it; only the pipeline turns it into a response."""

    def __init__(self, fault: Fault, issues: str | Issue | list[Issue]) -> None:
        if isinstance(issues, str):
            issues = [Issue(message=issues)]
        elif isinstance(issues, Issue):
            issues = [issues]
        super().__init__(fault.name)
        self.fault = fault
        self.issues = issues
