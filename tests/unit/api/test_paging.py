"""Source: search specification, "_count, _page, _total"; core specification, "History"."""

from __future__ import annotations

import pytest

from boxruntime.api.paging import page_links, read_page
from boxruntime.fhir.outcome import Dialect, OutcomeError
from tests.unit.api.making import call


@pytest.mark.parametrize(
    ("query", "size", "number", "offset"),
    [
        ("", 100, 1, 0),
        ("_count=3", 3, 1, 0),
        ("_count=3&page=4", 3, 4, 9),
        ("_page=2", 100, 2, 100),
        ("_count=0", 0, 1, 0),
        ("_count=5000", 1000, 1, 0),
    ],
)
def test_pages(query, size, number, offset):
    page = read_page(call(query))
    assert (page.size, page.number, page.offset) == (size, number, offset)


@pytest.mark.parametrize(
    "query",
    ["_count=x", "_count=-1", "page=0", "_count=1.5", "_count=²", "_count=9999999999", "page=1e9"],
)
def test_pages_that_make_no_sense(query):
    with pytest.raises(OutcomeError):
        read_page(call(query))


@pytest.mark.parametrize(
    ("query", "total", "relations"),
    [
        ("_count=3", 0, ["first", "self"]),
        ("_count=3", 3, ["first", "self"]),
        ("_count=3", 4, ["first", "self", "next", "last"]),
        ("_count=3&page=2", 9, ["first", "self", "next", "previous", "last"]),
        ("_count=3&page=3", 9, ["first", "self", "previous", "last"]),
        ("_count=3&page=9", 9, ["first", "self", "previous", "last"]),
        ("_count=0", 9, ["first", "self"]),
    ],
)
def test_links(query, total, relations):
    found = call(query)
    assert [link["relation"] for link in page_links(found, read_page(found), total)] == relations


def test_links_keep_the_parameters_and_are_absolute_at_fhir():
    found = call("_since=2020-01-01T00:00:00%2B01:00&_count=3&_page=2")
    following = page_links(found, read_page(found), 9)[2]
    assert following == {
        "relation": "next",
        "url": "http://box.test/fhir/Patient/p1?_since=2020-01-01T00:00:00%2B01:00&_count=3&page=3",
    }
    root = call("_count=3", dialect=Dialect.AIDBOX)
    assert page_links(root, read_page(root), 9)[0]["url"] == "/Patient/p1?_count=3&page=1"
