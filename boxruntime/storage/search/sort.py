"""ORDER BY: ascending by the smallest value of an element, descending by the largest.

Rows without a value come last in both directions; the id ends every order, so that pages are
stable.
Source: search specification, 7.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.search.query import Condition, FullText, Location, Parameter, SortKey
from boxruntime.storage.search.dates import single_date
from boxruntime.storage.search.places import NOT_FALSE, Row, jsonpath, values_at
from boxruntime.storage.search.special import dot_value, text_vector, word_query
from boxruntime.storage.search.strings import string_paths
from boxruntime.storage.search.tokens import token_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.storage.search.statement import Binder

_TIMES = frozenset({"ts", "cts"})
_NUMERIC = frozenset({"number", "quantity"})


def order_by(
    row: Row, keys: Sequence[SortKey], conditions: Sequence[Condition], binder: Binder
) -> str:
    """Return the list after ORDER BY, `id` last."""
    order = []
    for key in keys:
        expression = _expression(row, key, conditions, binder)
        if expression is not None:
            order.append(f"{expression} {'DESC' if key.descending else 'ASC'} NULLS LAST")
    if len(keys) == 1 and keys[0].column in _TIMES:
        # Both directions are those of the index; rows of one load share their time.
        direction = " DESC" if keys[0].descending else ""
        return f"{row.column(keys[0].column)}{direction}, {row.id}{direction}"
    if not any(key.column == "id" for key in keys):
        order.append(row.id)
    return ", ".join(order)


def _expression(
    row: Row, key: SortKey, conditions: Sequence[Condition], binder: Binder
) -> str | None:
    if key.column is not None:
        return row.column(key.column)
    if key.path:
        return dot_value(row, key.path, binder)
    if key.parameter is not None:
        return parameter_order(row, key.parameter, descending=key.descending)
    ranks = [
        f"ts_rank({text_vector(row, narrative=c.narrative)}, {word_query(c.words, binder)})"
        for c in conditions
        if isinstance(c, FullText)
    ]
    return f"({' + '.join(ranks)})" if ranks else None


def parameter_order(row: Row, parameter: Parameter, *, descending: bool) -> str:
    """Return the expression a parameter sorts by."""
    if parameter.exists:
        found = " OR ".join(
            f"jsonb_path_exists({row.document}, {jsonpath(place.steps, NOT_FALSE)})"
            for place in parameter.locations
        )
        return f"({found})"
    if parameter.type == "date":
        stored = single_date(parameter, row)
        if stored is not None:
            return f"box_date_hi({stored})" if descending else f"box_date_lo({stored})"
    pick = "max" if descending else "min"
    candidates = [
        _extreme(row, parameter, place, pick, descending=descending)
        for place in parameter.locations
    ]
    if parameter.type == "string":
        candidates = [
            f"(SELECT {pick}(lower(immutable_unaccent(v #>> '{{}}'))) "
            f"FROM {values_at(row, steps)} AS v)"
            for steps in string_paths(parameter)
        ]
    if not candidates:
        return "NULL::text"
    if len(candidates) == 1:
        return candidates[0]
    return f"{'greatest' if descending else 'least'}({', '.join(candidates)})"


def _extreme(
    row: Row, parameter: Parameter, place: Location, pick: str, *, descending: bool
) -> str:
    steps = place.steps
    value = "v #>> '{}'"
    if parameter.type == "date":
        value = "box_date_hi(v)" if descending else "box_date_lo(v)"
    elif parameter.type in _NUMERIC:
        # Of an open range the end that is known.
        first, second = ("upper", "lower") if descending else ("lower", "upper")
        value = f"coalesce({first}(box_number_range(v)), {second}(box_number_range(v)))"
    elif parameter.type == "token":
        steps = token_texts(place)
    elif parameter.type == "reference":
        # A canonical is a text; members of a text are NULL.
        own = "CASE WHEN jsonb_typeof(v) = 'string' THEN v #>> '{}' END"
        value = f"coalesce(v ->> 'id', v ->> 'uri', v ->> 'reference', {own})"
    return f"(SELECT {pick}({value}) FROM {values_at(row, steps)} AS v)"
