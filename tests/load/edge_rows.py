"""What the edge takes: the same box asked through nginx and directly, in turn.

Source: docs/architecture.md, "One machine" (edge cost).
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from infra.edge import Edge
from infra.local.nginx import NginxServer, find_program
from infra.local.ports import any_free_port
from infra.local.service import Running
from tests.load import payloads
from tests.load.request_rows import load_server, median_cpu, row_of
from tests.load.usage import children

if TYPE_CHECKING:
    from pathlib import Path

    from tests.load.figures import Row
    from tests.load.request_rows import Bench
    from tests.load.servers import Box


def edge_row(bench: Bench, name: str, box: Box, run_directory: Path, home: Path) -> Row:
    """Measure reads of the hosted box `name`, which also listens at `box.port`.

    Raises SetupError when there is no nginx or it does not start.
    """
    bench.say("read through the edge")
    edge = Edge(port=any_free_port(), run_directory=run_directory)
    nginx = NginxServer(home=home, edge=edge, program=find_program())
    nginx.ensure_configured()
    url = "/fhir/Patient/busy-0"
    through = bench.generator.prepare(
        "edge", [payloads.http_request("GET", url, headers={"x-box": name})]
    )
    directly = bench.generator.prepare("direct", [payloads.http_request("GET", url)])
    with Running(nginx.service(), home / "nginx.log") as running:
        workers = children(running.process.pid)
        ours, floor = [], []
        for _ in range(bench.scale.runs):
            ours.append(load_server(bench, through, edge.port, [box.pid, *workers]))
            floor.append(load_server(bench, directly, box.port, [box.pid]))
    row = row_of("read through the edge, /fhir", ours)
    row.floor = [sample.rate for sample in floor]
    row.floor_cpu = median_cpu([sample.cpu for sample in floor])
    row.floor_name = "the same reads without the edge; CPU of box and edge together"
    row.parts = {"p50 without the edge (ms)": median(one.outcome.p50_ms for one in floor)}
    return row
