"""Membership of a compartment as a condition on rows. Source: search specification, 6.6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.search.parameters import find_parameter
from boxruntime.fhir.search.query import AnyOf, Condition, IdMatch, Match
from boxruntime.fhir.search.values import ReferenceValue

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Metadata


def compartment_condition(
    metadata: Metadata, compartment: str, owner: str, type_name: str
) -> Condition:
    """Return the test that a row of `type_name` is in the compartment `compartment`/`owner`.

    The caller has checked that the compartment is defined.
    """
    definition = metadata.compartments[compartment]
    found: list[Condition] = []
    for entry in definition.get("resource", ()):
        if entry.get("code") != type_name:
            continue
        for name in entry.get("param", ()):
            if name == "{def}":
                found.append(IdMatch((owner,)))
                continue
            parameter = find_parameter(metadata, type_name, name)
            if parameter is not None and parameter.type == "reference":
                found.append(Match(parameter, (ReferenceValue(type=compartment, id=owner),)))
    return AnyOf(tuple(found))
