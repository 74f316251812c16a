"""The bench measures every row. What it measures is not judged here: no assertion on speed."""

import math
import shutil
import socketserver
import threading

import pytest

from tests.load import bench, figures, servers, table
from tests.load.generator import Generator, LoadError
from tests.load.payloads import http_request
from tests.load.scale import SMALLEST

ROWS = {
    "create, /fhir",
    "read by id, /fhir",
    "read by id, /",
    "update, /fhir",
    "transaction of 100, /fhir",
    "Synthea bundles, /fhir",
    "convert to Aidbox format",
    "convert to FHIR format",
    "validate",
    "conditional update, /fhir",
    "history of a resource, /fhir",
    "transaction of 1000, /fhir",
    "create in a grown table, /fhir",
    "read in a grown table, /fhir",
    "box creation to first 200",
    "wake to the first byte",
    "read through the edge, /fhir",
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
    # wrk measures whole seconds; our client is as good a proof that every row works.
    measured = bench.run(SMALLEST, said.append, generator="client")
    path = tmp_path / "figures.json"
    figures.write(measured, path)
    kept = figures.load(path)

    assert {row.name for row in kept.rows} == ROWS
    for row in kept.rows:
        assert row.ours, row.name
        assert all(math.isfinite(figure) and figure > 0 for figure in row.ours), row
        if row.name in OF_REQUESTS:
            assert 0 < row.p50_ms <= row.p99_ms, row
            assert row.cpu.app_us > 0, row
        if row.name in WITHOUT_FLOOR:
            assert not row.floor, row
        else:
            assert row.floor_median > 0, row
            assert row.floor_name, row
    assert said
    text = table.render(kept)
    assert all(row.name in text for row in kept.rows)
    assert all(row.name in table.render_change(kept, measured) for row in kept.rows)


@pytest.mark.parametrize("name", ["client", "wrk"])
def test_both_generators_measure_a_server(name, tmp_path):
    if name == "wrk" and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    generator = Generator(tmp_path, name)
    requests = generator.prepare("echo", [http_request("POST", "/", b"x" * 2000)] * 3)
    with servers.hello(tmp_path) as (port, _):
        outcome = generator.for_seconds(requests, port, connections=2, seconds=0.1)
        once = generator.once(requests, port, connections=2)
    assert outcome.requests > 3
    assert outcome.failed == 0
    assert 0 < outcome.p50_ms <= outcome.p99_ms
    assert once.requests == 3


@pytest.mark.parametrize("name", ["client", "wrk"])
def test_a_measurement_of_errors_is_refused(name, tmp_path, refusing_port):
    if name == "wrk" and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    generator = Generator(tmp_path, name)
    requests = generator.prepare("refused", [http_request("GET", "/")])
    with pytest.raises(LoadError, match="failed"):
        generator.for_seconds(requests, refusing_port, connections=1, seconds=0.1)


@pytest.fixture
def refusing_port():
    """Port of a server that answers every request with 403."""
    answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"

    class Refusing(socketserver.BaseRequestHandler):
        def handle(self):
            while self.request.recv(65536):
                self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
