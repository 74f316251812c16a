"""Number and quantity tests: stored values are numeric ranges, mostly of one point.

Source: search specification, 4.2 Prefix table, 4.6 quantity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.search.values import NumberValue, Prefix, QuantityValue
from boxruntime.storage.search.places import (
    NoShapeError,
    Row,
    all_of,
    any_of,
    contains,
    exists_at,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.fhir.search.query import Location, Match
    from boxruntime.storage.search.statement import Binder

CURRENCIES = "urn:iso:std:iso:4217"
_PARTS: dict[str, tuple[str | None, ...]] = {
    # where the unit of a datatype stands; None = beside the value
    "Range": ("low", "high"),
    "SampledData": ("origin",),
}


def number_match(row: Row, match: Match, binder: Binder) -> str:
    """Return the test of a number or quantity condition."""
    return any_of(_at(row, place, match.values, binder) for place in match.parameter.locations)


def _at(row: Row, place: Location, values: Sequence[Any], binder: Binder) -> str:
    alias = binder.alias()
    tests, narrowing = [], []
    for value in values:
        if isinstance(value, QuantityValue):
            unit = _unit_test(alias, place, value, binder)
            tests.append(all_of([range_test(alias, value.number, binder), unit]))
            narrowing.append(_narrow(row, place, value, binder))
        elif isinstance(value, NumberValue):
            tests.append(range_test(alias, value, binder))
            narrowing.append("true")
    return all_of([any_of(narrowing), exists_at(row, place.steps, any_of(tests), alias)])


def range_test(alias: str, value: NumberValue, binder: Binder) -> str:
    """Return the comparison of a stored value (jsonb) with the written number."""
    stored = f"box_number_range({alias})"
    number = binder.numeric(value.number)
    match value.prefix:
        case Prefix.EQ | Prefix.NE:
            implied = f"numrange({binder.numeric(value.lo)}, {binder.numeric(value.hi)})"
            inside = f"{stored} <@ {implied}"
            return inside if value.prefix is Prefix.EQ else f"NOT {inside}"
        case Prefix.GT:
            return f"{stored} && numrange({number}, NULL, '()')"
        case Prefix.LT:
            return f"{stored} && numrange(NULL, {number}, '()')"
        case Prefix.GE:
            return f"{stored} && numrange({number}, NULL)"
        case Prefix.LE:
            return f"{stored} && numrange(NULL, {number}, '(]')"
        case Prefix.SA:
            return f"{stored} >> numrange({number}, {number}, '[]')"
        case Prefix.EB:
            return f"{stored} << numrange({number}, {number}, '[]')"
        case Prefix.AP:
            return f"{stored} && numrange({binder.numeric(value.lo)}, {binder.numeric(value.hi)}, '[]')"


def _unit_leaves(place: Location, value: QuantityValue) -> list[dict[str, Any]]:
    """Return the forms in which the unit may be stored; empty = any unit will do."""
    if value.system is None and value.code is None:
        return []
    if place.datatype == "Money":
        if value.system not in (None, CURRENCIES):
            return [{"currency": ""}]  # a currency belongs to one system only
        return [{"currency": value.code}] if value.code is not None else []
    leaf: dict[str, Any] = {}
    if value.system is not None:
        leaf["system"] = value.system
    if value.code is not None:
        leaf["code"] = value.code
    leaves = [leaf]
    if value.system is None:
        leaves.append({"unit": value.code})
    parts = _PARTS.get(place.datatype or "", (None,))
    return [leaf if part is None else {part: leaf} for part in parts for leaf in leaves]


def _unit_test(alias: str, place: Location, value: QuantityValue, binder: Binder) -> str:
    leaves = _unit_leaves(place, value)
    if not leaves:
        return "true"
    return any_of(f"{alias} @> {binder.jsonb(leaf)}" for leaf in leaves)


def _narrow(row: Row, place: Location, value: QuantityValue, binder: Binder) -> str:
    """Return what the GIN index can tell of the unit; always implied by the full test."""
    if place.datatype is None:
        return "true"
    leaves = _unit_leaves(place, value)
    try:
        return (
            any_of(contains(row, place.steps, leaf, binder) for leaf in leaves)
            if leaves
            else "true"
        )
    except NoShapeError:
        return "true"
