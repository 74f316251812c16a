"""Rows of any statement as JSON values: jsonb as JSON, bigint as a number, timestamps as ISO text.

Source: search specification, 8 and 11.1.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

import asyncpg

from boxruntime.fhir.json_text import decode_stored

if TYPE_CHECKING:
    from collections.abc import Callable

_CATALOG = "pg_catalog"
_EPOCH = dt.datetime(2000, 1, 1)  # noqa: DTZ001 - PostgreSQL counts from here; zones come as UTC
_DAY_US = 86_400_000_000
_CYCLE_DAYS, _CYCLE_YEARS = 146_097, 400
"""The calendar repeats; years that Python does not have are those of another cycle."""
_EVER = {2**63 - 1: "infinity", -(2**63): "-infinity", 2**31 - 1: "infinity", -(2**31): "-infinity"}


def _moment(microseconds: int) -> str:
    cycles, microseconds = divmod(microseconds, _CYCLE_DAYS * _DAY_US)
    moment = _EPOCH + dt.timedelta(microseconds=microseconds)
    year = moment.year + cycles * _CYCLE_YEARS
    text = moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds")
    rest = text[4:].rstrip("0") if moment.microsecond else text[4:]
    return f"{year:04d}{rest}" if year > 0 else f"{1 - year:04d}{rest} BC"


def _instant(columns: tuple[int]) -> str:
    (microseconds,) = columns
    text = _EVER.get(microseconds) or _moment(microseconds)
    if text.endswith("infinity"):
        return text
    return text.removesuffix(" BC") + "Z BC" if text.endswith(" BC") else text + "Z"


def _local_time(columns: tuple[int]) -> str:
    return _EVER.get(columns[0]) or _moment(columns[0])


def _date(columns: tuple[int]) -> str:
    (days,) = columns
    if days in _EVER:
        return _EVER[days]
    text = _moment(days * _DAY_US)
    day, _, _ = text.partition("T")
    return f"{day} BC" if text.endswith(" BC") else day


def _interval(columns: tuple[int, int, int]) -> str:
    """Return an ISO 8601 duration: P1M2DT3.5S."""
    months, days, microseconds = columns
    seconds = format(Decimal(microseconds).scaleb(-6).normalize(), "f")
    parts = f"{months}M" * (months != 0) + f"{days}D" * (days != 0)
    time = f"T{seconds}S" if microseconds or not parts else ""
    return f"P{parts}{time}"


def _jsonb(data: bytes) -> Any:
    return decode_stored(bytes(data)[1:].decode())  # behind the version of the format


def _json(data: bytes) -> Any:
    return decode_stored(bytes(data).decode())


_READ: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "json": ("binary", _json),
    "jsonb": ("binary", _jsonb),
    "timestamptz": ("tuple", _instant),
    "timestamp": ("tuple", _local_time),
    "date": ("tuple", _date),
    "interval": ("tuple", _interval),
}
"""Types that asyncpg would give in a form of its own; some of their values Python does not have."""


async def read_as_json(connection: asyncpg.Connection) -> None:
    """Make a connection read these types as JSON values, until `read_as_usual`."""
    for name, (format_, decoder) in _READ.items():
        await connection.set_type_codec(
            name, schema=_CATALOG, encoder=str, decoder=decoder, format=format_
        )


async def read_as_usual(connection: asyncpg.Connection) -> None:
    """Undo `read_as_json`."""
    for name in _READ:
        await connection.reset_type_codec(name, schema=_CATALOG)


def row_of(record: asyncpg.Record) -> dict[str, Any]:
    """Return a row as an object; of two columns of one name the last counts."""
    return {name: _value(value) for name, value in record.items()}


def _value(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | Decimal):
        return value if isfinite(value) else str(value)
    if isinstance(value, asyncpg.Record):
        return row_of(value)
    if isinstance(value, dict):
        return value
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    if isinstance(value, bytes | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, asyncpg.Range):
        return _range(value)
    if isinstance(value, asyncpg.BitString):
        return value.as_string().replace(" ", "")
    return str(value)


def _range(value: asyncpg.Range) -> str:
    if value.isempty:
        return "empty"
    low = "" if value.lower is None else str(value.lower)
    high = "" if value.upper is None else str(value.upper)
    return f"{'[' if value.lower_inc else '('}{low},{high}{']' if value.upper_inc else ')'}"
