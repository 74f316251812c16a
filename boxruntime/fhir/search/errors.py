"""Failures of a search request, as outcomes.

Messages name the parameter, never its value.
Source: search specification, 2 Requests, Handling and Errors.
"""

from __future__ import annotations

from boxruntime.fhir.outcome import Fault, Issue, OutcomeError


class UnknownParameterError(Exception):
    """A parameter, include or sort key the type does not have; `name` as it was written.

    Lenient handling ignores it, strict handling makes it a failure.
    """

    def __init__(self, name: str, *, what: str = "search parameter") -> None:
        super().__init__(name)
        self.name = name
        self.what = what

    @property
    def message(self) -> str:
        return f"The {self.what} {shown(self.name)} is not known here."


def invalid(name: str, problem: str) -> OutcomeError:
    """A value or modifier that makes no sense: 400 under any handling."""
    return OutcomeError(Fault.INVALID, Issue(message=f"Parameter {shown(name)}: {problem}."))


def not_supported(name: str, problem: str = "this is not supported") -> OutcomeError:
    """Something known that we refuse: 400 under any handling."""
    return OutcomeError(
        Fault.NOT_SUPPORTED_PARAMETER, Issue(message=f"Parameter {shown(name)}: {problem}.")
    )


def shown(name: str) -> str:
    """Return a parameter name fit for a message: short, printable."""
    text = "".join(c for c in name if c.isprintable())
    return text if len(text) <= 80 else text[:77] + "..."
