"""Parameters with rules of their own: ids, times, lists, texts, positions, `_filter`.

Source: search specification, 4.7 special, 6 Common parameters.
"""

from __future__ import annotations

from collections.abc import Callable

from boxruntime.fhir.search.errors import invalid, not_supported
from boxruntime.fhir.search.escapes import split_escaped, unescape
from boxruntime.fhir.search.filters import filter_condition
from boxruntime.fhir.search.query import (
    NEVER,
    AllOf,
    AnyOf,
    Condition,
    FullText,
    IdMatch,
    ListMember,
    Near,
    Not,
    Parameter,
    Substrings,
    TimeMatch,
)
from boxruntime.fhir.search.scope import MAX_VALUES, Scope, read_values
from boxruntime.fhir.search.values import MalformedValueError, parse_date, parse_token
from boxruntime.fhir.search.words import parse_words

TIME_COLUMNS = {"_lastUpdated": "ts", "_createdAt": "cts"}


def parse_id(key: str, modifier: str, value: str) -> Condition | None:
    if modifier == "missing":
        if value not in ("true", "false"):
            raise invalid(key, "expected true or false")
        return NEVER if value == "true" else AllOf(())
    if modifier not in ("", "not"):
        raise invalid(key, "the modifier is unknown or does not apply")
    tokens = (parse_token(part.strip()) for part in split_escaped(value, ",") if part.strip())
    ids = tuple(dict.fromkeys(token.code for token in tokens if token.code is not None))
    if len(ids) > 100 * MAX_VALUES:
        raise invalid(key, "it has too many values")
    return Not(IdMatch(ids)) if modifier == "not" else IdMatch(ids)


def parse_time(scope: Scope, key: str, modifier: str, value: str) -> Condition | None:
    if modifier == "missing":
        return parse_id(key, modifier, value)
    if modifier:
        raise invalid(key, "the modifier is unknown or does not apply")
    values = read_values(key, value, lambda text: parse_date(text.strip(), now=scope.now))
    return TimeMatch(TIME_COLUMNS[key], values) if values else None  # type: ignore[arg-type]


def _parse_list(_scope: Scope, type_name: str, key: str, value: str) -> Condition:
    lists = []
    for part in split_escaped(value, ","):
        name = unescape(part).strip().removeprefix("List/")
        if name.startswith("$"):
            raise not_supported(key, "functional lists are not supported")
        if name:
            lists.append(name)
    return ListMember(type_name, tuple(lists))


def _parse_ilike(_scope: Scope, _type_name: str, _key: str, value: str) -> Condition:
    groups = tuple(
        terms for group in split_escaped(value, ",") if (terms := tuple(unescape(group).split()))
    )
    return Substrings(groups)


def _parse_words(_scope: Scope, _type_name: str, key: str, value: str) -> Condition:
    try:
        return FullText(key == "_text", parse_words(value))
    except MalformedValueError as error:
        raise invalid(key, f"the value is {error}") from None


def _parse_filter(scope: Scope, type_name: str, _key: str, value: str) -> Condition:
    return filter_condition(scope, type_name, value)


SPECIAL: dict[str, Callable[[Scope, str, str, str], Condition]] = {
    "_list": _parse_list,
    "_ilike": _parse_ilike,
    "_text": _parse_words,
    "_content": _parse_words,
    "_filter": _parse_filter,
}


_EARTH_UNITS = {"km": 1.0, "": 1.0, "m": 0.001, "[mi_us]": 1.609347219, "mi": 1.609344}
DEFAULT_DISTANCE_KM = 3.0


def parse_near(parameter: Parameter, value: str) -> Condition:
    places: list[Condition] = []
    for part in split_escaped(value, ","):
        fields = [unescape(field).strip() for field in split_escaped(part, "|")]
        try:
            latitude, longitude = float(fields[0]), float(fields[1])
            distance = float(fields[2]) if len(fields) > 2 and fields[2] else DEFAULT_DISTANCE_KM
        except (IndexError, ValueError):
            raise invalid("near", "expected latitude|longitude|distance|unit") from None
        unit = fields[3] if len(fields) > 3 else ""
        if (
            len(fields) > 4
            or unit not in _EARTH_UNITS
            or not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 <= distance < 1e6)
        ):
            raise invalid("near", "expected latitude|longitude|distance|unit")
        distance_km = distance * _EARTH_UNITS[unit]
        places.extend(
            Near(location, latitude, longitude, distance_km) for location in parameter.locations
        )
    return AnyOf(tuple(places))
