"""How much a run of the bench measures: the full, the quick and the smallest size."""

from __future__ import annotations

import msgspec


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of one run of the bench."""

    name: str
    runs: int
    """Measurements of each request row, ours and floor in turn; the median counts."""
    seconds: float
    """Length of one measurement of ours; wrk rounds it up to whole seconds."""
    floor_s: float
    bundle_runs: int
    bundles: int
    """Transaction bundles of 100 sent in one measurement."""
    synthea: int
    """Synthea patients loaded in one measurement."""
    grown_rows: int
    """Rows of the table that a create and a read are measured on once more."""
    boxes: int
    """Boxes created."""
    wakes: int
    forks: int


FULL = Scale(
    name="full",
    runs=5,
    seconds=1,
    floor_s=0.6,
    bundle_runs=3,
    bundles=24,
    synthea=16,
    grown_rows=1_000_000,
    boxes=3,
    wakes=12,
    forks=30,
)
QUICK = Scale(
    name="quick",
    runs=1,
    seconds=1,
    floor_s=0.4,
    bundle_runs=1,
    bundles=12,
    synthea=6,
    grown_rows=20_000,
    boxes=2,
    wakes=5,
    forks=10,
)
SMALLEST = Scale(
    name="smallest",
    runs=1,
    seconds=0.3,
    floor_s=0.1,
    bundle_runs=1,
    bundles=4,
    synthea=1,
    grown_rows=1_000,
    boxes=1,
    wakes=2,
    forks=2,
)

CONNECTIONS = 32
"""HTTP connections of a request row."""
BUNDLE_CONNECTIONS = 4
"""HTTP connections that send bundles: several clients, and no long queue."""
DATABASE_CONNECTIONS = 8
"""Of the measured box (its default) and so of the SQL floor."""
