"""Search values against the tables of the specification.

Source: search specification, 2 Escaping, 4.1, 4.2, 4.4 to 4.6.
"""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from boxruntime.fhir.search.escapes import split_escaped, unescape
from boxruntime.fhir.search.values import (
    MalformedValueError,
    Prefix,
    ReferenceValue,
    Token,
    parse_date,
    parse_number,
    parse_quantity,
    parse_reference,
    parse_token,
    parse_typed_identifier,
)

NOW = datetime(2020, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "separator", "parts"),
    [
        ("a,b", ",", ["a", "b"]),
        ("a\\,b,c", ",", ["a\\,b", "c"]),
        ("a\\\\,b", ",", ["a\\\\", "b"]),
        ("a\\x,b", ",", ["a\\x", "b"]),
        ("a|b|", "|", ["a", "b", ""]),
        ("a\\$b$c", "$", ["a\\$b", "c"]),
        ("", ",", [""]),
        ("a\\", ",", ["a\\"]),
    ],
)
def test_splitting_respects_escapes(text, separator, parts):
    assert split_escaped(text, separator) == parts


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\\,b", "a,b"),
        ("\\$\\|\\\\", "$|\\"),
        ("a\\nb", "a\\nb"),
        ("a\\", "a\\"),
        ("\\\\,", "\\,"),
    ],
)
def test_only_separators_and_the_backslash_are_unescaped(text, plain):
    assert unescape(text) == plain


@pytest.mark.parametrize(
    ("written", "lo", "hi"),
    [
        ("2020", "2020-01-01T00:00:00", "2021-01-01T00:00:00"),
        ("2020-02", "2020-02-01T00:00:00", "2020-03-01T00:00:00"),
        ("2020-12", "2020-12-01T00:00:00", "2021-01-01T00:00:00"),
        ("2020-02-29", "2020-02-29T00:00:00", "2020-03-01T00:00:00"),
        ("2020-02-29T13", "2020-02-29T13:00:00", "2020-02-29T14:00:00"),
        ("2020-02-29T13:05", "2020-02-29T13:05:00", "2020-02-29T13:06:00"),
        ("2020-02-29T13:05:07", "2020-02-29T13:05:07", "2020-02-29T13:05:08"),
        ("2020-02-29T13:05:07.3", "2020-02-29T13:05:07.300", "2020-02-29T13:05:07.400"),
        ("2020-02-29T13:05:07.333", "2020-02-29T13:05:07.333", "2020-02-29T13:05:07.334"),
        ("2020-02-29T13:05:07.333444Z", "2020-02-29T13:05:07.333444", "2020-02-29T13:05:07.333445"),
        ("2020-02-29T13:05:07+03:00", "2020-02-29T10:05:07", "2020-02-29T10:05:08"),
        ("2020-02-29T13:05:07+03", "2020-02-29T10:05:07", "2020-02-29T10:05:08"),
        ("2020-02-29T13:05:07 03:00", "2020-02-29T10:05:07", "2020-02-29T10:05:08"),
        ("2020-02-29T13:05:07-05:00", "2020-02-29T18:05:07", "2020-02-29T18:05:08"),
        ("2020-02-29T13:05:60Z", "2020-02-29T13:06:00", "2020-02-29T13:06:01"),
    ],
)
def test_dates_are_ranges(written, lo, hi):
    value = parse_date(written, now=NOW)
    assert value.prefix is Prefix.EQ
    assert datetime.fromisoformat(value.lo) == datetime.fromisoformat(lo + "Z")
    assert datetime.fromisoformat(value.hi) == datetime.fromisoformat(hi + "Z")


def test_the_last_year_ends_beyond_python():
    assert parse_date("9999", now=NOW).hi.startswith("10000-01-01")


def test_an_approximate_date_widens_by_a_tenth_of_the_gap_to_now():
    value = parse_date("ap2020-01-01", now=NOW)
    assert (value.lo, value.hi) == ("2019-12-31T02:24:00.000000Z", "2020-01-02T21:36:00.000000Z")
    inside = parse_date("ap2020", now=NOW)
    assert inside.lo.startswith("2020-01-01T00:00")


