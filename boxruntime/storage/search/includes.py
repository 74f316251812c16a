"""Rows that belong to a page by reference: one statement per edge and type.

Source: search specification, 7.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.storage.rows import COLUMNS
from boxruntime.storage.search.chains import shape_of
from boxruntime.storage.search.indexes import has_reference_index
from boxruntime.storage.search.places import (
    any_of,
    reference_id,
    reference_type,
    table_of,
    table_row,
    typed_values,
)
from boxruntime.storage.search.statement import Binder, Statement, literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.fhir.search.query import Include

MAX_ROWS = 10_000
"""Included rows of one edge; beyond it the request costs too much."""


def compile_rows(type_name: str, ids: Sequence[str]) -> Statement:
    """Return the statement of the rows with these ids."""
    binder = Binder()
    return binder.statement(
        f"SELECT {COLUMNS} FROM {table_of(type_name)} WHERE id = ANY({binder.texts(ids)}) "
        "ORDER BY id"
    )


def compile_referring(edge: Include, target: str, ids: Sequence[str]) -> Statement | None:
    """Return the statement of the rows of `edge.source` that refer to rows of `target`.

    None if its parameter never does.
    """
    assert edge.parameter is not None
    binder = Binder()
    row = table_row(edge.source)
    wanted = binder.texts(ids)
    name = literal(target)
    tests: list[str] = []
    for place in edge.parameter.locations:
        if (place.types and target not in place.types) or place.datatype not in ("Reference", None):
            continue
        if has_reference_index(edge.source, place):
            tests.append(
                f"({reference_id(row, place)} = ANY({wanted}) "
                f"AND {reference_type(row, place)} = {name})"
            )
        elif place.plain:
            source, item = table_row(edge.source, binder.alias()), binder.alias()
            leaf = f"jsonb_build_object('resourceType', {name}, 'id', {item}.id)"
            tests.append(
                f"{row.id} IN (SELECT {source.id} FROM unnest({wanted}) AS {item}(id) "
                f"JOIN {table_of(edge.source)} AS {source.alias} "
                f"ON {source.document} @> {shape_of(place.steps, leaf)})"
            )
        else:
            value = binder.alias()
            same = f"{value} ->> 'resourceType' = {name} AND {value} ->> 'id' = ANY({wanted})"
            if place.raw:
                raw = binder.texts([f"{target}/{id_}" for id_ in ids])
                same = f"({same} OR {value} ->> 'reference' = ANY({raw}))"
            tests.append(
                f"EXISTS (SELECT 1 FROM {typed_values(place, row)} AS {value} WHERE {same})"
            )
    if not tests:
        return None
    return binder.statement(
        f"SELECT {COLUMNS} FROM {table_of(edge.source)} WHERE {any_of(tests)} "
        f"ORDER BY id LIMIT {binder.integer(MAX_ROWS + 1)}"
    )


def compile_identified(type_name: str, identifiers: Sequence[tuple[str | None, str]]) -> Statement:
    """Return the statement of the rows that have one of these identifiers (system, value)."""
    binder = Binder()
    tests: list[str] = []
    for system, value in identifiers:
        leaf = {"value": value} if system is None else {"system": system, "value": value}
        # Most types have a list of identifiers, some have one.
        shapes = ({"identifier": [leaf]}, {"identifier": leaf})
        tests.extend(f"resource @> {binder.jsonb(shape)}" for shape in shapes)
    return binder.statement(
        f"SELECT {COLUMNS} FROM {table_of(type_name)} WHERE {any_of(tests)} "
        f"ORDER BY id LIMIT {binder.integer(MAX_ROWS + 1)}"
    )
