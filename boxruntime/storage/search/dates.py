"""Date tests: the range a stored value stands for against the range that was written.

Source: search specification, 4.1 Precision table, 4.2 Prefix table, 6.2 `_lastUpdated`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.search.query import Match
from boxruntime.fhir.search.values import DateValue, Prefix
from boxruntime.storage.search.places import TRUE, Row, any_of, exists_at, single_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.fhir.search.query import Condition, Location, Parameter, TimeMatch
    from boxruntime.storage.search.statement import Binder


DATES: dict[str, str] = {
    "AllergyIntolerance": "date",
    "Appointment": "date",
    "AuditEvent": "date",
    "CarePlan": "date",
    "ClinicalImpression": "date",
    "Communication": "sent",
    "Composition": "date",
    "Condition": "recorded-date",
    "DiagnosticReport": "date",
    "DocumentReference": "date",
    "Encounter": "date",
    "ExplanationOfBenefit": "created",
    "ImagingStudy": "started",
    "Immunization": "date",
    "MedicationAdministration": "effective-time",
    "MedicationRequest": "authoredon",
    "MedicationStatement": "effective",
    "Observation": "date",
    "Patient": "birthdate",
    "Procedure": "date",
    "QuestionnaireResponse": "authored",
    "ServiceRequest": "authored",
    "Slot": "start",
    "Task": "authored-on",
}
"""Type -> its main date parameter, whose range is indexed."""


def date_match(row: Row, match: Match, binder: Binder, *, fhir_comparisons: bool) -> str:
    """Return the test of a date condition."""
    values = [value for value in match.values if isinstance(value, DateValue)]
    compare = range_test if fhir_comparisons else legacy_test
    stored = single_date(match.parameter, row)
    if stored is not None:
        lo, hi = f"box_date_lo({stored})", f"box_date_hi({stored})"
        return any_of(compare(lo, hi, value, binder) for value in values)
    return any_of(
        _at(row, place, values, binder, fhir_comparisons=fhir_comparisons)
        for place in match.parameter.locations
    )


def _at(
    row: Row,
    place: Location,
    values: Sequence[DateValue],
    binder: Binder,
    *,
    fhir_comparisons: bool,
) -> str:
    alias = binder.alias()
    lo, hi = f"box_date_lo({alias})", f"box_date_hi({alias})"
    compare = range_test if fhir_comparisons else legacy_test
    test = any_of(compare(lo, hi, value, binder) for value in values)
    return exists_at(row, place.steps, test, alias)


def single_date(parameter: Parameter, row: Row) -> str | None:
    """Return the one value of a parameter as an expression, None if there may be several.

    The alternatives of one choice exclude each other, so the first that is there is the only one.
    """
    places = parameter.locations
    if not places or not all(place.single and len(place.steps) > 0 for place in places):
        return None
    if len({place.steps[:-1] for place in places}) > 1:
        return None
    if len(places) > 1 and len(places[0].steps) < 2:
        return None
    found = [single_value(row, place.steps) for place in places]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def range_test(lo: str, hi: str, value: DateValue, binder: Binder) -> str:
    """Return FHIR's comparison of the stored range [lo, hi) with the written one.

    Some tests state what follows from them anyway (`hi > start`), so that an index on `hi`
    alone serves them.
    """
    start, end = binder.timestamp(value.lo), binder.timestamp(value.hi)
    match value.prefix:
        case Prefix.EQ:
            return f"({hi} > {start} AND {lo} >= {start} AND {hi} <= {end})"
        case Prefix.NE:
            return f"NOT ({lo} >= {start} AND {hi} <= {end})"
        case Prefix.GT:
            return f"{hi} > {end}"
        case Prefix.LT:
            return f"{lo} < {start}"
        case Prefix.GE:
            return f"({hi} > {start} AND ({hi} > {end} OR {lo} >= {start}))"
        case Prefix.LE:
            return f"({lo} < {end} AND ({lo} < {start} OR {hi} <= {end}))"
        case Prefix.SA:
            return f"{lo} >= {end}"
        case Prefix.EB:
            return f"{hi} <= {start}"
        case Prefix.AP:
            return f"({hi} > {start} AND {lo} < {end})"


def legacy_test(lo: str, hi: str, value: DateValue, binder: Binder) -> str:
    """Return Aidbox's older comparison: by intersection."""
    start, end = binder.timestamp(value.lo), binder.timestamp(value.hi)
    match value.prefix:
        case Prefix.EQ | Prefix.AP:
            return f"({hi} > {start} AND {lo} < {end})"
        case Prefix.NE:
            return f"NOT ({hi} > {start} AND {lo} < {end})"
        case Prefix.GT:
            return f"{hi} > {start}"
        case Prefix.LT:
            return f"{lo} < {end}"
        case Prefix.GE:
            return f"{hi} >= {start}"
        case Prefix.LE:
            return f"{lo} <= {end}"
        case _:
            return range_test(lo, hi, value, binder)


