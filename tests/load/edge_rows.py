"""What the edge takes: the same box asked through Caddy and directly, in turn.

Source: docs/architecture.md, "One machine" (edge cost).
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from infra.edge import Edge
from infra.local.caddy import CaddyServer, find_program
from infra.local.ports import any_free_port
from infra.local.service import Running
from tests.load import payloads
from tests.load.request_rows import load_server, median_cpu, row_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.load.figures import Row
    from tests.load.request_rows import Bench
    from tests.load.servers import Box


def edge_row(bench: Bench, name: str, box: Box, run_directory: Path, home: Path) -> Row:
    """Measure reads of the hosted box `name`, which also listens at `box.port`.

    Raises SetupError when there is no Caddy or it does not start.
    """
    bench.say("read through the edge")
    edge = Edge(port=any_free_port(), run_directory=run_directory, data_directory=home)
    caddy = CaddyServer(home=home, edge=edge, program=find_program())
    caddy.ensure_configured()
    url = "/fhir/Patient/busy-0"
    through = bench.generator.prepare(
        "edge", [payloads.http_request("GET", url, headers={"x-box": name})]
    )
    directly = bench.generator.prepare("direct", [payloads.http_request("GET", url)])
    with Running(caddy.service(), home / "caddy.log") as running:
        ours, floor = [], []
        for _ in range(bench.scale.runs):
            ours.append(load_server(bench, through, edge.port, [box.pid, running.process.pid]))
            floor.append(load_server(bench, directly, box.port, [box.pid]))
    row = row_of("read through the edge, /fhir", ours)
    row.floor = [sample.rate for sample in floor]
    row.floor_cpu = median_cpu([sample.cpu for sample in floor])
    row.floor_name = "the same reads without the edge; CPU of box and edge together"
    row.parts = {"p50 without the edge (ms)": median(one.outcome.p50_ms for one in floor)}
    return row
