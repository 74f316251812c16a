"""Why a patch cannot be applied. No text here quotes a path or a value: both may be health data.

Source: core specification, "Patch".
"""

from __future__ import annotations

from msgspec import structs

from boxruntime.fhir.outcome import Fault, Issue, OutcomeError

MAX_OPERATIONS = 10_000
"""Each operation costs up to the size of the resource; this many small ones take a second."""


def malformed(message: str, expression: str | None = None) -> OutcomeError:
    """Return the 400 of a patch that is none, or whose target is not there."""
    return OutcomeError(Fault.INVALID, Issue(message=message, expression=expression))


def too_costly(message: str) -> OutcomeError:
    """Return the 413 of a patch that would take more than a request may."""
    return OutcomeError(Fault.TOO_LARGE, message)


def located(error: OutcomeError, expression: str) -> OutcomeError:
    """Return the failure with the place in the patch, unless it has one."""
    return OutcomeError(
        error.fault,
        [
            issue if issue.expression else structs.replace(issue, expression=expression)
            for issue in error.issues
        ],
    )
