"""Search values: what stands right of the equals sign, parsed by the type of the parameter.

Nothing here knows metadata or SQL. All functions raise `MalformedValueError` with a sentence that
does not repeat the value, since it may be health data.
Source: search specification, 4 Value semantics by type.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from enum import StrEnum, unique
from typing import TypeAlias

import msgspec

from boxruntime.fhir.search.escapes import split_escaped, unescape


class MalformedValueError(Exception):
    """The value does not fit the parameter's type; the text says what was expected."""


@unique
class Prefix(StrEnum):
    """How a stored value must lie to the one that was written."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    LT = "lt"
    GE = "ge"
    LE = "le"
    SA = "sa"
    EB = "eb"
    AP = "ap"


class DateValue(msgspec.Struct, frozen=True):
    """A date range [lo, hi): UTC instants as PostgreSQL reads them; `ap` is widened already."""

    prefix: Prefix
    lo: str
    hi: str


class NumberValue(msgspec.Struct, frozen=True):
    """A number as written, and the range [lo, hi) that its precision implies."""

    prefix: Prefix
    number: Decimal
    lo: Decimal
    hi: Decimal


class QuantityValue(msgspec.Struct, frozen=True):
    """A number with a unit: `system` and `code` both None = any unit."""

    number: NumberValue
    system: str | None = None
    code: str | None = None


class Token(msgspec.Struct, frozen=True):
    """A code in a system.

    "code" -> any system; "sys|code"; "|code" -> `without_system`; "sys|" -> code None.
    `kind` is the identifier type of `:of-type`: (system, code).
    """

    system: str | None = None
    code: str | None = None
    without_system: bool = False
    kind: tuple[str, str] | None = None


class ReferenceValue(msgspec.Struct, frozen=True):
    """A reference: to a row by id (of one type, or of any), or by URL; own URLs are both."""

    type: str | None = None
    id: str | None = None
    url: str | None = None


class Text(msgspec.Struct, frozen=True):
    """A literal text: strings, URIs."""

    text: str


class Joined(msgspec.Struct, frozen=True):
    """The values of a composite's components, in their order."""

    values: tuple[DateValue | NumberValue | QuantityValue | Token | ReferenceValue | Text, ...]


Value: TypeAlias = DateValue | NumberValue | QuantityValue | Token | ReferenceValue | Text | Joined

_PREFIXED = re.compile(r"([a-z]{2})(?=[-+\d. ])")
_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?)?"
    r"(?P<zone>Z|[-+ ]\d\d(?::?\d\d)?)?)?)?)?",
    re.ASCII,
)
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?P<whole>\d+)(?:\.(?P<places>\d+))?(?:[eE](?P<exponent>[-+]?\d{1,3}))?",
    re.ASCII,
)
_MAX_DIGITS = 400  # PostgreSQL's numeric takes more; no measurement does
_ARITHMETIC = Context(prec=3 * _MAX_DIGITS)


def split_prefix(text: str) -> tuple[Prefix, str]:
    """Take the prefix off a number or date: "ge2020" -> (GE, "2020")."""
    found = _PREFIXED.match(text)
    if found is None:
        return Prefix.EQ, text
    try:
        return Prefix(found[1]), text[2:]
    except ValueError:
        raise MalformedValueError("an unknown prefix") from None


