"""Source: core specification, "Storage model"."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from boxruntime.storage.rows import Stored, document_of, instant, stored_from

MOMENT = datetime(2020, 1, 5, 10, 11, 12, 123, UTC)


def stored(text):
    return Stored(
        resource_type="Goal", id="g", txid=7, ts=MOMENT, cts=MOMENT, status="created", text=text
    )


def test_instants_have_microseconds_and_a_z():
    assert instant(MOMENT) == "2020-01-05T10:11:12.000123Z"
    assert instant(MOMENT.replace(microsecond=0)) == "2020-01-05T10:11:12.000000Z"


@pytest.mark.parametrize(
    "text", ["{}", "[]", '"x"', "5", "null", '{"meta": 5}', '{"id": "x", "resourceType": "Y"}']
)
def test_the_columns_are_a_resource_whatever_the_document_is(text):
    resource = stored(text).resource()
    assert (resource["resourceType"], resource["id"]) == ("Goal", "g")
    assert resource["meta"] == {
        "versionId": "7",
        "lastUpdated": "2020-01-05T10:11:12.000123Z",
        "createdAt": "2020-01-05T10:11:12.000123Z",
    }
    assert list(resource)[:3] == ["resourceType", "id", "meta"]


def test_the_clients_part_of_meta_stays():
    text = '{"meta": {"tag": [{"code": "t"}], "versionId": "1"}}'
    assert stored(text).resource()["meta"]["tag"] == [{"code": "t"}]
    assert stored(text).resource()["meta"]["versionId"] == "7"


def test_the_document_repeats_no_column():
    resource = {
        "id": "g",
        "resourceType": "Goal",
        "meta": {"versionId": "1", "createdAt": "x"},
        "a": 1,
    }
    assert document_of(resource) == {"a": 1}
    assert document_of({"meta": {"lastUpdated": "x", "tag": []}}) == {"meta": {"tag": []}}


def test_rows_without_times_are_served():
    record = {
        "resource_type": "Goal",
        "id": "g",
        "txid": 1,
        "ts": None,
        "cts": None,
        "status": "created",
        "resource": "{}",
        "overlaps": False,
    }
    assert stored_from(record).resource()["meta"]["lastUpdated"] == "1970-01-01T00:00:00.000000Z"
