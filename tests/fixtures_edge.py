"""A real nginx in front of sockets that echo what reaches them."""

from __future__ import annotations

import http.client
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from boxruntime.host.listeners import SOCKET_MODE
from infra.edge import Edge
from infra.local.nginx import NginxServer, find_program
from infra.local.ports import any_free_port
from infra.local.service import Running

if TYPE_CHECKING:
    from collections.abc import Iterator


WANTED = ("Content-Encoding", "X-Accel-Redirect")


class Echo(BaseHTTPRequestHandler):
    """Answers every request with itself, as JSON."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        if self.path == "/stream":
            self.answer_in_pieces()
            return
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
        for name in WANTED:
            if value := self.headers["Want-" + name]:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def answer_in_pieces(self) -> None:
        """Send a piece, and the second only when the server's `go_on` is set."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        if self.server.go_on.wait(10):
            self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the base class looks for these

    def log_message(self, *_arguments: object) -> None:
        pass


class EchoServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path, *, serving: bool = True) -> None:
        self.name = path.stem
        self.go_on = threading.Event()
        super().__init__(str(path), Echo)
        path.chmod(SOCKET_MODE)
        if serving:
            self.start()

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("unix", 0)

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


class EdgeClient:
    def __init__(self, port: int, log: Path, clinica: EchoServer) -> None:
        self.port = port
        self.log = log
        self.clinica = clinica

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


@pytest.fixture(scope="session")
def edge_run(service_directory: Path) -> Path:
    directory = service_directory / "edge-run"
    (directory / "boxes").mkdir(parents=True)
    return directory


def make_edge(home: Path, run_directory: Path) -> NginxServer:
    server = NginxServer(
        home=home,
        edge=Edge(
            port=any_free_port(),
            run_directory=run_directory,
            domain="box.local",
            shared_hosts=("platform.example",),
        ),
        program=find_program(),
    )
    server.ensure_configured()
    return server


@pytest.fixture(scope="session")
def edge(edge_run: Path, service_directory: Path) -> Iterator[EdgeClient]:
    server = make_edge(service_directory / "nginx", edge_run)
    sockets = [
        EchoServer(edge_run / "boxes" / "clinica.sock"),
        EchoServer(edge_run / "boxes" / "clinicb.sock"),
        EchoServer(edge_run / "console.sock"),
    ]
    log = service_directory / "nginx.log"
    with Running(server.service(), log):
        yield EdgeClient(server.edge.port, log, sockets[0])
    for each in sockets:
        each.close()


def assert_outcome(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert answer.body["resourceType"] == "OperationOutcome"
    (issue,) = answer.body["issue"]
    assert (issue["severity"], issue["code"]) == ("error", code)
    assert "clinic" not in issue["diagnostics"]
