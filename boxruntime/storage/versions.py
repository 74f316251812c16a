"""Versions of resources, newest first: the current row and its history, in slices.

Source: core specification, "History".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.storage.rows import Stored, stored_from

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from boxruntime.storage.database import Runner


class Slice(NamedTuple):
    """Which versions of a history are asked for.

    `since` and `before`: written at or after, and before; `after_txid`: a higher version;
    `current_from`: not replaced or deleted by this moment yet.
    """

    limit: int
    offset: int
    after_txid: int | None = None
    since: datetime | None = None
    before: datetime | None = None
    current_from: datetime | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is cut from all versions, without a condition."""
        return all(condition is None for condition in self[2:])


class Page(NamedTuple):
    """A slice of versions, how many meet its conditions, and the newest txid of all there are."""

    rows: list[Stored]
    total: int
    newest: int


async def read_page(runner: Runner, sources: Sequence[str], slice_: Slice, id_: str | None) -> Page:
    """Return the versions of a slice.

    `sources`: a SELECT of all versions of each type (`Statements.versions`); `id_`: of one
    resource only.
    """
    if not sources:
        return Page([], 0, 0)
    source, parameters = _cut(sources, slice_, id_)
    # Before the versions themselves: whoever goes on from `newest` misses none of them.
    if slice_.is_whole:
        counting = (
            f"SELECT count(*) AS total, coalesce(max(txid), 0) AS newest FROM ({source}) AS v"
        )
    else:
        # An id is the first parameter of both.
        known = _cut(sources, Slice(0, 0), id_)[0]
        counting = (
            f"SELECT (SELECT count(*) FROM ({source}) AS v) AS total, "
            f"(SELECT coalesce(max(txid), 0) FROM ({known}) AS v) AS newest"
        )
    (counted,) = await runner.run(counting, *parameters)
    rows = await runner.run(
        f"SELECT * FROM ({source}) AS every ORDER BY txid DESC, resource_type, id "
        f"LIMIT {int(slice_.limit)} OFFSET {int(slice_.offset)}",
        *parameters,
    )
    return Page([stored_from(row) for row in rows], counted["total"], counted["newest"])


def _cut(sources: Sequence[str], slice_: Slice, id_: str | None) -> tuple[str, list[Any]]:
    """Return a SELECT of the versions that the slice is cut from, and its parameters."""
    conditions: list[str] = []
    parameters: list[Any] = []
    for clause, value in (
        ("v.id = ${}", id_),
        ("v.txid > ${}", slice_.after_txid),
        ("v.ts >= ${}", slice_.since),
        ("v.ts < ${}", slice_.before),
    ):
        if value is not None:
            parameters.append(value)
            conditions.append(clause.format(len(parameters)))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    selects = []
    for source in sources:
        select = f"{source}{where}"
        if slice_.current_from is not None:
            # A version is current until its successor; a later one than the period began
            # replaces it, so it was current in the period unless that came before.
            parameters.append(slice_.current_from)
            select += (
                f"{' AND' if where else ' WHERE'} NOT EXISTS (SELECT 1 FROM "
                f"({source}) AS w WHERE w.id = v.id AND w.txid > v.txid "
                f"AND w.ts <= ${len(parameters)}) AND (v.status <> 'deleted' "
                f"OR v.ts > ${len(parameters)})"
            )
        selects.append(f"({select})")
    return " UNION ALL ".join(selects), parameters
