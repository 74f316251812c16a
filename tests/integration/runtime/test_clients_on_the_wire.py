"""Clients that are slow, that leave in the middle, that send in pieces: nobody else suffers.

Raw sockets to a real process.
Source: core specification, "HTTP surface"; RFC 9112.
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
import time

import pytest

from tests.integration.runtime.making import OAK, entry, fresh, transaction
from tests.integration.runtime.processes import ROOT, box_process

BASIC = base64.b64encode(":".join(ROOT).encode()).decode()


@pytest.fixture(scope="module")
def served(box_databases, tmp_path_factory):
    """Return a client of a box process, with few database connections to run out of."""
    log = tmp_path_factory.mktemp("wire") / "box.log"
    name = box_databases.create()
    environment = {
        **box_databases.environment(name),
        "BOX_DB_CONNECTIONS": "3",
        "BOX_WEB_MAX_BODY": "20000000",
    }
    with box_process(environment, log) as (_, client):
        yield client
    assert '"lvl":"error"' not in log.read_text()
    box_databases.drop(name)


def connect(client):
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=30)


def head(method, path, *lines):
    fixed = (f"{method} {path} HTTP/1.1", "Host: box.test", f"Authorization: Basic {BASIC}")
    return ("\r\n".join((*fixed, *lines)) + "\r\n\r\n").encode()


def answer_of(connection):
    """Read one answer: (status, headers, body)."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, stream.read(int(headers.get("content-length", "0")))


def patients(client, mark):
    return client.get(f"/fhir/Patient?identifier={mark}").json()["total"]


def body_of(mark):
    return json.dumps({**OAK, "identifier": [{"value": mark}]}).encode()


def post_head(body, *more):
    length = f"Content-Length: {len(body)}"
    return head("POST", "/fhir/Patient", "Content-Type: application/json", length, *more)


