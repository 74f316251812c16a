"""Source: core specification, "Headers", "Response headers", "Update"."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from boxruntime.api.preconditions import (
    accepted_versions,
    is_unchanged,
    requires_absent,
    requires_existing,
    tags,
)
from boxruntime.storage.rows import Stored
from tests.unit.api.making import call

MOMENT = datetime(2020, 1, 5, 10, 11, 12, 123456, UTC)
STORED = Stored(
    resource_type="Patient", id="p1", txid=30, ts=MOMENT, cts=MOMENT, status="created", text="{}"
)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("30", {"30"}), ('"30"', {"30"}), ('W/"30"', {"30"}), ("*", {"*"}), ('30, "31",W/"32"', {"30", "31", "32"}),
        ("", set()), (",,", set()), ('""', set()), ("  30  ", {"30"}),
    ],
)  # fmt: skip
def test_tags(header, found):
    assert tags(header) == found


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ("30", {30}),
        ('W/"30", "31"', {30, 31}),
        ("abc", set()),
        ("", set()),
        ("9" * 30, set()),
        ("³", set()),
    ],
)
def test_if_match(header, versions):
    assert accepted_versions(call(if_match=header)) == versions
    assert not requires_existing(call(if_match=header))


def test_if_match_any_and_none():
    assert accepted_versions(call(if_match="*")) is None
    assert requires_existing(call(if_match="*"))
    assert accepted_versions(call()) is None
    assert not requires_existing(call())
    assert requires_absent(call(if_none_match="*"))
    assert not requires_absent(call(if_none_match="30"))


@pytest.mark.parametrize(
    ("headers", "unchanged"),
    [
        ({}, False),
        ({"if_none_match": "30"}, True),
        ({"if_none_match": 'W/"29", W/"30"'}, True),
        ({"if_none_match": "29"}, False),
        ({"if_none_match": "*"}, True),
        ({"if_modified_since": "Sun, 05 Jan 2020 10:11:12 GMT"}, True),
        ({"if_modified_since": "Sun, 05 Jan 2020 10:11:11 GMT"}, False),
        ({"if_modified_since": "Sun, 05 Jan 2020 10:11:12"}, True),
        ({"if_modified_since": "yesterday"}, False),
        ({"if_modified_since": "Sun, 99 Jan 2020 10:11:12 GMT"}, False),
        ({"if_modified_since": ""}, False),
        # If-None-Match wins over If-Modified-Since (RFC 9110).
        ({"if_none_match": "29", "if_modified_since": "Sun, 05 Jan 2030 10:11:12 GMT"}, False),
    ],
)
def test_conditional_reads(headers, unchanged):
    assert is_unchanged(call(**headers), STORED) is unchanged
