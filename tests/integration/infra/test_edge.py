"""A real Caddy in front of sockets that echo what reaches them."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest

from infra.edge import Edge
from infra.local.caddy import CaddyServer, find_program
from infra.local.ports import any_free_port
from infra.local.service import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Echo(BaseHTTPRequestHandler):
    """Answers every request with itself, as JSON."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        length = 0
        if self.headers["Transfer-Encoding"] == "chunked":
            while chunk := int(self.rfile.readline(), 16):
                length += len(self.rfile.read(chunk))
                self.rfile.readline()
            self.rfile.readline()
        else:
            length = len(self.rfile.read(int(self.headers["Content-Length"] or 0)))
        body = json.dumps(
            {
                "server": self.server.name,
                "path": self.path,
                "method": self.command,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body_bytes": length,
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the base class looks for these

    def log_message(self, *_arguments: object) -> None:
        pass


class EchoServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    connections: ClassVar[list[socket.socket]] = []
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        super().__init__(str(path), Echo)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def get_request(self):
        connection, _ = super().get_request()
        self.connections.append(connection)
        return connection, ("unix", 0)

    @classmethod
    def hang_up_all(cls) -> None:
        """Close connections that the edge keeps, as a process does that ends."""
        for connection in cls.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        cls.connections.clear()

    def close(self) -> None:
        self.shutdown()
        self.hang_up_all()
        self.server_close()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


class Client:
    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log

    def send(
        self,
        host: str,
        path: str = "/",
        *,
        method: str = "GET",
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers={"Host": host} | (headers or {}))
            response = connection.getresponse()
            content = response.read()
            kind = response.headers["Content-Type"] or ""
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                json.loads(content) if "json" in kind else content.decode(),
            )
        finally:
            connection.close()


@pytest.fixture(scope="module")
def run_directory(service_directory: Path) -> Path:
    directory = service_directory / "edge-run"
    (directory / "boxes").mkdir(parents=True)
    return directory


@pytest.fixture(scope="module")
def edge(run_directory: Path, service_directory: Path) -> Iterator[Client]:
    home = service_directory / "caddy"
    server = CaddyServer(
        home=home,
        edge=Edge(
            port=any_free_port(),
            run_directory=run_directory,
            data_directory=home,
            domain="box.local",
            shared_hosts=("platform.example",),
        ),
        program=find_program(),
    )
    server.ensure_configured()
    sockets = [
        EchoServer(run_directory / "boxes" / "clinica.sock"),
        EchoServer(run_directory / "boxes" / "clinicb.sock"),
        EchoServer(run_directory / "console.sock"),
    ]
    log = service_directory / "caddy.log"
    with Running(server.service(), log):
        yield Client(server.edge.port, log)
    for each in sockets:
        each.close()


def assert_outcome(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert answer.body["resourceType"] == "OperationOutcome"
    (issue,) = answer.body["issue"]
    assert (issue["severity"], issue["code"]) == ("error", code)
    assert "clinic" not in issue["diagnostics"]


@pytest.mark.parametrize(
    "host",
    ["clinica.box.local", "clinica.box.local:8888", "ClinicA.BOX.Local:1", "clinica.box.local."],
)
def test_the_host_names_the_box_in_any_case_with_any_port(edge, host):
    answer = edge.send(host, "/fhir/Patient?name=x")
    assert (answer.status, answer.body["server"]) == (200, "clinica")
    assert answer.body["path"] == "/fhir/Patient?name=x"


@pytest.mark.parametrize("host", ["box.local", "box.local:99", "127.0.0.1", "[::1]:8", "BOX.local"])
@pytest.mark.parametrize("header", ["x-box", "X-BOX", "Box-Name"])
def test_on_the_shared_host_a_header_names_the_box(edge, host, header):
    answer = edge.send(host, headers={header: "clinicb"})
    assert (answer.status, answer.body["server"]) == (200, "clinicb")


def test_the_newer_header_wins_over_the_older(edge):
    answer = edge.send("box.local", headers={"x-box": "clinica", "Box-Name": "clinicb"})
    assert answer.body["server"] == "clinica"


def test_a_header_that_agrees_with_the_host_changes_nothing(edge):
    answer = edge.send("clinica.box.local", headers={"x-box": "clinica", "Box-Name": "clinica"})
    assert answer.body["server"] == "clinica"


@pytest.mark.parametrize("header", ["x-box", "Box-Name"])
@pytest.mark.parametrize("name", ["clinicb", "nosuchbox", "../console", "x"])
def test_a_header_that_disagrees_with_the_host_is_refused(edge, header, name):
    assert_outcome(edge.send("clinica.box.local", headers={header: name}), 400, "invalid")


@pytest.mark.parametrize(
    "host", ["nosuchbox.box.local", "x.box.local", "a.clinica.box.local", "..box.local"]
)
def test_an_unknown_box_in_the_host_is_not_found(edge, host):
    assert_outcome(edge.send(host), 404, "not-found")


@pytest.mark.parametrize(
    "name", ["nosuchbox", "../console", "x", "clinica.sock", "clinica,clinicb", "CLINICA", "*"]
)
@pytest.mark.parametrize("header", ["x-box", "Box-Name"])
def test_an_unknown_box_in_a_header_is_not_found(edge, name, header):
    assert_outcome(edge.send("box.local", headers={header: name}), 404, "not-found")


@pytest.mark.parametrize("host", ["box.local", "127.0.0.1:1", "platform.example", "other.example"])
def test_without_a_box_the_control_plane_answers(edge, host):
    answer = edge.send(host, "/boxes/")
    assert (answer.status, answer.body["server"]) == (200, "console")
    assert answer.body["headers"]["host"] == host


def test_headers_on_any_other_host_name_no_box(edge):
    assert edge.send("other.example", headers={"x-box": "clinica"}).body["server"] == "console"
    assert edge.send("platform.example", headers={"x-box": "clinica"}).body["server"] == "clinica"


def test_what_a_client_claims_about_its_origin_is_replaced(edge):
    claims = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
    }
    headers = edge.send("clinica.box.local:88", headers=claims).body["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == "clinica.box.local:88"
    assert "x-real-ip" not in headers
    assert "forwarded" not in headers


def test_a_box_is_reachable_exactly_while_its_socket_exists(edge, run_directory):
    assert_outcome(edge.send("newbox.box.local"), 404, "not-found")
    server = EchoServer(run_directory / "boxes" / "newbox.sock")
    try:
        assert edge.send("newbox.box.local").body["server"] == "newbox"
    finally:
        server.close()
        (run_directory / "boxes" / "newbox.sock").unlink()
    assert_outcome(edge.send("newbox.box.local"), 404, "not-found")


def test_a_socket_nobody_listens_on_is_unavailable_and_leaves_no_query_in_the_log(
    edge, run_directory
):
    path = run_directory / "boxes" / "deadbox.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    try:
        answer = edge.send("deadbox.box.local", "/fhir/Patient?name=Pickwick")
        assert_outcome(answer, 503, "transient")
        assert answer.headers["retry-after"] == "1"
        assert "Pickwick" not in edge.log.read_text()
    finally:
        path.unlink()


def test_a_body_that_says_it_is_too_large_is_refused_without_being_read(edge):
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20)
    connection.putrequest("POST", "/fhir/Binary", skip_host=True)
    connection.putheader("Host", "clinica.box.local")
    connection.putheader("Content-Length", "250000000")
    connection.endheaders(b"x" * 300_000)
    response = connection.getresponse()
    answer = Answer(
        response.status,
        {name.lower(): value for name, value in response.headers.items()},
        json.loads(response.read()),
    )
    connection.close()
    assert_outcome(answer, 413, "too-long")


def test_large_and_chunked_bodies_pass(edge):
    body = b"x" * 5_000_000
    assert edge.send("clinica.box.local", method="PUT", body=body).body["body_bytes"] == len(body)
    chunks = iter([b"a" * 100_000, b"b" * 100_000])
    answer = edge.send("clinica.box.local", method="POST", body=chunks)
    assert answer.body["body_bytes"] == 200_000


def test_headers_of_a_megabyte_are_refused(edge):
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20)
    try:
        connection.request(
            "GET", "/", headers={"Host": "clinica.box.local", "X-A": "a" * 1_000_000}
        )
        status = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        status = 431  # refused while we were still sending
    finally:
        connection.close()
    assert status == 431
    assert edge.send("clinica.box.local").status == 200


@pytest.mark.parametrize("path", ["/fhir/Patient/%2e%2e/x", "/a%2Fb", "/a//b", "/fhir/$op?a=%20b"])
def test_paths_reach_the_box_as_they_were_sent(edge, path):
    assert edge.send("clinica.box.local", path).body["path"] == path


def test_a_request_waits_for_a_control_plane_that_comes_back(edge, run_directory):
    console, hidden = run_directory / "console.sock", run_directory / "hidden.sock"
    EchoServer.hang_up_all()
    console.rename(hidden)
    timer = threading.Timer(0.3, hidden.rename, [console])
    timer.start()
    answer = edge.send("box.local", method="POST", body=b"{}")
    timer.join()
    assert (answer.status, answer.body["body_bytes"]) == (200, 2)


def test_without_a_control_plane_the_answer_is_unavailable(edge, run_directory):
    console, hidden = run_directory / "console.sock", run_directory / "hidden.sock"
    EchoServer.hang_up_all()
    console.rename(hidden)
    try:
        answer = edge.send("box.local")
    finally:
        hidden.rename(console)
    assert answer.status == 502
    assert "control plane" in answer.body
