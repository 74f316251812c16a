"""Conditions on other rows: chains, reverse chains, hierarchies of references.

A chain is a semi-join and never repeats a row. For a table row it is written as
`id IN (SELECT …)`, so that the planner may begin at the other end: with few targets each is
looked up in the index of the referring table (below 1 ms), where a correlated EXISTS would read
all of it.
Source: search specification, 5 Chains, `_has`, dot expressions; 4.5 `:below`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from boxruntime.fhir.search.query import (
    Chain,
    Condition,
    Hierarchy,
    Key,
    Location,
    ReverseChain,
    Step,
)
from boxruntime.storage.search.indexes import has_reference_index
from boxruntime.storage.search.places import (
    FALSE,
    NoShapeError,
    Row,
    any_of,
    reference_id,
    reference_type,
    table_of,
    table_row,
    typed_values,
)
from boxruntime.storage.search.statement import literal

if TYPE_CHECKING:
    from boxruntime.storage.search.conditions import Compiler

_REFERENCES = frozenset({"Reference", None})


def chain(compiler: Compiler, row: Row, condition: Chain) -> str:
    """Return whether a reference leads to a row that satisfies the condition of its type."""
    forward = [
        (place, target, inner)
        for place in condition.parameter.locations
        for target, inner in condition.targets
        if not place.types or target in place.types
    ]
    if row.alias is None:
        return any_of(_from_value(compiler, row, *hop) for hop in forward)
    inside = condition.contained
    contained = [hop for hop in forward if inside is None or hop[1] in inside]
    if not contained and all(has_reference_index(row.type, hop[0]) for hop in forward):
        return any_of(_semi_join(compiler, row, *hop) for hop in forward)
    selects = []
    for place, target, inner in forward:
        if place.datatype in _REFERENCES:
            selects.append(_from_table(compiler, row, place, target, inner))
        else:
            source = table_row(row.type, compiler.binder.alias())
            test = _from_value(compiler, source, place, target, inner)
            selects.append(
                f"SELECT {source.id} FROM {table_of(row.type)} AS {source.alias} WHERE {test}"
            )
    selects.extend(
        _to_contained(compiler, row, *hop) for hop in contained if hop[0].datatype in _REFERENCES
    )
    return f"{row.id} IN ({' UNION ALL '.join(selects)})" if selects else FALSE


def _semi_join(compiler: Compiler, row: Row, place: Location, target: str, inner: Condition) -> str:
    """Return the test by equality of ids, which PostgreSQL can plan from either end."""
    wanted = table_row(target, compiler.binder.alias())
    test = compiler.test(wanted, inner)
    return (
        f"({reference_type(row, place)} = {literal(target)} AND {reference_id(row, place)} IN "
        f"(SELECT {wanted.id} FROM {table_of(target)} AS {wanted.alias} WHERE {test}))"
    )


def _from_table(
    compiler: Compiler, row: Row, place: Location, target: str, inner: Condition
) -> str:
    """Return a query for the ids of rows that refer to the wanted targets."""
    source = table_row(row.type, compiler.binder.alias())
    wanted = table_row(target, compiler.binder.alias())
    test = compiler.test(wanted, inner)
    tables = f"{table_of(target)} AS {wanted.alias}"
    table = f"{table_of(row.type)} AS {source.alias}"
    if has_reference_index(row.type, place):
        return (
            f"SELECT {source.id} FROM {table} JOIN {tables} "
            f"ON {wanted.id} = {reference_id(source, place)} "
            f"WHERE {reference_type(source, place)} = {literal(target)} AND {test}"
        )
    if place.plain:
        shape = shape_of(
            place.steps,
            f"jsonb_build_object('resourceType', {literal(target)}, 'id', {wanted.id})",
        )
        return (
            f"SELECT {source.id} FROM {tables} JOIN {table} ON {source.document} @> {shape} "
            f"WHERE {test}"
        )
    exists = _from_value(compiler, source, place, target, inner)
    return f"SELECT {source.id} FROM {table} WHERE {exists}"


def _to_contained(
    compiler: Compiler, row: Row, place: Location, target: str, inner: Condition
) -> str:
    """Return a query for the ids of rows whose local reference leads to a contained resource."""
    source = table_row(row.type, compiler.binder.alias())
    document, local = compiler.binder.alias(), compiler.binder.alias()
    test = compiler.test(Row(target, document, f"({document} ->> 'id')"), inner)
    contained = literal(f"$.contained[*] ? (@.resourceType == {json.dumps(target)})")
    kept = compiler.binder.jsonb({"contained": [{"resourceType": target}]})
    # Nested, not joined: PostgreSQL guesses hundreds of rows for each set-returning function.
    return (
        f"SELECT {source.id} FROM {table_of(row.type)} AS {source.alias} "
        f"WHERE {source.document} @> {kept} AND EXISTS (SELECT 1 "
        f"FROM jsonb_path_query({source.document}, {contained}) AS {document}, "
        f"{typed_values(Location(place.steps, place.datatype), source)} AS {local} "
        f"WHERE {local} ->> 'localRef' = {document} ->> 'id' AND {test})"
    )


def _from_value(
    compiler: Compiler, row: Row, place: Location, target: str, inner: Condition
) -> str:
    """Return the test beginning at the reference itself: for rows that are no table rows."""
    value = compiler.binder.alias()
    if place.datatype == "Resource":
        # A whole resource stands in place of a reference (Bundle.composition).
        test = compiler.test(Row(target, value, f"({value} ->> 'id')"), inner)
        return (
            f"EXISTS (SELECT 1 FROM {typed_values(place, row)} AS {value} "
            f"WHERE {value} ->> 'resourceType' = {literal(target)} AND {test})"
        )
    wanted = table_row(target, compiler.binder.alias())
    test = compiler.test(wanted, inner)
    same = f"{value} ->> 'resourceType' = {literal(target)} AND {wanted.id} = {value} ->> 'id'"
    if place.raw:
        whole = f"{value} ->> 'reference' = {literal(target + '/')} || {wanted.id}"
        same = f"({same} OR {whole})"
    if place.datatype not in _REFERENCES:
        # A canonical leads to the row that has this url.
        same = f"{wanted.document} ->> 'url' = split_part({value} #>> '{{}}', '|', 1)"
    return (
        f"EXISTS (SELECT 1 FROM {typed_values(place, row)} AS {value} "
        f"JOIN {table_of(target)} AS {wanted.alias} ON {same} WHERE {test})"
    )


def shape_of(steps: tuple[Step, ...], leaf: str) -> str:
    """Return a SQL expression that builds the shape of a path around a leaf."""
    for step in reversed(steps):
        if not isinstance(step, Key):
            raise NoShapeError
        inner = f"jsonb_build_array({leaf})" if step.array else leaf
        leaf = f"jsonb_build_object({literal(step.name)}, {inner})"
    return leaf


def reverse_chain(compiler: Compiler, row: Row, condition: ReverseChain) -> str:
    """Return whether some row of another type refers here and satisfies its condition."""
    selects = []
    for place in condition.parameter.locations:
        if place.types and condition.target not in place.types:
            continue
        if place.datatype not in _REFERENCES:
            continue
        source = table_row(condition.source, compiler.binder.alias())
        test = compiler.test(source, condition.condition)
        table = f"{table_of(condition.source)} AS {source.alias}"
        target = literal(condition.target)
        if place.single:
            selects.append(
                f"SELECT {reference_id(source, place)} FROM {table} "
                f"WHERE {reference_type(source, place)} = {target} AND {test}"
            )
            continue
        value = compiler.binder.alias()
        values = f"{typed_values(place, source)} AS {value}"
        selects.append(
            f"SELECT {value} ->> 'id' FROM {table}, {values} "
            f"WHERE {value} ->> 'resourceType' = {target} AND {test}"
        )
        if place.raw:
            prefix = literal(condition.target + "/")
            selects.append(
                f"SELECT substr({value} ->> 'reference', {len(condition.target) + 2}) "
                f"FROM {table}, {values} "
                f"WHERE starts_with({value} ->> 'reference', {prefix}) AND {test}"
            )
    return f"{row.id} IN ({' UNION ALL '.join(selects)})" if selects else FALSE


def hierarchy(compiler: Compiler, row: Row, condition: Hierarchy) -> str:
    """Return whether the reference leads to a row, or to one below (above) it."""
    binder = compiler.binder
    source = table_row(condition.type, binder.alias())
    tree = binder.alias()
    start = binder.text(condition.id)
    table = f"{table_of(condition.type)} AS {source.alias}"
    steps = [place for place in condition.by.locations if place.datatype in _REFERENCES]
    found = []
    for place in condition.parameter.locations:
        if place.datatype not in _REFERENCES:
            continue
        links = " OR ".join(
            f"EXISTS (SELECT 1 FROM {typed_values(step, source)} AS link WHERE "
            f"link ->> 'resourceType' = {literal(condition.type)} "
            f"AND link ->> 'id' = {tree}.id)"
            for step in steps
        )
        if condition.below:
            climb = f"SELECT {source.id} FROM {table} JOIN {tree} ON {links}"
        else:
            climb = (
                f"SELECT link ->> 'id' FROM {tree} JOIN {table} ON {source.id} = {tree}.id, "
                f"{typed_values(steps[0], source)} AS link "
                f"WHERE link ->> 'resourceType' = {literal(condition.type)}"
            )
        ids = (
            f"WITH RECURSIVE {tree}(id) AS (SELECT {start} UNION {climb}) "
            f"SELECT {tree}.id FROM {tree}"
        )
        value = binder.alias()
        found.append(
            f"EXISTS (SELECT 1 FROM {typed_values(place, row)} AS {value} WHERE "
            f"{value} ->> 'resourceType' = {literal(condition.type)} AND "
            f"{value} ->> 'id' IN ({ids}))"
        )
    return any_of(found)
