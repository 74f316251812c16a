"""The functions every box database has, called as users' own SQL calls them.

Source: search specification, 1.2, 4.1, 4.6.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

import pytest

DOCUMENT = {
    "name": [{"given": ["Ann", None, "Bea"], "family": "Lée"}, {"given": ["Cleo"]}],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}, {"system": "phone", "value": "3"}],
    "active": True,
    "a-b": {"c_d": 1.50},
    "one": {"two": {"three": "x"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("paths", "values"),
    [
        ([["name", "given"]], ["Ann", "Bea", "Cleo"]),
        ([["name", 0, "given", 0]], ["Ann"]),
        ([["name", 0, "given", 2], ["name", 1, "given"]], ["Bea", "Cleo"]),
        ([["telecom", {"system": "phone"}, "value"]], ["1", "3"]),
        ([["telecom", {"system": "phone"}, "value"], ["name", 0, "family"]], ["1", "3", "Lée"]),
        ([["active"], ["a-b", "c_d"]], ["true", "1.5"]),
        ([["one", "two"]], []),
        ([["one", "two", "three"]], ["x"]),
        ([["nosuch"], ["name", 9, "given"], ["name", 99999999999999], ["active", "deep"]], []),
        ([[None], [True], [[]]], []),
        ([], []),
        ({}, []),
        ("x", []),
    ],
)
async def test_extraction_of_texts(connection, paths, values):
    found = await connection.fetchval(
        "SELECT knife_extract_text($1::text::jsonb, $2::text::jsonb)",
        json.dumps(DOCUMENT),
        json.dumps(paths),
    )
    assert found == values


async def test_extraction_keeps_complex_values(connection):
    found = await connection.fetchval(
        'SELECT knife_extract($1::text::jsonb, \'[["one","two"],["active"]]\')::text[]',
        json.dumps(DOCUMENT),
    )
    assert [json.loads(value) for value in found] == [{"three": "x"}, True]


async def test_text_search_joins_wraps_and_removes_accents(connection):
    assert (
        await connection.fetchval("SELECT aidbox_text_search(ARRAY['Lée', 'Ann'])") == " Lee Ann "
    )
    assert await connection.fetchval(
        "SELECT immutable_wrap_ws(immutable_unaccent(immutable_array_to_string(ARRAY['Lée', 'Ann'], ' ')))"
    ) == " Lee Ann "  # fmt: skip


async def test_extraction_serves_in_an_index(connection):
    async with connection.transaction():
        await connection.execute("CREATE TEMP TABLE t (resource jsonb)")
        await connection.execute(
            "CREATE INDEX ON t USING gin (aidbox_text_search(knife_extract_text(resource, "
            '\'[["name","family"]]\')) gin_trgm_ops)'
        )
        await connection.execute("INSERT INTO t VALUES ($1::text::jsonb)", json.dumps(DOCUMENT))


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize(
    ("value", "lo", "hi"),
    [
        ("2020", "2020-01-01T00:00:00", "2021-01-01T00:00:00"),
        ("2020-02", "2020-02-01T00:00:00", "2020-03-01T00:00:00"),
        ("2020-02-29", "2020-02-29T00:00:00", "2020-03-01T00:00:00"),
        ("2020-02-29T13:05", "2020-02-29T13:05:00", "2020-02-29T13:06:00"),
        ("2020-02-29T13:05:07+03:00", "2020-02-29T10:05:07", "2020-02-29T10:05:08"),
        ("2020-02-29T13:05:07.3", "2020-02-29T13:05:07.3", "2020-02-29T13:05:07.4"),
        ("2020-02-29T13:05:07.123456789Z", "2020-02-29T13:05:07.123456", "2020-02-29T13:05:07.123457"),
        ("2020-02-29T13:05:60Z", "2020-02-29T13:06:00", "2020-02-29T13:06:01"),
        ("2020-02-30", None, None),
        ("nonsense", None, None),
        (5, None, None),
        ({"start": "2020", "end": "2020-02"}, "2020-01-01T00:00:00", "2020-03-01T00:00:00"),
        ({"event": ["2020-03", "2020-01-05"]}, "2020-01-05T00:00:00", "2020-04-01T00:00:00"),
        ({"repeat": {"bounds": {"Period": {"start": "2020", "end": "2020"}}}}, "2020-01-01T00:00:00", "2021-01-01T00:00:00"),
        ({"code": {"text": "x"}}, None, None),
    ],
)  # fmt: skip
async def test_stored_dates_are_ranges_in_any_session_zone(connection, zone, value, lo, hi):
    async with connection.transaction():
        await connection.execute(f"SET LOCAL TimeZone = '{zone}'")
        record = await connection.fetchrow(
            "SELECT box_date_lo($1::text::jsonb) AS lo, box_date_hi($1::text::jsonb) AS hi",
            json.dumps(value),
        )
    for found, wanted in ((record["lo"], lo), (record["hi"], hi)):
        assert found == (None if wanted is None else datetime.fromisoformat(wanted + "+00:00"))


async def test_open_periods_and_periods_turned_round(connection):
    record = await connection.fetchrow(
        "SELECT box_date_lo('{\"end\":\"2020\"}') = '-infinity' AS first, "
        "box_date_hi('{\"start\":\"2020\"}') = 'infinity' AS last, "
        'box_date_range(\'{"start":"2021","end":"2019"}\') IS NULL AS turned'
    )
    assert tuple(record) == (True, True, True)


@pytest.mark.parametrize(
    ("value", "low", "high", "bounds"),
    [
        (5, 5, 5, "[]"),
        ({"value": 5.50}, Decimal("5.50"), Decimal("5.50"), "[]"),
        ({"value": 5, "comparator": "<"}, None, 5, "()"),
        ({"value": 5, "comparator": ">="}, 5, None, "[)"),
        ({"low": {"value": 1}, "high": {"value": 2}}, 1, 2, "[]"),
        ({"low": {"value": 1}}, 1, None, "[)"),
        ({"origin": {"value": 10}, "factor": 2, "data": "1 E 3 U -1.5"}, 7, 16, "[]"),
    ],
)
async def test_stored_numbers_are_ranges(connection, value, low, high, bounds):
    found = await connection.fetchval(
        "SELECT box_number_range($1::text::jsonb) = numrange($2, $3, $4)",
        json.dumps(value), None if low is None else Decimal(low), None if high is None else Decimal(high), bounds,
    )  # fmt: skip
    assert found is True


@pytest.mark.parametrize(
    "value",
    ["5", {"value": "5"}, {"low": {"value": 2}, "high": {"value": 1}}, {}, None, {"data": "E"}],
)
async def test_what_is_no_number_has_no_range(connection, value):
    assert (
        await connection.fetchval("SELECT box_number_range($1::text::jsonb)", json.dumps(value))
        is None
    )


async def test_functions_may_be_installed_again(connection, search_dsn):
    from importlib import resources

    functions = resources.files("boxruntime.storage").joinpath("functions.sql").read_text()
    async with connection.transaction():
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute(functions)
