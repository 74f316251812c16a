"""Membership of a compartment as a condition on rows.

Source: search specification, 6.6; core specification, "Compartments and `$lastn`".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.search.conditions import parse_condition
from boxruntime.fhir.search.errors import UnknownParameterError
from boxruntime.fhir.search.parameters import find_parameter
from boxruntime.fhir.search.query import AnyOf, Condition, IdMatch, Match
from boxruntime.fhir.search.values import ReferenceValue

if TYPE_CHECKING:
    from boxruntime.fhir.search.scope import Scope

_ID = re.compile(r"[A-Za-z0-9\-._]+")


def compartment_condition(scope: Scope, compartment: str, owner: str, type_name: str) -> Condition:
    """Return the test that a row of `type_name` is in the compartment `compartment`/`owner`.

    The caller has checked that the compartment is defined. Parameters that the type does not have
    say nothing: definitions are people's own.
    """
    definition = scope.metadata.compartments[compartment]
    found: list[Condition] = []
    for entry in definition.get("resource", ()):
        if entry.get("code") == type_name:
            for name in entry.get("param", ()):
                condition = _membership(scope, compartment, owner, type_name, name)
                if condition is not None:
                    found.append(condition)
    return AnyOf(tuple(found))


def check_listed(scope: Scope, compartment: str, type_name: str) -> None:
    """Return if the compartment lists the type. Raises OutcomeError NOT_FOUND."""
    rows = scope.metadata.compartments[compartment].get("resource", ())
    if not any(row.get("code") == type_name for row in rows):
        raise OutcomeError(Fault.NOT_FOUND, f"Compartment {compartment} does not list {type_name}.")


def _membership(
    scope: Scope, compartment: str, owner: str, type_name: str, name: str
) -> Condition | None:
    if name == "{def}":
        return IdMatch((owner,))
    if "." in name:
        if not _ID.fullmatch(owner):
            return None  # no resource has that id, and a value of a search has its own syntax
        try:
            return parse_condition(scope, type_name, name, f"{compartment}/{owner}")
        except (UnknownParameterError, OutcomeError):
            return None
    parameter = find_parameter(scope.metadata, type_name, name)
    if parameter is None or parameter.type != "reference":
        return None
    return Match(parameter, (ReferenceValue(type=compartment, id=owner),))