def time_match(row: Row, match: TimeMatch, binder: Binder, dialect: Dialect) -> str:
    """Return the test of a time column: an instant, by FHIR's rules or by root's."""
    column = row.column(match.column)
    compare = _instant_test if dialect is Dialect.FHIR else _root_instant_test
    return any_of(compare(column, value, binder) for value in match.values)


def _instant_test(column: str, value: DateValue, binder: Binder) -> str:
    """An instant is the range of one microsecond, so containment is start <= t < end."""
    start, end = binder.timestamp(value.lo), binder.timestamp(value.hi)
    match value.prefix:
        case Prefix.EQ | Prefix.AP:
            return f"({column} >= {start} AND {column} < {end})"
        case Prefix.NE:
            return f"({column} < {start} OR {column} >= {end})"
        case Prefix.GT | Prefix.SA:
            return f"{column} >= {end}"
        case Prefix.LT | Prefix.EB:
            return f"{column} < {start}"
        case Prefix.GE:
            return f"{column} >= {start}"
        case Prefix.LE:
            return f"{column} < {end}"


def _root_instant_test(column: str, value: DateValue, binder: Binder) -> str:
    """On root the bounds of some prefixes are the reverse of FHIR's: lt2019-01 has January."""
    start = binder.timestamp(value.lo)
    # The last instant of the range: the end is exclusive and times have microseconds.
    last = f"({binder.timestamp(value.hi)} - interval '1 microsecond')"
    match value.prefix:
        case Prefix.GT:
            return f"{column} > {start}"
        case Prefix.LT:
            return f"{column} < {last}"
        case Prefix.LE:
            return f"{column} <= {last}"
        case _:
            return _instant_test(column, value, binder)


def date_bounds(row: Row, conditions: Sequence[Condition], binder: Binder) -> str:
    """Return what the conditions on the type's main date say together, for its range index.

    Implied by their full tests. Two conditions as one: alone each leaves half of the table, and
    the planner would think so of both.
    """
    matches = [
        condition
        for condition in conditions
        if isinstance(condition, Match)
        and condition.parameter.type == "date"
        and condition.parameter.name == DATES.get(row.type)
    ]
    stored = single_date(matches[0].parameter, row) if matches else None
    if stored is None:
        return TRUE
    after: list[str] = []
    before: list[str] = []
    for match in matches:
        bounds = [_bounds(value) for value in match.values if isinstance(value, DateValue)]
        starts = [start for start, _ in bounds if start is not None]
        ends = [end for _, end in bounds if end is not None]
        if len(starts) == len(bounds):
            after.append(min(starts, key=_key))
        if len(ends) == len(bounds):
            before.append(max(ends, key=_key))
    if not after and not before:
        return TRUE
    low = max(after, key=_key) if after else None
    high = min(before, key=_key) if before else None
    if low is not None and high is not None and _key(low) >= _key(high):
        low, high = high, low  # only what spans both can match
    first = "NULL" if low is None else binder.timestamp(low)
    last = "NULL" if high is None else binder.timestamp(high)
    return f"box_date_range({stored}) && tstzrange({first}, {last}, '[]')"


def _key(instant: str) -> tuple[int, str]:
    return len(instant.partition("-")[0]), instant


def _bounds(value: DateValue) -> tuple[str | None, str | None]:
    """Return after what a match must end, and before what it must begin."""
    match value.prefix:
        case Prefix.EQ | Prefix.AP:
            return value.lo, value.hi
        case Prefix.GE:
            return value.lo, None
        case Prefix.GT | Prefix.SA:
            return value.hi, None
        case Prefix.LE:
            return None, value.hi
        case Prefix.LT | Prefix.EB:
            return None, value.lo
        case Prefix.NE:
            return None, None