def test_a_client_that_leaves_in_the_middle_of_its_body_stores_nothing(served):
    mark = fresh()
    body = body_of(mark)
    for part in (0, 1, len(body) // 2, len(body) - 1):
        with connect(served) as connection:
            connection.sendall(post_head(body) + body[:part])
    time.sleep(0.2)
    assert patients(served, mark) == 0


def test_clients_that_do_not_wait_for_their_answers_take_no_connection_away(served):
    mark = fresh()
    body = body_of(mark)
    for _ in range(30):
        with connect(served) as connection:
            connection.sendall(post_head(body) + body)
    bundle = json.dumps(transaction(*(entry("POST", "Patient", OAK) for _ in range(500)))).encode()
    for _ in range(6):
        with connect(served) as connection:
            connection.sendall(
                head(
                    "POST",
                    "/fhir",
                    "Content-Type: application/json",
                    f"Content-Length: {len(bundle)}",
                )
                + bundle
            )
    deadline = time.monotonic() + 20
    while patients(served, mark) < 30 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert patients(served, mark) == 30
    for _ in range(10):
        assert served.get("/fhir/Patient?_count=1").status_code == 200


def test_a_slow_sender_is_served_and_keeps_nobody_waiting(served):
    mark = fresh()
    body = body_of(mark)
    whole = post_head(body) + body
    with connect(served) as connection:
        for start in range(0, len(whole), 40):
            connection.sendall(whole[start : start + 40])
            asked = time.monotonic()
            assert served.get("/health").status_code == 200
            assert time.monotonic() - asked < 5
        status, _, answer = answer_of(connection)
    assert status == 201
    assert json.loads(answer)["identifier"] == [{"value": mark}]


def test_slow_readers_keep_nobody_waiting(served):
    """A dozen large answers that nobody reads, through three database connections."""
    entries = [entry("PUT", f"Patient/{fresh()}", {**OAK, "gender": "other"}) for _ in range(800)]
    assert served.post("/fhir", json=transaction(*entries)).status_code == 200
    readers = [connect(served) for _ in range(12)]
    try:
        for reader in readers:
            reader.sendall(head("GET", "/fhir/metadata") + head("GET", "/Patient?_count=800"))
        for _ in range(10):
            asked = time.monotonic()
            assert served.post("/fhir/Patient", json=OAK).status_code == 201
            assert time.monotonic() - asked < 10
        status, _, body = answer_of(readers[0])
        assert status == 200
        assert json.loads(body)["resourceType"] == "CapabilityStatement"
    finally:
        for reader in readers:
            reader.close()


def test_requests_on_one_connection_are_answered_in_order(served):
    with connect(served) as connection:
        connection.sendall(
            head("GET", "/fhir/metadata") + head("GET", "/health") + head("GET", "/fhir/Nothing")
        )
        stream = connection.makefile("rb")
        statuses = []
        for _ in range(3):
            statuses.append(int(stream.readline().split()[1]))
            length = 0
            while line := stream.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            stream.read(length)
    assert statuses == [200, 200, 404]


def chunked(body, size):
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_bodies_in_chunks(served, size):
    start = head(
        "POST", "/fhir/Patient", "Content-Type: application/json", "Transfer-Encoding: chunked"
    )
    with connect(served) as connection:
        connection.sendall(start + chunked(body_of(fresh()), size))
        assert answer_of(connection)[0] == 201
        # The connection is still good.
        connection.sendall(start + chunked(gzip.compress(body_of(fresh())), size))
        status, headers, body = answer_of(connection)
    assert (status, headers["content-type"]) == (400, "application/fhir+json; charset=utf-8")
    assert json.loads(body)["issue"][0]["diagnostics"]


def test_a_body_in_chunks_beyond_the_limit_is_413(served):
    start = head(
        "POST", "/fhir/Patient", "Content-Type: application/json", "Transfer-Encoding: chunked"
    )
    piece = b"%x\r\n%b\r\n" % (1_000_000, b" " * 1_000_000)
    with connect(served) as connection:
        connection.sendall(start)
        try:
            for _ in range(25):
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        status, _, body = answer_of(connection)
    assert status == 413
    assert json.loads(body)["resourceType"] == "OperationOutcome"


def test_a_client_that_waits_to_be_asked_for_its_body(served):
    body = body_of(fresh())
    with connect(served) as connection:
        connection.sendall(post_head(body, "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert answer_of(connection)[0] == 201


@pytest.mark.parametrize("base", ["", "/fhir"])
def test_head_has_the_headers_of_get_and_no_body(served, base):
    id_ = fresh()
    served.put(f"/Patient/{id_}", json=OAK)
    for path in (
        f"{base}/Patient/{id_}", f"{base}/Patient/{id_}/_history", f"{base}/Patient?_id={id_}",
        f"{base}/Patient/none", f"{base}/metadata", f"{base}/Nothing", f"{base}/Patient/_history?_count=1",
    ):  # fmt: skip
        with connect(served) as connection:
            connection.sendall(head("GET", path))
            got = answer_of(connection)
            # The next answer follows at once: there was no body.
            connection.sendall(head("HEAD", path) + head("GET", "/health"))
            first = connection.recv(200_000)
            while b"\r\n\r\n" not in first or b"health of" not in first:
                first += connection.recv(200_000)
        lines, _, rest = first.partition(b"\r\n\r\n")
        assert rest.startswith(b"HTTP/1.1 200"), path
        assert int(lines.split()[1]) == got[0]
        shown = dict(line.split(b": ", 1) for line in lines.split(b"\r\n")[1:])
        assert shown[b"content-length"].decode() == got[1]["content-length"]
        assert shown[b"content-type"].decode() == got[1]["content-type"]
        assert shown.get(b"etag", b"").decode() == got[1].get("etag", "")


@pytest.mark.parametrize(
    ("path", "more", "status", "code"),
    [
        ("/Patient/x?a=" + "x" * 40_000, (), 414, "too-long"),
        ("/Patient/x", ("X-Long: " + "x" * 70_000,), 431, "too-long"),
        ("/Patient", ("Content-Length: 99999999999",), 413, "too-costly"),
        ("/Patient", ("Content-Encoding: br", "Content-Length: 2"), 415, "not-supported"),
    ],
)
@pytest.mark.parametrize("base", ["", "/fhir"])
def test_requests_that_cannot_be_taken_in_get_an_outcome(served, base, path, more, status, code):
    with connect(served) as connection:
        connection.sendall(head("POST", base + path, *more) + b"{}")
        found, headers, body = answer_of(connection)
    assert found == status
    media = "application/fhir+json" if base else "application/json"
    assert headers["content-type"] == f"{media}; charset=utf-8"
    assert headers["connection"] == "close"
    outcome = json.loads(body)
    assert outcome["issue"][0]["code"] == code
    assert outcome["issue"][0]["diagnostics"]
    assert ("errors" in outcome) == (not base)


def test_what_is_no_request_gets_an_outcome_too(served):
    for nonsense in (b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n"):
        with connect(served) as connection:
            connection.sendall(nonsense)
            status, _, body = answer_of(connection)
        assert status == 400
        assert json.loads(body)["resourceType"] == "OperationOutcome"
