"""`_filter` expressions as conditions.

Source: search specification, 6.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.search.dots import parse_path
from boxruntime.fhir.search.errors import UnknownParameterError, invalid
from boxruntime.fhir.search.filter_language import (
    Filter,
    FilterAll,
    FilterAny,
    FilterNot,
    FilterTest,
    Hop,
    Operator,
    parse_filter,
)
from boxruntime.fhir.search.parameters import find_parameter
from boxruntime.fhir.search.query import (
    AllOf,
    AnyOf,
    Chain,
    Condition,
    DotMatch,
    Match,
    Modifier,
    Not,
)
from boxruntime.fhir.search.values import (
    DateValue,
    MalformedValueError,
    Prefix,
    Text,
    date_range,
    exact_instant,
)

if TYPE_CHECKING:
    from boxruntime.fhir.search.scope import Scope


_ORDERED = frozenset({"number", "date", "quantity"})
_PREFIXES = frozenset(op for op in Operator if op.value in set(Prefix))
_DOTS = {
    Operator.EQ: "eq",
    Operator.NE: "ne",
    Operator.GT: "gt",
    Operator.LT: "lt",
    Operator.GE: "ge",
    Operator.LE: "le",
    Operator.CO: "contains",
}
_STRINGS = {
    Operator.EQ: Modifier.EQUALS,
    Operator.NE: Modifier.DIFFERS,
    Operator.CO: Modifier.CONTAINS,
    Operator.SW: Modifier.STARTS,
    Operator.EW: Modifier.ENDS,
}


def filter_condition(scope: Scope, type_name: str, text: str) -> Condition:
    """Return the condition of a whole expression. Raises OutcomeError INVALID."""
    try:
        tree = parse_filter(text)
    except MalformedValueError as error:
        raise invalid("_filter", f"the value is {error}") from None
    try:
        return _condition(scope, type_name, tree)
    except UnknownParameterError as error:
        raise invalid("_filter", f"there is no parameter {error.name}") from None


def _condition(scope: Scope, type_name: str, tree: Filter) -> Condition:
    match tree:
        case FilterAll(parts):
            return AllOf(tuple(_condition(scope, type_name, part) for part in parts))
        case FilterAny(parts):
            return AnyOf(tuple(_condition(scope, type_name, part) for part in parts))
        case FilterNot(inner):
            return Not(_condition(scope, type_name, inner))
        case FilterTest():
            return _path(scope, type_name, tree, tree.path)


def _path(scope: Scope, type_name: str, test: FilterTest, path: tuple[Hop, ...]) -> Condition:
    hop, *rest = path
    if not rest:
        if hop.condition is not None:
            raise invalid("_filter", "a condition in brackets needs a parameter after it")
        return _test(scope, type_name, hop.name, test)
    # Late: conditions.py reads `_filter` among its own parameters.
    from boxruntime.fhir.search.conditions import follow

    parameter, targets = follow(scope, type_name, hop.name, rest[0].name)
    below = scope.deeper("_filter")
    found = []
    for target in targets:
        inner = _path(below, target, test, tuple(rest))
        if hop.condition is not None:
            inner = AllOf((_condition(below, target, hop.condition), inner))
        found.append((target, inner))
    return Chain(parameter, tuple(found))


def _test(scope: Scope, type_name: str, name: str, test: FilterTest) -> Condition:
    operator = test.operator
    if name.startswith("."):
        return _dot(name, test)
    if operator is Operator.PR:
        if test.value not in ("true", "false"):
            raise invalid("_filter", "pr takes true or false")
        return _parsed(scope, type_name, f"{name}:missing", str(test.value == "false").lower())
    kind = _type_of(scope, type_name, name)
    value = _escaped(test)
    if kind in _ORDERED and operator in _PREFIXES:
        return _parsed(scope, type_name, name, operator.value + value)
    if kind == "date" and operator is Operator.PO:
        return _overlaps(scope, type_name, name, test.value)
    if kind == "string" and operator in _STRINGS:
        parameter = find_parameter(scope.metadata, type_name, name)
        assert parameter is not None
        return Match(parameter, (Text(test.value),), _STRINGS[operator])
    match (kind, operator):
        case ("token" | "reference" | "uri", Operator.EQ) | ("reference", Operator.RE):
            return _parsed(scope, type_name, name, value)
        case ("token" | "reference" | "uri", Operator.NE):
            return Not(_parsed(scope, type_name, name, value))
        case ("token", Operator.CO):
            return _parsed(scope, type_name, f"{name}:text", value)
        case ("uri", Operator.CO):
            return _parsed(scope, type_name, f"{name}:contains", value)
        case ("token", Operator.IN):
            return _parsed(scope, type_name, f"{name}:in", value)
        case ("token", Operator.NI):
            return _parsed(scope, type_name, f"{name}:not-in", value)
        case ("token" | "reference" | "uri", Operator.SS):
            return _parsed(scope, type_name, f"{name}:below", value)
        case ("token" | "reference" | "uri", Operator.SB):
            return _parsed(scope, type_name, f"{name}:above", value)
        case _:
            raise invalid("_filter", f"{operator.value} does not fit {name}")


def _parsed(scope: Scope, type_name: str, key: str, value: str) -> Condition:
    from boxruntime.fhir.search.conditions import parse_condition

    return parse_condition(scope, type_name, key, value) or AllOf(())


def _escaped(test: FilterTest) -> str:
    """Return the value in the syntax of ordinary parameters: one value, not several."""
    separators = "\\,$|" if test.quoted else ",$"
    return "".join(f"\\{c}" if c in separators else c for c in test.value)


def _type_of(scope: Scope, type_name: str, name: str) -> str:
    if name == "_id":
        return "token"
    if name in ("_lastUpdated", "_createdAt"):
        return "date"
    parameter = find_parameter(scope.metadata, type_name, name)
    if parameter is None:
        raise UnknownParameterError(name)
    return parameter.type


def _overlaps(scope: Scope, type_name: str, name: str, text: str) -> Condition:
    try:
        lo, hi = date_range(text)
    except MalformedValueError as error:
        raise invalid("_filter", f"the value is {error}") from None
    parameter = find_parameter(scope.metadata, type_name, name)
    if parameter is None:
        raise UnknownParameterError(name)
    # An approximate value compares by intersection, with the range it was given.
    return Match(parameter, (DateValue(Prefix.AP, *exact_instant(lo, hi)),))


def _dot(name: str, test: FilterTest) -> Condition:
    if test.operator is Operator.PR:
        return DotMatch(parse_path(name), None, "isnull", (str(test.value == "false").lower(),))
    if test.operator not in _DOTS:
        raise invalid("_filter", f"{test.operator.value} does not fit a path")
    return DotMatch(parse_path(name), None, _DOTS[test.operator], (test.value,))
