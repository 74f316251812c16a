"""A Query as SQL: the page, its total, a match test, and the resources to include.

Source: search specification, 2.1, 6, 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.search.query import Branch, IdMatch, Query, SortKey, Total
from boxruntime.storage.rows import COLUMNS
from boxruntime.storage.search.conditions import Compiler
from boxruntime.storage.search.dates import date_bounds
from boxruntime.storage.search.places import TRUE, Row, table_of, table_row
from boxruntime.storage.search.sort import order_by
from boxruntime.storage.search.special import dot_value
from boxruntime.storage.search.statement import Binder, Statement, literal

if TYPE_CHECKING:
    from collections.abc import Sequence


def compile_search(query: Query) -> Statement:
    """Return the statement of one page; its rows have COLUMNS.

    Without an exact total one row more than a page is read, to tell whether there is a next.
    """
    binder = Binder()
    compiler = new_compiler(query, binder)
    extra = 0 if query.total is Total.ACCURATE else 1
    limit = binder.integer(query.count + extra)
    offset = binder.integer((query.page - 1) * query.count)
    if len(query.branches) == 1:
        branch = query.branches[0]
        row = table_row(branch.type)
        order = order_by(row, query.sort, branch.conditions, binder)
        sql = (
            f"SELECT {COLUMNS} FROM {from_where(compiler, branch, row)} "
            f"ORDER BY {order} LIMIT {limit} OFFSET {offset}"
        )
        return binder.statement(sql)
    return _compile_union(query, compiler, limit, offset)


def _compile_union(query: Query, compiler: Compiler, limit: str, offset: str) -> Statement:
    """Return the page over several types: of each no more rows are read than the page can show."""
    binder = compiler.binder
    keys = [key for key in query.sort if key.column is not None or key.path]
    directions = ["DESC NULLS LAST" if key.descending else "ASC NULLS LAST" for key in keys]
    enough = binder.integer(query.page * query.count + 1)
    selects = []
    for branch in query.branches:
        row = table_row(branch.type)
        values = [_common_value(key, row, binder) for key in keys]
        columns = ["id", "txid", "ts", "cts", f"{literal(branch.type)} AS resource_type"]
        columns += ["status", "resource"]
        columns += [f"{value} AS sort{number}" for number, value in enumerate(values)]
        order = [f"{value} {way}" for value, way in zip(values, directions, strict=True)]
        selects.append(
            f"(SELECT {', '.join(columns)} FROM {from_where(compiler, branch, row)} "
            f"ORDER BY {', '.join([*order, row.id])} LIMIT {enough})"
        )
    if not selects:
        return Statement(_NOTHING)
    order = [f"sort{number} {way}" for number, way in enumerate(directions)]
    return binder.statement(
        f"SELECT {COLUMNS} FROM ({' UNION ALL '.join(selects)}) AS found "
        f"ORDER BY {', '.join([*order, 'resource_type', 'id'])} LIMIT {limit} OFFSET {offset}"
    )


def _common_value(key: SortKey, row: Row, binder: Binder) -> str:
    """Return what a sort key that means the same over several types compares."""
    return row.column(key.column) if key.column is not None else dot_value(row, key.path, binder)


_NOTHING = (
    "SELECT NULL::text AS id, 0::bigint AS txid, now() AS ts, now() AS cts, '' AS resource_type, "
    "'created' AS status, NULL::text AS resource, false AS overlaps WHERE false"
)


def compile_count(query: Query) -> Statement:
    """Return the statement of the exact total: one row with `total`."""
    binder = Binder()
    compiler = new_compiler(query, binder)
    counts = [
        f"SELECT count(*) AS n FROM {from_where(compiler, branch, table_row(branch.type))}"
        for branch in query.branches
    ]
    if not counts:
        return Statement("SELECT 0::bigint AS total")
    if len(counts) == 1:
        return binder.statement(counts[0].replace("count(*) AS n", "count(*) AS total", 1))
    return binder.statement(
        f"SELECT sum(n)::bigint AS total FROM ({' UNION ALL '.join(counts)}) AS counts"
    )


def compile_estimate(query: Query) -> Statement:
    """Return an EXPLAIN whose JSON tells the planner's estimate; `estimated_rows` reads it."""
    binder = Binder()
    compiler = new_compiler(query, binder)
    selects = [
        f"SELECT 1 FROM {from_where(compiler, branch, table_row(branch.type))}"
        for branch in query.branches
    ]
    sql = " UNION ALL ".join(selects) if selects else "SELECT 1 WHERE false"
    return binder.statement(f"EXPLAIN (FORMAT JSON) {sql}")


def compile_ids(query: Query, *, limit: int = 2) -> Statement:
    """Return the statement of the first rows that match: their `id` and `txid`.

    Two suffice for a conditional interaction to know none, one or several. All matches are
    planned for: with a LIMIT in sight PostgreSQL walks through the table, hoping to meet two soon,
    and a criterion that one row of 15,000 meets took 29 ms instead of 0.3.
    """
    (branch,) = query.branches
    binder = Binder()
    row = table_row(branch.type)
    found = from_where(new_compiler(query, binder), branch, row)
    return binder.statement(
        f"WITH matches AS MATERIALIZED (SELECT {row.id}, {row.column('txid')} FROM {found}) "
        f"SELECT id, txid FROM matches LIMIT {binder.integer(limit)}"
    )


def compile_matches(query: Query, resource_type: str, ids: Sequence[str]) -> Statement:
    """Return the statement that tells which of these rows match: rows with `id`."""
    binder = Binder()
    compiler = new_compiler(query, binder)
    selects = []
    for branch in query.branches:
        if branch.type == resource_type:
            row = table_row(branch.type)
            narrowed = Branch(branch.type, (IdMatch(tuple(ids)), *branch.conditions))
            selects.append(f"SELECT {row.id} FROM {from_where(compiler, narrowed, row)}")
    if not selects:
        return Statement("SELECT ''::text AS id WHERE false")
    return binder.statement(" UNION ".join(selects))


def new_compiler(query: Query, binder: Binder) -> Compiler:
    """Return what turns the query's conditions into SQL."""
    return Compiler(binder, query.dialect, query.fhir_comparisons)


def from_where(compiler: Compiler, branch: Branch, row: Row) -> str:
    """Return the table and WHERE clause of one branch."""
    tests = [compiler.test(row, condition) for condition in branch.conditions]
    if compiler.fhir_comparisons:
        tests.insert(0, date_bounds(row, branch.conditions, compiler.binder))
    kept = [test for test in tests if test != TRUE]
    where = f" WHERE {' AND '.join(kept)}" if kept else ""
    return f"{table_of(branch.type)}{where}"