@pytest.mark.parametrize(
    "text",
    ["", "x", "20", "2020-13", "2020-02-30", "2020-1-1", "0000", "2020-01-01T25", "xx2020",
     "2020-01-01T10:00:61Z", "2020-01-01T10:00+25:00", "ge", "gege2020", "2020-01-01 10:00", "\uff12020"],
)  # fmt: skip
def test_malformed_dates_are_refused(text):
    with pytest.raises(MalformedValueError):
        parse_date(text, now=NOW)


@pytest.mark.parametrize(
    ("written", "lo", "hi"),
    [
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("0.8", "0.75", "0.85"),
        ("-5", "-5.5", "-4.5"),
        ("1e2", "95", "105"),
        ("1.0e2", "95", "105"),
        ("1.00e2", "99.5", "100.5"),
        ("ap100", "90", "110"),
        ("ap-10", "-11", "-9"),
    ],
)
def test_numbers_are_ranges(written, lo, hi):
    value = parse_number(written)
    assert (value.lo, value.hi) == (Decimal(lo), Decimal(hi))


def test_long_numbers_keep_every_digit():
    digits = "1" * 200
    assert parse_number(digits).lo == Decimal(digits[:-1] + "0.5")


@pytest.mark.parametrize(
    "text", ["", "x", "1,5", "1.", ".5", "1e999", "gt", "qq5", "1" * 500, "NaN"]
)
def test_malformed_numbers_are_refused(text):
    with pytest.raises(MalformedValueError):
        parse_number(text)


@pytest.mark.parametrize(
    ("text", "prefix"), [("ge5", "ge"), ("5", "eq"), ("sa-5", "sa"), ("ne5", "ne"), ("eb5", "eb")]
)
def test_prefixes_stand_before_a_digit_or_sign(text, prefix):
    assert parse_number(text).prefix.value == prefix


@pytest.mark.parametrize(
    ("text", "system", "code"),
    [("5.4|s|mg", "s", "mg"), ("5.4||mg", None, "mg"), ("5.4", None, None), ("5.4|s|", "s", None)],
)
def test_quantities(text, system, code):
    value = parse_quantity(text)
    assert (value.number.number, value.system, value.code) == (Decimal("5.4"), system, code)


@pytest.mark.parametrize("text", ["5|mg", "5|a|b|c", "|s|mg", "mg"])
def test_malformed_quantities_are_refused(text):
    with pytest.raises(MalformedValueError):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("c", Token(code="c")),
        ("s|c", Token(system="s", code="c")),
        ("|c", Token(code="c", without_system=True)),
        ("s|", Token(system="s")),
        ("a\\|b", Token(code="a|b")),
        ("s|a\\,b", Token(system="s", code="a,b")),
    ],
)
def test_tokens(text, token):
    assert parse_token(text) == token


def test_typed_identifiers_need_three_parts():
    assert parse_typed_identifier("s|c|v") == Token(code="v", kind=("s", "c"))
    for text in ("s|c", "s||v", "|c|v", "s|c|v|w"):
        with pytest.raises(MalformedValueError):
            parse_typed_identifier(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("p1", ReferenceValue(id="p1")),
        ("Patient/p1", ReferenceValue(type="Patient", id="p1")),
        ("Patient/p1/_history/3", ReferenceValue(type="Patient", id="p1")),
        (
            "http://own/fhir/Patient/p1",
            ReferenceValue("Patient", "p1", "http://own/fhir/Patient/p1"),
        ),
        ("http://own/Patient/p1", ReferenceValue("Patient", "p1", "http://own/Patient/p1")),
        ("http://ownother/Patient/p1", ReferenceValue(url="http://ownother/Patient/p1")),
        ("urn:uuid:1", ReferenceValue(url="urn:uuid:1")),
        ("http://q|1", ReferenceValue(url="http://q|1")),
    ],
)
def test_references(text, value):
    assert parse_reference(text, bases=("http://own",)) == value
