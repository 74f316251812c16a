"""Dot expressions: `.name.0.family$contains=le`, a raw path into the stored document.

Source: search specification, 5 Chains, `_has`, dot expressions.
"""

from __future__ import annotations

from boxruntime.fhir.search.errors import invalid
from boxruntime.fhir.search.escapes import split_escaped, unescape
from boxruntime.fhir.search.query import DotMatch

CASTS = frozenset(
    {
        "bigint", "bool", "boolean", "date", "decimal", "double precision", "float4", "float8",
        "int", "int2", "int4", "int8", "integer", "interval", "numeric", "real", "smallint",
        "text", "time", "timestamp", "timestamptz", "uuid",
    }
)  # fmt: skip
"""PostgreSQL types a value may be cast to."""

OPERATORS = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "contains", "isnull"})


def parse_path(text: str) -> tuple[str, ...]:
    """Return the steps of ".name.0.family"; digits are list indexes. Raises OutcomeError."""
    steps = tuple(text[1:].split("."))
    if not all(steps) or len(steps) > 40:
        raise invalid(text, "expected a path such as .name.0.family")
    return steps


def parse_dot(key: str, value: str) -> DotMatch | None:
    """Parse `.path[::type][$operator]`; None if the value is empty. Raises OutcomeError."""
    rest, _, operator = key.partition("$")
    operator = operator or "eq"
    if operator not in OPERATORS:
        raise invalid(key, "the operator is unknown")
    path, colons, cast = rest.partition("::")
    if colons and cast not in CASTS:
        raise invalid(key, "the type is unknown")
    values = tuple(unescape(part) for part in split_escaped(value, ",") if part)
    if not values:
        return None
    if operator == "isnull" and any(v not in ("true", "false") for v in values):
        raise invalid(key, "expected true or false")
    return DotMatch(parse_path(path), cast or None, operator, values)
