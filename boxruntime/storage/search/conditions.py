"""Conditions of a Query as SQL tests on a row.

Source: search specification, 4 to 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from boxruntime.fhir.search.query import (
    AllOf,
    AnyOf,
    Chain,
    Condition,
    DotMatch,
    FullText,
    Hierarchy,
    IdMatch,
    InValueSet,
    ListMember,
    Location,
    Match,
    Missing,
    Near,
    Not,
    Parameter,
    ReverseChain,
    SetMatch,
    Step,
    Substrings,
    Subsumption,
    TimeMatch,
)
from boxruntime.fhir.search.values import Joined, Value
from boxruntime.storage.search import chains, special
from boxruntime.storage.search.dates import date_match, time_match
from boxruntime.storage.search.numbers import number_match
from boxruntime.storage.search.places import (
    FALSE,
    Row,
    all_of,
    any_of,
    exists_at,
    typed_values,
)
from boxruntime.storage.search.references import reference_match
from boxruntime.storage.search.strings import string_match, uri_match
from boxruntime.storage.search.tokens import token_match

if TYPE_CHECKING:
    from boxruntime.fhir.outcome import Dialect
    from boxruntime.storage.search.statement import Binder


class Compiler(NamedTuple):
    """Turns conditions into tests, collecting the parameters of one statement."""

    binder: Binder
    dialect: Dialect
    fhir_comparisons: bool = True

    def test(self, row: Row, condition: Condition) -> str:
        """Return a SQL expression that is true for the rows the condition wants."""
        match condition:
            case Match():
                return self._match(row, condition)
            case Missing():
                return self._missing(row, condition)
            case IdMatch(ids):
                return special.id_match(row, ids, self.binder)
            case TimeMatch():
                if row.alias is None:
                    return FALSE  # a contained resource has no times of its own
                return time_match(row, condition, self.binder, self.dialect)
            case Not(inner):
                # Rows without a value too: NULL is not true.
                return f"({self.test(row, inner)}) IS NOT TRUE"
            case AllOf(conditions):
                return all_of(self.test(row, inner) for inner in conditions)
            case AnyOf(conditions):
                return any_of(self.test(row, inner) for inner in conditions)
            case Chain():
                return chains.chain(self, row, condition)
            case ReverseChain():
                return chains.reverse_chain(self, row, condition)
            case Hierarchy():
                return chains.hierarchy(self, row, condition)
            case DotMatch():
                return special.dot_match(row, condition, self.binder)
            case ListMember():
                return special.list_member(row, condition, self.binder)
            case Substrings():
                return special.substrings(row, condition, self.binder)
            case FullText():
                return special.full_text(row, condition, self.binder)
            case Near():
                return special.near(row, condition, self.binder)
            case SetMatch():
                return special.set_match(row, condition, self.binder)
            case InValueSet() | Subsumption():
                raise TypeError("terminology is resolved before a query is compiled")

    def _match(self, row: Row, match: Match) -> str:
        binder = self.binder
        match match.parameter.type:
            case "token":
                return token_match(row, match, binder)
            case "reference":
                return reference_match(row, match, binder)
            case "string":
                return string_match(row, match, binder, self.dialect)
            case "date":
                return date_match(row, match, binder, fhir_comparisons=self.fhir_comparisons)
            case "number" | "quantity":
                return number_match(row, match, binder)
            case "uri":
                return uri_match(row, match, binder)
            case "composite":
                return self._composite(row, match)
            case other:
                raise TypeError(f"a parameter of type {other} has no test of its own")

    def _missing(self, row: Row, missing: Missing) -> str:
        found = []
        for place in missing.parameter.locations:
            if place.types:
                found.append(f"EXISTS (SELECT 1 FROM {typed_values(place, row)} AS v)")
            else:
                found.append(exists_at(row, place.steps, None, self.binder.alias()))
        test = any_of(found)
        return f"NOT {test}" if missing.missing else test

    def _composite(self, row: Row, match: Match) -> str:
        """All components hold on the same node of the composite's base path."""
        found = []
        for base in match.parameter.bases:
            alias = self.binder.alias()
            node = row.inside(alias) if base.steps else row
            tests = any_of(
                all_of(
                    self._match(row if from_root else node, Match(component, (value,)))
                    for (component, from_root), value in zip(
                        base.components, _parts(joined), strict=True
                    )
                )
                for joined in match.values
            )
            if not base.steps:
                found.append(tests)
                continue
            narrowing = self._narrow(row, match, base.steps)
            found.append(all_of([narrowing, exists_at(row, base.steps, tests, alias)]))
        return any_of(found)

    def _narrow(self, row: Row, match: Match, steps: tuple[Step, ...]) -> str:
        """Return the token components as tests on the whole row, which the GIN index serves."""
        found = []
        for base in match.parameter.bases:
            if base.steps != steps:
                continue
            for joined in match.values:
                tests = []
                for (component, from_root), value in zip(
                    base.components, _parts(joined), strict=True
                ):
                    if component.type == "token" and not from_root:
                        placed = Parameter(
                            component.name,
                            component.type,
                            tuple(
                                Location((*base.steps, *place.steps), place.datatype, place.types)
                                for place in component.locations
                            ),
                        )
                        tests.append(token_match(row, Match(placed, (value,)), self.binder))
                found.append(all_of(tests))
        return any_of(found)


def _parts(value: Value) -> tuple[Value, ...]:
    assert isinstance(value, Joined)
    return value.values
