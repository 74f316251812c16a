"""Source: authentication specification, "Request object" (uri)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxruntime.http.messages import RequestError
from boxruntime.http.target import parse_query, split_path


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        (b"/", ()),
        (b"/Patient", ("Patient",)),
        (b"/Patient/", ("Patient",)),
        (b"/fhir/Patient/p1/_history/3", ("fhir", "Patient", "p1", "_history", "3")),
        (b"/Patient/%24validate", ("Patient", "$validate")),
        (b"/%66hir", ("fhir",)),
        (b"/a.b", ("a.b",)),
        (b"/a..b", ("a..b",)),
        (b"/...", ("...",)),
        (b"/%C3%BC", ("ü",)),
        ("/ü".encode(), ("ü",)),
        (b"/a%20b", ("a b",)),
        (b"/a+b", ("a+b",)),
        (b"/%252e", ("%2e",)),
    ],
)
def test_segments_are_decoded_once(raw, segments):
    assert split_path(raw) == segments


@pytest.mark.parametrize(
    "raw",
    [
        b"Patient", b"//", b"/a//b", b"/a//", b"/.", b"/..", b"/a/../b", b"/%2e", b"/%2E%2e", b"/.%2e",
        b"/a%2fb", b"/a%5Cb", b"/a\\b", b"/%00", b"/a%0a", b"/a\x7f", b"/%ff", b"/%c0%ae",
    ],
)  # fmt: skip
def test_what_two_readers_could_understand_differently_is_refused(raw):
    with pytest.raises(RequestError) as refused:
        split_path(raw)
    assert refused.value.status == 400


@given(st.binary(max_size=60))
def test_no_path_breaks_out(raw):
    try:
        segments = split_path(b"/" + raw)
    except RequestError:
        return
    for segment in segments:
        assert segment
        assert segment not in {".", ".."}
        assert not set(segment) & set("/\\\x00\r\n")


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        (b"", []),
        (b"&&", []),
        (b"a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        (b"a", [("a", "")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a=x+y%2Bz", [("a", "x y+z")]),
        (b"name:exact=%C3%BC", [("name:exact", "ü")]),
    ],
)
def test_queries(raw, pairs):
    assert parse_query(raw) == pairs


@pytest.mark.parametrize("raw", [b"a=%ff", b"%ff=a", b"a=%00"])
def test_queries_that_are_no_text(raw):
    with pytest.raises(RequestError):
        parse_query(raw)
