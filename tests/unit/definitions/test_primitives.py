"""Lexical forms, run by the engines that the box's validator can use."""

from __future__ import annotations

import jsonschema_rs
import pytest

from infra.definitions.primitives import lexical_form

ENGINES = [jsonschema_rs.RegexOptions(), jsonschema_rs.FancyRegexOptions()]

ACCEPTED = {
    "date": [
        "2020",
        "2020-02",
        "2020-02-29",
        "2000-02-29",
        "0001-01-01",
        "9999-12-31",
        "0004-02-29",
    ],
    "dateTime": [
        "2020",
        "1999-12",
        "2020-02-29",
        "2020-02-29T23:59:60Z",
        "2015-02-07T13:28:17.239+02:00",
        "2015-02-07T13:28:17-14:00",
        "2015-02-07T13:28:17.123456789Z",
    ],
    "instant": ["2015-02-07T13:28:17.239+02:00", "2017-01-01T00:00:00Z"],
    "time": ["00:00:00", "23:59:60", "12:30:30.5"],
    "string": ["x", " x ", "a\nb", "\u00e9", "x" * 10_000],
    "markdown": ["# a\n\nb"],
    "code": ["final", "in progress", "a-b"],
    "id": ["a", "A-1.b", "x" * 64],
    "uri": ["urn:x", "http://a.org/b?c#d", "#local"],
    "oid": ["urn:oid:1.2.3", "urn:oid:2.16.840.0"],
    "uuid": ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
    "integer64": ["0", "-1", "+7", "9223372036854775807", "-9223372036854775808", "1" * 18],
    "base64Binary": ["QUJD", "QUI=", "QQ==", "QUJD\nQUI=", " QUJD ", "QUJDQQ=="],
}
REFUSED = {
    "integer64": ["", "00", "1.0", "1e3", "9223372036854775808", "-9223372036854775809", "1" * 20],
    "date": [
        "",
        "0000",
        "0000-01-01",
        "2019-02-29",
        "1900-02-29",
        "2020-04-31",
        "2020-13",
        "2020-00",
        "2020-01-00",
        "20-01-01",
        "2020-1-1",
        "2020-01-01\n",
        "2020-01-01T00:00:00Z",
        "10000",
        "\u0662\u0660\u0662\u0660",
    ],
    "dateTime": [
        "2020-02-29T24:00:00Z",
        "2020-02-29T13:05Z",
        "2020-02-29T13:05:07",
        "2020-02-30T13:05:07Z",
        "2020-02-29T13:05:61Z",
        "2020-02-29T13:05:07+14:01",
        "2020-02-29T13:05:07+15:00",
        "2020-02-29T13:05:07.1234567890Z",
        "2020-02-29T13:05:07.Z",
        "2020-02-29t13:05:07Z",
        "2020-02-29T13:05:07z",
        "2020-02T13:05:07Z",
        "2020-02-29 13:05:07Z",
    ],
    "instant": ["2017-01-01", "2017-01-01T00:00:00"],
    "time": ["24:00:00", "12:30", "12:30:30Z"],
    "string": ["", " ", "\t\n", "a\x00b", "\x00"],
    "markdown": ["", "  "],
    "code": ["", " a", "a ", "a  b", "a\tb"],
    "id": ["", "a_b", "a b", "x" * 65, "a\n"],
    "uri": ["", "a b", " urn:x"],
    "oid": ["urn:oid:3.1", "1.2.3", "urn:oid:1.02"],
    "uuid": [
        "c757873d-ec9a-4326-a141-556f43239520",
        "urn:uuid:C757873D-ec9a-4326-a141-556f43239520",
    ],
    "base64Binary": ["", " ", "QUJ", "QUJDQ", "Q===", "QU=D", "QU-_"],
}


def _validators(name: str):
    schema = {"type": "string", "pattern": lexical_form(name)["pattern"]}
    return [jsonschema_rs.Draft7Validator(schema, pattern_options=each) for each in ENGINES]


@pytest.mark.parametrize("name", ACCEPTED)
def test_forms_of_the_specification_are_accepted(name):
    for validator in _validators(name):
        assert [each for each in ACCEPTED[name] if not validator.is_valid(each)] == []


@pytest.mark.parametrize("name", REFUSED)
def test_other_forms_are_refused(name):
    for validator in _validators(name):
        assert [each for each in REFUSED[name] if validator.is_valid(each)] == []


def test_a_long_base64_value_passes():
    for validator in _validators("base64Binary"):
        assert validator.is_valid("QUJD" * 500_000)


def test_integers_are_bounded_by_32_bits():
    assert lexical_form("integer") == {"json": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
    assert lexical_form("positiveInt")["minimum"] == 1
    assert lexical_form("unsignedInt")["minimum"] == 0


def test_boolean_and_decimal_are_bounded_by_their_json_type_alone():
    assert lexical_form("boolean") == {"json": "boolean"}
    assert lexical_form("decimal") == {"json": "number"}
