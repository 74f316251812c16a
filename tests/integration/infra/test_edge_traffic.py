"""Bodies, streams and ends: what the edge passes on, and what it answers when it cannot."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from boxruntime.host.listeners import SOCKET_MODE
from infra.local.service import Running
from tests.fixtures_edge import Answer, EchoServer, assert_outcome, make_edge

if TYPE_CHECKING:
    from collections.abc import Callable


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_socket_nobody_listens_on_is_unavailable_and_leaves_no_query_in_the_log(edge, edge_run):
    path = edge_run / "boxes" / "deadbox.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.chmod(SOCKET_MODE)
    try:
        answer = edge.send("deadbox.box.local", "/fhir/Patient?name=Pickwick")
        assert_outcome(answer, 503, "transient")
        assert answer.headers["retry-after"] == "1"
        wait_until(lambda: ' 503 for "deadbox" ' in edge.log.read_text())
        log = edge.log.read_text()
        assert "Pickwick" not in log
        assert "Patient" not in log
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


def test_a_body_that_grows_too_large_is_refused(edge):
    chunks = (b"x" * 1_000_000 for _ in range(201))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # while we were sending
        answer = edge.send("clinica.box.local", method="POST", body=chunks)
        assert_outcome(answer, 413, "too-long")
    assert edge.send("clinica.box.local").status == 200


def test_a_piece_of_an_answer_reaches_the_client_before_the_next_is_there(edge):
    edge.clinica.go_on.clear()
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=5)
    connection.request("GET", "/stream", headers={"Host": "clinica.box.local"})
    response = connection.getresponse()
    assert response.read1() == b"first"
    edge.clinica.go_on.set()
    assert response.read() == b"second"
    connection.close()


@pytest.mark.parametrize("end", [signal.SIGHUP, signal.SIGQUIT])
def test_what_is_at_work_when_the_edge_is_reloaded_or_ends_is_finished(edge, edge_run, end):
    server = make_edge(edge.log.parent / f"nginx-{end.name}", edge_run)
    edge.clinica.go_on.clear()
    with Running(server.service(), edge.log) as running:
        connection = http.client.HTTPConnection("127.0.0.1", server.edge.port, timeout=5)
        connection.request("GET", "/stream", headers={"Host": "clinica.box.local"})
        response = connection.getresponse()
        assert response.read1() == b"first"
        old = children(running.process.pid)
        running.process.send_signal(end)
        if end is signal.SIGQUIT:
            wait_until(lambda: not server.answers())
        else:
            wait_until(lambda: set(children(running.process.pid)) - set(old))
            assert server.answers()
        edge.clinica.go_on.set()
        assert response.read() == b"second"
        connection.close()
        if end is signal.SIGQUIT:
            assert running.process.wait(5) == 0


def test_a_packed_answer_stays_packed(edge):
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=5)
    headers = {"Host": "clinica.box.local", "Accept-Encoding": "gzip"}
    connection.request("GET", "/", headers=headers | {"Want-Content-Encoding": "gzip"})
    response = connection.getresponse()
    assert response.headers["Content-Encoding"] == "gzip"
    assert json.loads(response.read())["headers"]["accept-encoding"] == "gzip"
    connection.close()


def test_a_box_cannot_send_its_visitors_to_the_control_plane(edge):
    for place in ("/console", "@console_unreachable"):
        answer = edge.send("clinica.box.local", headers={"Want-X-Accel-Redirect": place})
        assert (answer.status, answer.body["server"]) == (200, "clinica")


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


def test_a_request_waits_for_a_control_plane_that_comes_back(edge, edge_run):
    console, hidden = edge_run / "console.sock", edge_run / "hidden.sock"
    console.rename(hidden)
    later = EchoServer(console, serving=False)  # listens, as the supervisor does all the time
    timer = threading.Timer(0.3, later.start)
    timer.start()
    try:
        answer = edge.send("box.local", method="POST", body=b"{}")
    finally:
        timer.join()
        later.close()
        hidden.rename(console)
    assert (answer.status, answer.body["body_bytes"]) == (200, 2)


def test_without_a_control_plane_the_answer_is_unavailable(edge, edge_run):
    console, hidden = edge_run / "console.sock", edge_run / "hidden.sock"
    console.rename(hidden)
    try:
        answer = edge.send("box.local", "/login?next=Pickwick")
    finally:
        hidden.rename(console)
    assert (answer.status, answer.headers["retry-after"]) == (502, "2")
    assert "control plane" in answer.body
    # nginx writes of a request once its answer is on the way.
    wait_until(lambda: ' 502 for "" ' in edge.log.read_text())
    log = edge.log.read_text()
    assert " 404 for " not in log  # or every scanner would write to it
    assert "Pickwick" not in log
    assert "login" not in log
