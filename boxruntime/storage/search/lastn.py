"""The newest Observations of each code as one statement: groups, places in them, order, total.

Source: core specification, "Compartments and `$lastn`".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from boxruntime.storage.rows import COLUMNS, Stored, stored_from
from boxruntime.storage.search.compile import from_where, new_compiler
from boxruntime.storage.search.places import table_of, table_row
from boxruntime.storage.search.run import fetch
from boxruntime.storage.search.statement import Binder, Statement

if TYPE_CHECKING:
    from boxruntime.fhir.search.query import Query
    from boxruntime.storage.database import Runner

_GROUP = """\
CASE WHEN {d} #>> '{{code,coding,0,code}}' IS NOT NULL
THEN jsonb_build_array({d} #> '{{code,coding,0,system}}', {d} #> '{{code,coding,0,code}}')
ELSE {d} #> '{{code,text}}' END"""
"""First coding (system and code), else the text; NULL = neither, one group of its own."""
_NEWEST = """\
coalesce(box_date_lo({d} #> '{{effective,dateTime}}'), box_date_lo({d} #> '{{effective,instant}}'),
box_date_lo({d} #> '{{effective,Period,end}}'), box_date_lo({d} #> '{{effective,Period,start}}'))"""
"""When an Observation took effect; NULL = not told, or by a Timing."""


class Newest(NamedTuple):
    """One page of what was found, and how much there is in all."""

    rows: list[Stored]
    total: int


def compile_newest(query: Query, most: int, *, limit: int, offset: int) -> Statement:
    """Return the statement of one page; its rows have COLUMNS and the `total` of all pages.

    Of each group the `most` newest rows, and those that are as new as the last of them. Groups
    and their rows come newest first, those without a time last.
    """
    (branch,) = query.branches
    binder = Binder()
    row = table_row(branch.type)
    source = from_where(new_compiler(query, binder), branch, row)
    group = _GROUP.format(d=row.document)
    newest = _NEWEST.format(d=row.document)
    order = "first DESC NULLS LAST, code_group, newest DESC NULLS LAST, id"
    # The documents join the page last: windows would carry, and sort, all of them.
    return binder.statement(
        f"SELECT {COLUMNS}, total FROM ("
        "SELECT id, code_group, newest, count(*) OVER () AS total, "
        "max(newest) OVER (PARTITION BY code_group) AS first "
        "FROM (SELECT *, rank() OVER (PARTITION BY code_group ORDER BY newest DESC NULLS LAST) "
        f"AS place FROM (SELECT {row.id} AS id, {group} AS code_group, {newest} AS newest "
        f"FROM {source}) AS matched) AS ranked WHERE place <= {binder.integer(most)} "
        f"ORDER BY {order} LIMIT {binder.integer(limit)} OFFSET {binder.integer(offset)}"
        f") AS page JOIN {table_of(branch.type)} USING (id) ORDER BY {order}"
    )


async def fetch_newest(runner: Runner, query: Query, most: int) -> Newest:
    """Return the query's page. Raises OutcomeError INVALID as `fetch` does."""
    offset = (query.page - 1) * query.count
    records = await fetch(runner, compile_newest(query, most, limit=query.count, offset=offset))
    if not records and (offset or not query.count):
        # An empty page does not tell the total.
        first = await fetch(runner, compile_newest(query, most, limit=1, offset=0))
        return Newest([], first[0]["total"] if first else 0)
    return Newest(
        [stored_from(record) for record in records], records[0]["total"] if records else 0
    )
