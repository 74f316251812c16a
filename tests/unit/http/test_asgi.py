"""Bodies under a cap, gzip both ways."""

from __future__ import annotations

import gzip

import pytest

from boxruntime.http.asgi import Disconnected, read_request, send_response
from boxruntime.http.messages import RequestError, Response

CAP = 1000


def scope(**headers):
    return {
        "method": "POST", "raw_path": b"/x", "query_string": b"", "scheme": "http", "client": None,
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip


async def read(*chunks, **headers):
    messages = [
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    ]

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    return await read_request(scope(**headers), receive, CAP)


async def refused(*chunks, **headers):
    with pytest.raises(RequestError) as error:
        await read(*chunks, **headers)
    return error.value.status


async def test_chunks_are_joined():
    request = await read(b"a", b"", b"bc")
    assert (request.body, request.peer, request.path) == (b"abc", "", b"/x")


async def test_the_cap_holds_with_and_without_a_declared_length():
    assert (await read(b"x" * CAP)).body == b"x" * CAP
    assert await refused(b"x" * (CAP + 1)) == 413
    assert await refused(b"x" * 600, b"x" * 600) == 413
    assert await refused(b"", content_length=str(CAP + 1)) == 413
    assert await refused(b"", content_length="9" * 400) == 413


@pytest.mark.parametrize("length", ["-1", "x", "1 2", "", "²"])
async def test_a_length_that_is_no_number(length):
    with pytest.raises(RequestError) as error:
        await read_request(
            {**scope(), "headers": [(b"content-length", length.encode())]}, None, CAP
        )
    assert error.value.status == 400


async def test_the_cap_holds_for_what_is_unpacked():
    bomb = gzip.compress(b"x" * 10_000_000)
    assert len(bomb) > CAP
    assert await refused(gzip.compress(b"x" * 5000), content_encoding="gzip") == 413
    assert (await read(gzip.compress(b"x" * CAP), content_encoding="x-gzip")).body == b"x" * CAP


async def test_gzip_that_is_none():
    packed = gzip.compress(b"hello")
    for broken in (packed[:-1], packed + b"x", b"hello", packed[:5]):
        assert await refused(broken, content_encoding="gzip") == 400
    assert await refused(packed, content_encoding="br") == 415
    assert (await read(b"a", content_encoding="identity")).body == b"a"
    assert (await read(b"", content_encoding="gzip")).body == b""


async def test_a_client_that_goes_away():
    for messages in (
        [{"type": "http.disconnect"}],
        [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"}],
    ):

        async def receive(messages=messages):
            return messages.pop(0)

        with pytest.raises(Disconnected):
            await read_request(scope(), receive, CAP)


async def test_repeated_headers_are_joined():
    request = await read_request(
        {**scope(), "headers": [(b"a", b"1"), (b"a", b"2")]},
        _nothing,
        CAP,
    )
    assert request.header(b"a") == "1, 2"


async def _nothing():
    return {"type": "http.request", "body": b""}


async def sent(response, **options):
    messages = []

    async def send(message):
        messages.append(message)

    await send_response(response, send, **options)
    return dict(messages[0]["headers"]), messages[1]["body"]


async def test_small_and_empty_answers_stay_as_they_are():
    headers, body = await sent(Response(200, [], b"x" * 100), accepts_gzip=True)
    assert (headers[b"content-length"], body) == (b"100", b"x" * 100)
    headers, body = await sent(Response(204, []), accepts_gzip=True)
    assert b"content-length" not in headers
    assert body == b""


async def test_large_answers_are_packed_for_those_who_ask():
    headers, body = await sent(Response(200, [], b"x" * 5000), accepts_gzip=True)
    assert gzip.decompress(body) == b"x" * 5000
    assert headers[b"content-length"] == str(len(body)).encode()
    _, plain = await sent(Response(200, [], b"x" * 5000), accepts_gzip=False)
    assert plain == b"x" * 5000
