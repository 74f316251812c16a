"""One connection without a socket: what it answers, when it counts as idle or stalled."""

import asyncio

import pytest

from boxruntime.http.connection import MAX_HEAD_BYTES, Connection
from boxruntime.http.messages import Response
from boxruntime.http.server import State

GET = b"GET / HTTP/1.1\r\nhost: b\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: b\r\ncontent-length: 9\r\n\r\n"
CAP = 300_000


class Transport:
    def __init__(self):
        self.writes = []
        self.closed = False
        self.reading = True

    @property
    def written(self):
        return b"".join(self.writes)

    def get_extra_info(self, _name, default=None):
        return default

    def write(self, data):
        self.writes.append(data)

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def can_write_eof(self):
        return False

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class Application:
    """Answers what it was told to; `/wait…` waits for `gate`."""

    max_body_bytes = CAP

    def __init__(self):
        self.requests = []
        self.cancelled = []
        self.gate = asyncio.Event()
        self.response = Response(204, [])

    async def startup(self):
        pass

    async def shutdown(self):
        pass

    async def answer(self, request):
        self.requests.append(request)
        if request.path.startswith(b"/wait"):
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.append(request.method)
                raise
        if request.path == b"/echo":
            return Response(200, [], request.body)
        if request.path == b"/bug":
            raise ZeroDivisionError("Ann Oak")
        return self.response

    def refuse(self, path, error):
        return Response(error.status, [(b"x-path", path)], error.message.encode())


@pytest.fixture
async def connection():
    connection = Connection(Application(), State())
    connection.connection_made(Transport())
    return connection


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def now(connection, offset_s):
    return connection._progress_at + offset_s


async def test_silent_connection_stalls_and_is_idle(connection):
    start = now(connection, 0)
    connection.stalled_for(start)
    assert connection.stalled_for(start + 80) == pytest.approx(80)
    connection.idle_for(start)
    assert connection.idle_for(start + 80) == pytest.approx(80)


async def test_idle_time_restarts_with_each_request(connection):
    start = now(connection, 0)
    connection.data_received(GET)
    assert connection.idle_for(start) == 0.0
    await settle()
    assert connection.transport.written.startswith(b"HTTP/1.1 204")
    assert connection.idle_for(start + 10) == 0.0
    assert connection.idle_for(start + 30) == pytest.approx(20)
    connection.data_received(GET)
    await settle()
    assert connection.idle_for(start + 40) == 0.0
    assert connection.stalled_for(start + 200) == 0.0


async def test_idle_time_restarts_when_the_server_stops(connection):
    start = now(connection, 0)
    connection.data_received(GET)
    await settle()
    connection.idle_for(start)
    assert connection.idle_for(start + 50) == pytest.approx(50)
    connection.announce_close()
    assert connection.idle_for(start + 60) == 0.0


@pytest.mark.parametrize("begun", [GET[:12], POST, POST + b"1234"])
async def test_unfinished_request_stalls_unless_bytes_come(connection, begun):
    connection.data_received(begun)
    await settle()
    start = now(connection, 0)
    connection.stalled_for(start)
    assert connection.stalled_for(start + 50) == pytest.approx(50)
    assert connection.idle_for(start + 50) == 0.0
    connection.data_received(b"x")
    assert connection.stalled_for(start + 60) == 0.0


async def test_answers_say_close_while_the_server_stops(connection):
    connection.state.draining = True
    connection.data_received(GET)
    await settle()
    assert b"connection: close" in connection.transport.written
    assert connection.transport.closed


