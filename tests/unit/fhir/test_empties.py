"""Stripping. Source: core specification, "When and on what"."""

from __future__ import annotations

import pytest

from boxruntime.fhir.empties import strip_empty
from boxruntime.fhir.formats import accept_aidbox
from boxruntime.fhir.metadata import base_metadata


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": None, "b": {}, "c": [], "d": 1}, {"d": 1}),
        ({"a": {"b": {"c": []}}, "d": [{"e": None}]}, {}),
        ({"a": [None, 1, {}, [], {"b": None}]}, {"a": [1]}),
        ({"a": False, "b": 0, "c": ""}, {"a": False, "b": 0, "c": ""}),
        ({"a": [None, "x"]}, {"a": ["x"]}),
        (
            {"a": [None, "x"], "_a": [{"id": "e"}, None]},
            {"a": [None, "x"], "_a": [{"id": "e"}, None]},
        ),
        ({"a": ["x"], "_a": [None]}, {"a": ["x"]}),
        (
            {"a": ["x", "y"], "_a": [None, {"id": "e"}]},
            {"a": ["x", "y"], "_a": [None, {"id": "e"}]},
        ),
        ({"a": [None], "_a": [{"id": "e"}]}, {"_a": [{"id": "e"}]}),
        ({"_a": [None, {"id": "e"}]}, {"_a": [None, {"id": "e"}]}),
        ({"a": [None, "x"], "_a": {"id": "e"}}, {"a": ["x"], "_a": {"id": "e"}}),
        ({"x": {"localRef": ""}}, {"x": {"localRef": ""}}),
        ({"a": [{"b": [None]}]}, {}),
        ([{"a": None}, {"b": 1}], [{"b": 1}]),
        ({"a": "null {} []"}, {"a": "null {} []"}),
    ],
)
def test_what_says_nothing_is_removed(value, expected):
    before = repr(value)
    assert strip_empty(value) == expected
    assert repr(value) == before


def test_what_the_metadata_leaves_free_keeps_its_nulls():
    metadata = base_metadata("4.0.1")
    parameter = {
        "name": "n",
        "type": "composite",
        "resource": {"resourceType": "Entity", "id": "Patient"},
        "expression": [[], ["contact"]],
        "guards": [None, {"types": []}],
        "target": [],
    }
    stored = accept_aidbox(metadata, "SearchParameter", parameter).resource
    assert stored["expression"] == [[], ["contact"]]
    assert stored["guards"] == [None, {"types": []}]
    assert "target" not in stored
    policy = {"engine": "json-schema", "schema": {"properties": {"a": {}}}, "link": [{}]}
    stored = accept_aidbox(metadata, "AccessPolicy", policy).resource
    assert stored["schema"] == policy["schema"]
    assert "link" not in stored
    assert "schema" not in accept_aidbox(metadata, "AccessPolicy", {"schema": {}}).resource


def test_a_value_with_nothing_to_strip_is_returned_itself():
    value = {"a": [{"b": "c"}]}
    assert strip_empty(value) is value
