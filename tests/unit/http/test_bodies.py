"""Bodies under a cap, gzip both ways."""

from __future__ import annotations

import gzip

import pytest

from boxruntime.http.bodies import packed, unpacked
from boxruntime.http.messages import RequestError, Response

CAP = 1000
TAKES_GZIP = {b"accept-encoding": b"br, gzip"}


def refused(body, encoding):
    with pytest.raises(RequestError) as error:
        unpacked(body, encoding, CAP)
    return error.value.status


def test_the_cap_holds_for_what_is_unpacked():
    bomb = gzip.compress(b"x" * 10_000_000)
    assert len(bomb) > CAP
    assert refused(gzip.compress(b"x" * 5000), b"gzip") == 413
    assert refused(bomb, b"gzip") == 413
    assert unpacked(gzip.compress(b"x" * CAP), b" X-GZIP", CAP) == b"x" * CAP


def test_gzip_that_is_none():
    whole = gzip.compress(b"hello")
    for broken in (whole[:-1], whole + b"x", b"hello", whole[:5]):
        assert refused(broken, b"gzip") == 400
    assert refused(whole, b"br") == 415
    assert unpacked(b"a", b"identity", CAP) == b"a"
    assert unpacked(b"", b"gzip", CAP) == b""


def test_small_and_empty_answers_stay_as_they_are():
    small = Response(200, [], b"x" * 100)
    assert packed(small, TAKES_GZIP) is small
    empty = Response(204, [])
    assert packed(empty, TAKES_GZIP) is empty


def test_large_answers_are_packed_for_those_who_ask():
    large = Response(200, [(b"a", b"b")], b"x" * 5000)
    response = packed(large, TAKES_GZIP)
    assert gzip.decompress(response.body) == large.body
    assert response.headers == [
        (b"a", b"b"),
        (b"content-encoding", b"gzip"),
        (b"vary", b"accept-encoding"),
    ]
    assert packed(large, {}) is large


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        (b"gzip", True), (b"GZIP", True), (b"br;q=1, gzip;q=0.1", True), (b"gzip ; q=1.0", True), (b"x-gzip", True),
        (b"gzip;q=0", False), (b"gzip; q=0.000", False), (b"br", False), (b"*", False), (b"", False), (b"nogzip", False),
    ],
)  # fmt: skip
def test_gzip_is_for_those_who_allow_it(accepted, takes):
    large = Response(200, [], b"x" * 5000)
    assert (packed(large, {b"accept-encoding": accepted}) is not large) == takes
