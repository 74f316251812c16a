"""Memory, CPU, files and connections of a box are bounded; heads of requests too."""

import contextlib
import http.client
import os
import socket
import time

import pytest

from boxruntime.contract import Limits
from boxruntime.host.cgroups import find_groups

MB = 1024 * 1024


def uses_groups(host):
    return "cgroup" in host.result(command="ping")["limits"]


def test_memory_hog_hurts_only_itself(host):
    host.ensure("hog", memory_mb=48)
    host.ensure("calm")
    calm = host.get("calm")["pid"]
    assert host.request("hog", "/hog", b"%d" % (5 * MB))[2] == 5 * MB
    try:
        assert host.request("hog", "/hog", b"%d" % (400 * MB))[0] == 500
    except (OSError, http.client.HTTPException):
        host.wait_until(lambda: host.status("hog")["last_exit"] == -9)
    assert host.get("hog")["pid"]
    assert host.get("calm")["pid"] == calm


def test_cpu_share_is_bounded(host):
    host.ensure("busy", cpu_percent=20)
    host.get("busy")
    code = """
import time
end = time.monotonic() + 1
start = time.process_time()
while time.monotonic() < end:
    pass
result = [time.process_time() - start, os.nice(0)]
"""
    used_s, nice = host.run_in("busy", code)["result"]
    if uses_groups(host):
        assert used_s < 0.5
    else:
        assert nice == 5


def test_process_limits_are_set(host):
    host.ensure("fenced", http_connections=20, database_connections=3)
    code = """
import resource
names = ("RLIMIT_CORE", "RLIMIT_NOFILE")
result = [resource.getrlimit(getattr(resource, name)) for name in names]
"""
    core, files = host.run_in("fenced", code)["result"]
    assert core == [0, 0]
    assert files == [107, 107]
    score = host.run_in("fenced", "result = Path('/proc/self/oom_score_adj').read_text()")
    assert score["result"].strip() == "500"


def test_connections_above_the_limit_are_answered_503(host):
    host.ensure("narrow", http_connections=4)
    open_ones = [host.connection("narrow") for _ in range(6)]
    for connection in open_ones:
        connection.connect()
    time.sleep(0.2)
    statuses = []
    for connection in open_ones:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    for connection in open_ones:
        connection.close()
    assert 503 in statuses
    assert host.get("narrow")["pid"]


def raw(host, box, *parts, pause_s=0.0):
    """Send bytes as they are; return all that comes back until nothing does for 0.3 s."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(host.socket_path(box)))
        for part in parts:
            client.sendall(part)
            time.sleep(pause_s)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while chunk := client.recv(65536):
                answer += chunk
                client.settimeout(0.3)
    return answer


@pytest.fixture(scope="module")
def heads(host):
    host.ensure("heads")
    return host.get("heads")["pid"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: b\r\nx: " + b"a" * MB + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: b\r\n" + b"x: aaaaaaaaaaaaaa\r\n" * 60_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: b\r\nx: " + b"a" * 66_000 + b"\r\n\r\n", 431),
        (b"GET /?a=" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: b\r\n\r\n", 414),
        (b"GET /?a=" + b"a" * MB + b" HTTP/1.1\r\nhost: b\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nhost: b\r\nx: " + b"a" * 60_000 + b"\r\n\r\n", 200),
        (b"GET /?a=" + b"a" * 30_000 + b" HTTP/1.1\r\nhost: b\r\n\r\n", 200),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET http:// HTTP/1.1\r\nhost: b\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nhost: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: b\r\ncontent-length: -1\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
    ],
    ids=lambda value: str(value)[:24],
)
def test_odd_heads_are_answered_and_harmless(host, heads, request_bytes, status):
    answer = raw(host, "heads", request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"Traceback" not in answer
    assert host.get("heads")["pid"] == heads


def test_head_that_comes_in_small_pieces_is_bounded_too(host, heads):
    parts = [b"GET / HTTP/1.1\r\nhost: b\r\n", *[b"x: " + b"a" * 4000 + b"\r\n"] * 30]
    assert raw(host, "heads", *parts, pause_s=0.002).startswith(b"HTTP/1.1 431 ")


def test_head_in_pieces_and_body_in_chunks(host, heads):
    head = b"POST / HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    parts = [head[i : i + 9] for i in range(0, len(head), 9)]
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answer = raw(host, "heads", *parts, chunk * 4, b"0\r\n\r\n", pause_s=0.001)
    assert b'"body": 262144' in answer


def test_pipelined_requests_are_answered_in_order(host, heads):
    two = b"POST / HTTP/1.1\r\nhost: b\r\ncontent-length: %d\r\n\r\n%s"
    bodies = [b"x" * size for size in (3, 1, 2)]
    answer = raw(host, "heads", b"".join(two % (len(body), body) for body in bodies))
    places = [answer.index(b'"body": %d' % size) for size in (3, 1, 2)]
    assert places == sorted(places)


def test_refusal_does_not_overtake_the_answer_before_it(host, heads):
    slow = b"GET /slow HTTP/1.1\r\nhost: b\r\n\r\n"
    answer = raw(host, "heads", slow + b"GET / HTTP/1.1\r\nx: " + b"a" * MB + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_expectation_and_upgrade_are_handled(host, heads):
    head = b"POST / HTTP/1.1\r\nhost: b\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n"
    assert b"100 Continue" in raw(host, "heads", head, b"x", pause_s=0.05)
    head = b"GET / HTTP/1.1\r\nhost: b\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    assert raw(host, "heads", head).startswith(b"HTTP/1.1 200 ")


def test_responses_carry_a_date_and_no_server_name(host, heads):
    headers = host.request("heads")[1]
    assert headers["date"]
    assert headers["server"] is None


def test_version_2_groups_are_made_as_the_kernel_wants_them(tmp_path):
    """Against a directory that looks like cgroup2: the files' contents are what is checked."""
    own = tmp_path / "service"
    own.mkdir()
    (tmp_path / "cgroup.controllers").write_text("memory cpu pids io")
    (own / "cgroup.controllers").write_text("memory cpu pids io")
    membership = tmp_path / "membership"
    membership.write_text("0::/service\n")
    groups = find_groups("halebox-x", tmp_path, membership)
    assert groups.name == "cgroup v2"
    assert (own / "boxhost" / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"
    groups.place("abc", 77, Limits(memory_mb=100, cpu_percent=50))
    group = own / "halebox-x" / "box-abc"
    assert (group / "memory.max").read_text() == str(100 * MB)
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert (group / "cgroup.procs").read_text() == "77"


def test_without_writable_groups_there_are_none(tmp_path):
    membership = tmp_path / "membership"
    membership.write_text("0::/\n3:memory:/x\n")
    assert find_groups("halebox-x", tmp_path, membership) is None
