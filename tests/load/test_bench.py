"""The bench measures every row. What it measures is not judged here: no assertion on speed."""

import math

from tests.load import bench, figures, table
from tests.load.scale import SMALLEST

ROWS = {
    "create, /fhir",
    "read by id, /fhir",
    "read by id, /",
    "update, /fhir",
    "transaction of 100, /fhir",
    "Synthea bundles, /fhir",
    "box creation to first 200",
    "wake to the first byte",
    "memory of an idle running box",
    "memory of a box process after load",
    "memory of a single server after load",
    "PostgreSQL for an idle box",
    "HTTP alone, GET 2 kB",
    "HTTP alone, POST 2 kB",
}
OF_REQUESTS = {name for name in ROWS if name.endswith(("/fhir", "/", "kB"))}
WITHOUT_FLOOR = {
    "memory of a single server after load",
    "PostgreSQL for an idle box",
    "HTTP alone, GET 2 kB",
    "HTTP alone, POST 2 kB",
}


def test_every_row_has_a_figure_and_a_floor(tmp_path):
    said = []
    measured = bench.run(SMALLEST, said.append)
    path = tmp_path / "figures.json"
    figures.write(measured, path)
    kept = figures.load(path)

    assert {row.name for row in kept.rows} == ROWS
    for row in kept.rows:
        assert row.ours, row.name
        assert all(math.isfinite(figure) and figure > 0 for figure in row.ours), row
        if row.name in OF_REQUESTS:
            assert row.p50_ms and row.p99_ms and row.p50_ms <= row.p99_ms, row
            assert row.cpu and row.cpu.app_us > 0, row
        if row.name in WITHOUT_FLOOR:
            assert not row.floor, row
        else:
            assert row.floor_median and row.floor_median > 0, row
            assert row.floor_name, row
    assert said
    text = table.render(kept)
    assert all(row.name in text for row in kept.rows)
    assert all(row.name in table.render_change(kept, measured) for row in kept.rows)
