"""One connection without a socket: when it counts as idle or stalled; time is an argument."""

import asyncio

import pytest
from uvicorn.config import Config

from boxruntime.http.connection import MAX_HEAD_BYTES, Connection
from boxruntime.http.server import State

GET = b"GET / HTTP/1.1\r\nhost: b\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: b\r\ncontent-length: 9\r\n\r\n"


class Transport:
    def __init__(self):
        self.written = b""
        self.closed = False

    def get_extra_info(self, _name, default=None):
        return default

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def can_write_eof(self):
        return False

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def application(_scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@pytest.fixture
async def connection():
    config = Config(
        lambda: application,
        factory=True,
        interface="asgi3",
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    connection = Connection(config=config, server_state=State(), app_state={})
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
    connection.server_state.draining = True
    connection.data_received(GET)
    await settle()
    assert b"connection: close" in connection.transport.written
    assert connection.transport.closed


async def test_head_is_counted_over_many_pieces(connection):
    connection.data_received(GET[:-2])
    for _ in range(MAX_HEAD_BYTES // 1000 + 2):
        connection.data_received(b"x: " + b"a" * 995 + b"\r\n")
    assert connection.transport.written.startswith(b"HTTP/1.1 431")
    assert connection.refused


async def test_heads_after_a_large_body_start_at_zero(connection):
    body = b"x" * 200_000
    head = b"POST / HTTP/1.1\r\nhost: b\r\ncontent-length: %d\r\n\r\n" % len(body)
    connection.data_received(head + body + GET[:10])
    await settle()
    connection.data_received(GET[10:])
    await settle()
    assert connection.transport.written.count(b"HTTP/1.1 204") == 2
