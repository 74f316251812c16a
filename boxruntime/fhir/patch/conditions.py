"""Values inside the conditions of a path: what they are, compared and asked.

None stands for FHIRPath's empty collection, which "unknown" is.
Spec: http://hl7.org/fhirpath/N1/#operations
"""

from __future__ import annotations

import operator as operators
import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from boxruntime.fhir.patch.json_values import is_same
from boxruntime.fhir.patch.refusal import malformed
from boxruntime.fhir.search.values import MalformedValueError, date_range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from boxruntime.fhir.patch.places import Node

Span: TypeAlias = "tuple[datetime, datetime | None]"
"""The time that a date of any precision covers; the end is not in it."""
_DATES = frozenset({"date", "dateTime", "instant", "time"})
_TIME = re.compile(r"T?\d\d(?::|$)")
_SECONDS = re.compile(r":\d\d:\d\d")
_MAX_INDEX = 10**9
_INSTANT = timedelta(microseconds=1)


def truth(nodes: Sequence[Node]) -> bool | None:
    """Return what a condition says; a single value that is no boolean says true."""
    if not nodes:
        return None
    value = only(nodes).value
    return value if isinstance(value, bool) else True


def whole_number(nodes: Sequence[Node]) -> int:
    """Return an index. Raises OutcomeError INVALID."""
    value: Any = only(nodes).value if nodes else None
    is_index = _is_number(value) and abs(value) < _MAX_INDEX and value == int(value)
    if not is_index:
        raise malformed("The path has an index that is no whole number.")
    return int(value)


def text(nodes: Sequence[Node]) -> str:
    """Return a string argument. Raises OutcomeError INVALID."""
    value = only(nodes).value if nodes else None
    if not isinstance(value, str):
        raise malformed("The path has an argument that is no string.")
    return value


def combine(operator: str, left: Sequence[Node], right: Sequence[Node]) -> bool | None:
    """Return what an operator makes of two collections. Raises OutcomeError INVALID."""
    if operator in _LOGIC:
        return _LOGIC[operator](truth(left), truth(right))
    if operator in {"=", "!=", "~", "!~"}:
        same = _equal(left, right, unordered=operator.endswith("~"))
        return same if same is None or not operator.startswith("!") else not same
    if operator in {"in", "contains"}:
        one, many = (left, right) if operator == "in" else (right, left)
        if not one:
            return None
        wanted = only(one)
        return any(_same(wanted, each) is True for each in many)
    if not left or not right:
        return None
    return _compare(operator, only(left), only(right))


def call(
    name: str, count: int, nodes: Sequence[Node], arguments: Iterator[Sequence[Node]]
) -> bool | int | str | None:
    """Return what a function of values gives. Raises OutcomeError INVALID for an unknown one.

    `count`: of its arguments, which are worked out only for a known one.
    """
    match name, count:
        case "exists", 0:
            return bool(nodes)
        case "empty", 0:
            return not nodes
        case "count", 0:
            return len(nodes)
        case "not", 0:
            known = truth(nodes)
            return None if known is None else not known
        case "hasValue", 0:
            return len(nodes) == 1 and not isinstance(nodes[0].value, dict | None)
        case (("startsWith" | "endsWith" | "contains"), 1):
            argument = next(arguments)
            if not nodes or not argument:
                return None
            value, wanted = text(nodes), text(argument)
            if name == "contains":
                return wanted in value
            return value.startswith(wanted) if name == "startsWith" else value.endswith(wanted)
        case (("lower" | "upper"), 0):
            if not nodes:
                return None
            return text(nodes).lower() if name == "lower" else text(nodes).upper()
    raise malformed("The path calls a function that a patch does not know.")


def only(nodes: Sequence[Node]) -> Node:
    """Return the one node that belongs here. Raises OutcomeError INVALID for several."""
    if len(nodes) > 1:
        raise malformed("The path compares several elements where one belongs.")
    return nodes[0]


def _and(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _or(left: bool | None, right: bool | None) -> bool | None:
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


_LOGIC: dict[str, Callable[[bool | None, bool | None], bool | None]] = {
    "and": _and,
    "or": _or,
    "xor": lambda left, right: None if left is None or right is None else left is not right,
    "implies": lambda left, right: _or(None if left is None else not left, right),
}


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}


def _equal(left: Sequence[Node], right: Sequence[Node], *, unordered: bool) -> bool | None:
    if unordered:
        rest = list(right)
        for node in left:
            twin = next((each for each in rest if _same(node, each, loosely=True)), None)
            if twin is None:
                return False
            rest.remove(twin)
        return not rest
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    answers = [_same(one, two) for one, two in zip(left, right, strict=True)]
    if False in answers:
        return False
    return None if None in answers else True


def _same(one: Node, two: Node, *, loosely: bool = False) -> bool | None:
    """Compare two values; of dates that differ in precision nobody can tell (None)."""
    spans = _spans(one, two)
    if spans is not None:
        if spans[0] == spans[1]:
            return True
        apart = _before(*spans) or _before(spans[1], spans[0])
        return False if apart or loosely else None
    if loosely and isinstance(one.value, str) and isinstance(two.value, str):
        return " ".join(one.value.lower().split()) == " ".join(two.value.lower().split())
    return is_same(one.value, two.value)


def _compare(operator: str, left: Node, right: Node) -> bool | None:
    spans = _spans(left, right)
    if spans is not None:
        first, second = spans if operator.startswith("<") else reversed(spans)
        if _before(first, second):
            return True
        return False if _before(second, first) else _equals(spans, operator)
    one, two = left.value, right.value
    if not (isinstance(one, str) and isinstance(two, str)) and not (
        _is_number(one) and _is_number(two)
    ):
        raise malformed("The path compares values that have no order.")
    return _ORDER[operator](one, two)


def _equals(spans: tuple[Span, Span], operator: str) -> bool | None:
    return operator.endswith("=") if spans[0] == spans[1] else None


def _before(one: Span, two: Span) -> bool:
    return one[1] is not None and one[1] <= two[0]


def _spans(one: Node, two: Node) -> tuple[Span, Span] | None:
    """Return the time that two dates cover, None if they are no dates."""
    if not any(node.is_date or node.kind.type_name in _DATES for node in (one, two)):
        return None
    first, second = _span(one.value), _span(two.value)
    return None if first is None or second is None else (first, second)


def _span(value: Any) -> Span | None:
    """Return the time that a date covers; seconds and their fractions are one precision."""
    if not isinstance(value, str):
        return None
    text = value.removesuffix("T")
    if _TIME.match(text):
        text = "2000-01-01T" + text.removeprefix("T")
    try:
        first, last = date_range(text)
    except MalformedValueError:
        return None
    return (first, first + _INSTANT) if _SECONDS.search(text) else (first, last)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