def date_range(text: str) -> tuple[datetime, datetime | None]:
    """Return the first instant of a partial date and the first one after it.

    The end is None where it lies beyond the year 9999. A missing zone is UTC; a zone's plus may
    have become a space on its way.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise MalformedValueError("no date")
    year, month, day = (int(found[name] or 1) for name in ("year", "month", "day"))
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    fraction = (found["fraction"] or "")[:6]
    try:
        lo = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        lo += timedelta(
            seconds=1 if second == 60 else 0, microseconds=int(fraction.ljust(6, "0") or 0)
        )
        if second > 60:
            raise MalformedValueError("no date")
        lo -= _offset(found["zone"])
    except (ValueError, OverflowError):
        raise MalformedValueError("no date that exists") from None
    try:
        if found["month"] is None:
            return lo, lo.replace(year=year + 1)
        if found["day"] is None:
            return lo, lo.replace(year=year + month // 12, month=month % 12 + 1)
        if found["hour"] is None:
            return lo, lo + timedelta(days=1)
        if found["minute"] is None:
            return lo, lo + timedelta(hours=1)
        if found["second"] is None:
            return lo, lo + timedelta(minutes=1)
        return lo, lo + timedelta(microseconds=10 ** (6 - len(fraction)))
    except (ValueError, OverflowError):
        return lo, None


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta()
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 14 or minutes > 59:
        raise MalformedValueError("no time zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset


def parse_date(text: str, *, now: datetime) -> DateValue:
    """Parse a date with an optional prefix; `now` widens an approximate one by 10 % of the gap."""
    prefix, rest = split_prefix(text)
    lo, hi = date_range(rest)
    if prefix is Prefix.AP:
        if now < lo:
            gap = lo - now
        elif hi is not None and now > hi:
            gap = now - hi
        else:
            gap = timedelta()
        try:
            lo -= gap / 10
            hi = None if hi is None else hi + gap / 10
        except OverflowError:
            raise MalformedValueError("a date out of range") from None
    return DateValue(prefix, *exact_instant(lo, hi))


def exact_instant(lo: datetime, hi: datetime | None) -> tuple[str, str]:
    """Return a range as PostgreSQL reads it; it knows years that Python does not."""
    return _instant(lo), "10000-01-01T00:00:00Z" if hi is None else _instant(hi)


def _instant(moment: datetime) -> str:
    return f"{moment.year:04}{moment:-%m-%dT%H:%M:%S.%f}Z"


def parse_number(text: str) -> NumberValue:
    """Parse a number with an optional prefix.

    The range is half a unit of the last written digit; in exponent form at least one decimal
    counts as written: 100 -> [99.5, 100.5), 1e2 -> [95, 105).
    """
    prefix, rest = split_prefix(text)
    rest = rest.strip()
    found = _NUMBER.fullmatch(rest)
    if found is None or len(rest) > _MAX_DIGITS:
        raise MalformedValueError("no number")
    exponent = found["exponent"]
    places = len(found["places"] or "")
    if exponent is not None:
        places = max(places, 1)
    shift = int(exponent or 0)
    if abs(shift) > _MAX_DIGITS:
        raise MalformedValueError("a number out of range")
    number = _exact(found, shift)
    if prefix is Prefix.AP:
        low, high = sorted(_ARITHMETIC.multiply(number, Decimal(f)) for f in ("0.9", "1.1"))
        return NumberValue(prefix, number, low, high)
    half = Decimal((0, (5,), shift - places - 1))
    return NumberValue(
        prefix, number, _ARITHMETIC.subtract(number, half), _ARITHMETIC.add(number, half)
    )


def _exact(found: re.Match[str], shift: int) -> Decimal:
    places = found["places"] or ""
    digits = tuple(int(digit) for digit in found["whole"] + places)
    return Decimal((1 if found["sign"] == "-" else 0, digits, shift - len(places)))


def parse_quantity(text: str) -> QuantityValue:
    """Parse "[prefix]number", or "[prefix]number|system|code" with either part empty."""
    parts = split_escaped(text, "|")
    number = parse_number(parts[0])
    if len(parts) == 1:
        return QuantityValue(number)
    if len(parts) != 3:
        raise MalformedValueError("no quantity: expected number or number|system|code")
    return QuantityValue(number, unescape(parts[1]) or None, unescape(parts[2]) or None)


def parse_token(text: str) -> Token:
    """Parse "code", "system|code", "|code" or "system|". Every text is some token."""
    parts = split_escaped(text, "|")
    if len(parts) == 1:
        return Token(code=unescape(text))
    system, code = unescape(parts[0]), unescape("|".join(parts[1:]))
    return Token(system=system or None, code=code or None, without_system=not system)


def parse_typed_identifier(text: str) -> Token:
    """Parse "system|code|value" of `:of-type`; all three are required."""
    parts = [unescape(part) for part in split_escaped(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise MalformedValueError("no typed identifier: expected system|code|value")
    return Token(code=parts[2], kind=(parts[0], parts[1]))


_RELATIVE = re.compile(r"(?P<type>[A-Z][A-Za-z0-9]*)/(?P<id>[^/|#?\s]+)(?:/_history/[^/|#?\s]+)?")
_LOCAL_ID = re.compile(r"[^/|#?:\s]+")


def parse_reference(text: str, *, bases: tuple[str, ...] = ()) -> ReferenceValue:
    """Parse an id, "Type/id", or a URL; a URL below one of `bases` means the own row too.

    Bases end without a slash. A version ("/_history/n") is left out.
    """
    text = unescape(text)
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        return ReferenceValue(type=relative["type"], id=relative["id"])
    if _LOCAL_ID.fullmatch(text) is not None:
        return ReferenceValue(id=text)
    for base in bases:
        if text.startswith(base + "/"):
            own = _RELATIVE.fullmatch(text[len(base) + 1 :].removeprefix("fhir/"))
            if own is not None:
                return ReferenceValue(type=own["type"], id=own["id"], url=text)
    return ReferenceValue(url=text)