async def test_head_is_counted_over_many_pieces(connection):
    connection.data_received(GET[:-2])
    for _ in range(MAX_HEAD_BYTES // 1000 + 2):
        connection.data_received(b"x: " + b"a" * 995 + b"\r\n")
    assert connection.transport.written.startswith(b"HTTP/1.1 431")
    assert b"x-path: /" in connection.transport.written  # the application says how
    assert connection.refused


async def test_a_large_head_in_two_pieces_is_refused(connection):
    head = GET[:-2] + b"x: " + b"a" * (MAX_HEAD_BYTES + 5000) + b"\r\n\r\n"
    connection.data_received(head[:MAX_HEAD_BYTES])
    connection.data_received(head[MAX_HEAD_BYTES:])
    await settle()
    assert connection.transport.written.startswith(b"HTTP/1.1 431")
    assert connection.application.requests == []


async def test_heads_after_a_large_body_start_at_zero(connection):
    body = b"x" * 200_000
    head = b"POST / HTTP/1.1\r\nhost: b\r\ncontent-length: %d\r\n\r\n" % len(body)
    connection.data_received(head + body + GET[:10])
    await settle()
    connection.data_received(GET[10:])
    await settle()
    assert connection.transport.written.count(b"HTTP/1.1 204") == 2


def get(path, *headers, method=b"GET", version=b"1.1"):
    lines = [method + b" " + path + b" HTTP/" + version, b"host: b", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def test_an_answer_is_one_write(connection):
    connection.application.response = Response(200, [(b"a", b"b")], b"{}")
    connection.data_received(GET)
    await settle()
    (answer,) = connection.transport.writes
    assert answer == b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\n\r\n{}"
    assert not connection.transport.closed


async def test_pipelined_requests_are_answered_in_their_order(connection):
    waits = get(b"/wait")
    echo = b"POST /echo HTTP/1.1\r\nhost: b\r\ncontent-length: 3\r\n\r\n"
    connection.data_received(waits + echo + b"one" + echo + b"two")
    await settle()
    assert connection.transport.writes == []
    connection.application.gate.set()
    for _ in range(4):
        await settle()
    assert [w.split(b"\r\n\r\n")[1] for w in connection.transport.writes] == [b"", b"one", b"two"]


async def test_a_client_that_sends_on_and_on_waits(connection):
    connection.data_received(get(b"/wait") + GET * 40)
    assert not connection.transport.reading
    connection.application.gate.set()
    for _ in range(100):
        await settle()
    assert connection.transport.reading
    assert connection.transport.written.count(b"HTTP/1.1 204") == 41


async def test_headers_are_lower_case_and_repeated_ones_joined(connection):
    connection.data_received(get(b"/a?b=c", b"X-A: 1", b"x-a: 2"))
    await settle()
    (request,) = connection.application.requests
    assert (request.method, request.path, request.query) == ("GET", b"/a", b"b=c")
    assert request.headers[b"x-a"] == b"1, 2"


async def test_a_target_with_scheme_and_host_is_its_path(connection):
    connection.data_received(get(b"http://b.test/a?c") + get(b"http://b.test"))
    for _ in range(2):
        await settle()
    assert [r.path for r in connection.application.requests] == [b"/a", b"/"]


async def test_chunks_are_joined(connection):
    head = b"POST /echo HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\n"
    connection.data_received(head + b"1\r\na\r\n")
    connection.data_received(b"2\r\nbc\r\n0\r\n\r\n")
    await settle()
    assert connection.transport.written.endswith(b"abc")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_the_cap_is_refused_and_the_connection_ends(connection, declared):
    head = b"POST /x HTTP/1.1\r\nhost: b\r\n"
    if declared:
        connection.data_received(head + b"content-length: %d\r\n\r\n" % (CAP + 1))
    else:
        connection.data_received(head + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(4):
            connection.data_received(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
    assert connection.transport.written.startswith(b"HTTP/1.1 413")
    assert b"x-path: /x" in connection.transport.written
    assert b"connection: close" in connection.transport.written
    assert connection.application.requests == []
    connection.data_received(GET)
    await settle()
    assert connection.application.requests == []


async def test_both_lengths_are_no_request(connection):
    smuggled = get(b"/", b"content-length: 5", b"transfer-encoding: chunked", method=b"POST")
    connection.data_received(smuggled + b"0\r\n\r\n" + GET)
    await settle()
    assert connection.transport.written.startswith(b"HTTP/1.1 400")
    assert connection.application.requests == []


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on(connection):
    head = get(b"/echo", b"content-length: 2", b"expect: 100-continue", method=b"POST")
    connection.data_received(head)
    assert connection.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.data_received(b"ok")
    await settle()
    assert connection.transport.written.endswith(b"ok")


async def test_head_has_the_length_and_no_body(connection):
    connection.application.response = Response(200, [], b"body")
    connection.data_received(get(b"/", method=b"HEAD"))
    await settle()
    assert connection.transport.written.endswith(b"content-length: 4\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "closes", "said"),
    [
        (get(b"/", b"connection: close"), True, b"connection: close"),
        (get(b"/", version=b"1.0"), True, b"connection: close"),
        (get(b"/", b"connection: keep-alive", version=b"1.0"), False, b"connection: keep-alive"),
        (get(b"/", b"connection: upgrade", b"upgrade: h2c"), True, b"connection: close"),
    ],
)
async def test_who_keeps_the_connection(connection, request_bytes, closes, said):
    connection.data_received(request_bytes)
    await settle()
    assert said in connection.transport.written
    assert connection.transport.closed is closes


async def test_a_stream_is_sent_in_chunks_and_waits_for_a_slow_client(connection):
    async def pieces():
        for piece in (b"one", b"", b"three"):
            yield piece

    connection.application.response = Response(200, [], stream=pieces())
    connection.pause_writing()
    connection.data_received(GET)
    await settle()
    assert connection.transport.written.endswith(b"chunked\r\n\r\n3\r\none\r\n")
    connection.resume_writing()
    await settle()
    assert connection.transport.written.endswith(b"5\r\nthree\r\n0\r\n\r\n")
    assert not connection.transport.closed


@pytest.mark.parametrize(("method", "cancelled"), [(b"GET", ["GET"]), (b"POST", [])])
async def test_reads_end_when_their_client_goes_and_writes_go_on(connection, method, cancelled):
    connection.data_received(get(b"/wait", b"content-length: 0", method=method))
    await settle()
    connection.transport.close()
    connection.connection_lost(None)
    await settle()
    connection.application.gate.set()
    await settle()
    assert connection.application.cancelled == cancelled
    assert connection.state.connections == set()
    assert connection.state.tasks == set()


async def test_a_bug_ends_the_connection_and_its_text_stays_out_of_the_log(connection, caplog):
    connection.data_received(get(b"/bug"))
    await settle()
    assert connection.transport.closed
    assert "ZeroDivisionError" in caplog.text
    assert "Oak" not in caplog.text


async def test_too_many_connections_are_told_so(connection):
    connection.state.max_connections = 1
    second = Connection(connection.application, connection.state)
    second.connection_made(Transport())
    second.data_received(GET)
    assert second.transport.written.startswith(b"HTTP/1.1 503")


async def test_a_quiet_stream_ends_when_the_server_stops(connection):
    closed = []

    async def endless():
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    connection.application.response = Response(200, [], stream=endless())
    connection.data_received(GET)
    await settle()
    written_at = connection._piece_at
    connection.end_quiet_stream(written_at + 0.5)
    await settle()
    assert not connection.transport.closed
    connection.end_quiet_stream(written_at + 1.5)
    await settle()
    assert connection.transport.written.endswith(b"3\r\none\r\n0\r\n\r\n")
    assert connection.transport.closed
    assert closed == [True]
