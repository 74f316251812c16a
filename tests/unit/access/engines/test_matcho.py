"""Source: authentication specification, "complex and matcho"."""

from __future__ import annotations

import time

import pytest

from boxruntime.access.engines.matcho import compile_matcho, mismatches, parse_reference
from boxruntime.access.engines.values import PolicyError, UnresolvedError, equal

REQUEST = {
    "uri": "/fhir/Patient/p-7",
    "request-method": "get",
    "params": {"resource/id": "p-7", "many": ["a", "b"], "n": 1, "flag": True},
    "user": {"id": "nina", "data": {"patient_id": "p-7", "kin": ["p-7", "p-8"]}},
    "body": {
        "subject": {"reference": "Patient/p-7"},
        "list": [{"a": 1}, {"a": 2, "b": 3}],
        "blank": "  ",
    },
}


def matches(pattern):
    return compile_matcho(pattern)(REQUEST, REQUEST)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({}, True),
        ({"uri": "/fhir/Patient/p-7"}, True),
        ({"uri": "/fhir/Patient"}, False),
        ({"uri": "#/Patient/"}, True),
        ({"uri": "#^/Patient/"}, False),
        ({"uri": "#^/(fhir/)?Patient/"}, True),
        ({"uri": "^/fhir"}, False),
        ({"params": {"many": "a"}}, False),
        ({"params": {"many": "#a"}}, False),
        ({"params": {"many": ["a"]}}, True),
        ({"params": {"many": ["a", "b", None]}}, True),
        ({"params": {"many": ["b"]}}, False),
        ({"params": {"n": 1}}, True),
        ({"params": {"n": 1.0}}, True),
        ({"params": {"n": "1"}}, False),
        ({"params": {"n": True}}, False),
        ({"params": {"flag": True}}, True),
        ({"params": {"flag": 1}}, False),
        ({"user": "present?"}, True),
        ({"client": "present?"}, False),
        ({"client": "nil?"}, True),
        ({"client": {"id": "nil?"}}, False),
        ({"body": {"blank": "not-blank?"}}, False),
        ({"user": {"id": "not-blank?"}}, True),
        ({"params": {"resource/id": ".user.data.patient_id"}}, True),
        ({"params": {"resource/id": ".user.data.kin.0"}}, True),
        ({"params": {"resource/id": ".user.data.kin.9"}}, False),
        ({"params": {"resource/id": ".user.id"}}, False),
        ({"params": {"missing": ".user.data.missing"}}, False),
        ({"user": {"data": {"kin": {"$contains": ".params.resource/id"}}}}, True),
        ({"user": {"data": {"kin": {"$contains": ".user.id"}}}}, False),
        ({"params": {"n": {"$enum": [2, 1]}}}, True),
        ({"params": {"n": {"$enum": ["1", True]}}}, False),
        (
            {
                "user": {
                    "data": {
                        "$one-of": [
                            {"nobody": ".params.none"},
                            {"kin": {"$contains": ".params.resource/id"}},
                        ]
                    }
                }
            },
            True,
        ),
        ({"body": {"list": {"$every": {"a": "present?"}}}}, True),
        ({"body": {"list": {"$every": {"b": "present?"}}}}, False),
        ({"body": {"none": {"$every": {}}}}, False),
        ({"body": {"list": {"$length": 2}}}, True),
        ({"body": {"list": {"$length": 3}}}, False),
        ({"body": {"list": {"$present-all": [{"b": 3}, {"a": 1}]}}}, True),
        ({"body": {"list": {"$present-all": [{"b": 4}]}}}, False),
        ({"body": {"subject": {"$reference": {"resourceType": "Patient", "id": ".user.data.patient_id"}}}}, True),
        ({"body": {"subject": {"$reference": {"id": "p-8"}}}}, False),
        ({"uri": {"$not": "#^/Admin"}}, True),
        ({"uri": {"$not": "#Patient"}}, False),
    ],
)  # fmt: skip
def test_patterns(pattern, expected):
    assert matches(pattern) is expected
    assert (mismatches(pattern, REQUEST, REQUEST) == []) is expected


def test_a_pointer_to_nothing_is_no_way_through_not():
    with pytest.raises(UnresolvedError):
        matches({"params": {"resource/id": {"$not": ".user.data.blocked"}}})


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        ({"a": {"$unknown": 1}}, ("a", "$unknown")),
        ({"a": {"$enum": [1], "b": 2}}, ("a", "$enum")),
        ({"a": ["x", {"$one-of": []}]}, ("a", 1, "$one-of")),
        ({"a": "#("}, ("a",)),
        ({"a": "#(?=look)ahead"}, ("a",)),
        ({"a": "#(x)\\1"}, ("a",)),
        ({"a": ".user..id"}, ("a",)),
        ({"a": "."}, ("a",)),
        ({"a": {"$length": True}}, ("a", "$length")),
    ],
)
def test_what_cannot_be_compiled_is_named_by_its_place(pattern, place):
    with pytest.raises(PolicyError) as caught:
        compile_matcho(pattern)
    assert caught.value.path == place


def test_a_pattern_nested_without_end_is_refused():
    pattern = "x"
    for _ in range(1000):
        pattern = {"a": pattern}
    with pytest.raises(PolicyError):
        compile_matcho(pattern)


def test_catastrophic_expressions_take_no_time():
    test = compile_matcho({"uri": "#^(a+)+$"})
    started = time.perf_counter()
    assert not test({"uri": "a" * 30_000 + "!"}, {})
    assert time.perf_counter() - started < 0.5


def test_mismatches_tell_place_pattern_and_subject():
    pattern = {"user": {"data": {"patient_id": "p-9"}}, "uri": "#^/x"}
    assert mismatches(pattern, REQUEST, REQUEST) == [
        {"path": ["user", "data", "patient_id"], "expected": "p-9", "but": "p-7"},
        {"path": ["uri"], "expected": "#^/x", "but": "/fhir/Patient/p-7"},
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Patient/p1", ("Patient", "p1")),
        ("http://x.test/fhir/Patient/p1/_history/2", ("Patient", "p1")),
        ({"reference": "Patient/p1"}, ("Patient", "p1")),
        ({"resourceType": "Patient", "id": "p1", "display": "x"}, ("Patient", "p1")),
        ("p1", None),
        ({"reference": 5}, None),
        ({"resourceType": "Patient"}, None),
        (None, None),
    ],
)
def test_references(value, expected):
    found = parse_reference(value)
    assert (found and (found["resourceType"], found["id"])) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, {"a": [True]}], [1, {"a": [True]}], True),
        ([1, {"a": [True]}], [1, {"a": [1]}], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1], (1,), False),
        ("1", 1, False),
    ],
)
def test_equality_is_by_value_without_coercion(one, other, expected):
    assert equal(one, other) is expected
