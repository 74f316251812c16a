"""Merge Patch: all cases of RFC 7386's appendix whose document and result are objects."""

from __future__ import annotations

import copy

import pytest

from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.patch.merge_patch import apply_merge_patch, parse_merge_patch


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": ["x"]}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": 1}, {"a": [None, 1]}, {"a": [None, 1]}),
        ({"a": 1}, {}, {"a": 1}),
    ],
)
def test_merging(document, patch, expected):
    before = copy.deepcopy((document, patch))
    assert apply_merge_patch(document, parse_merge_patch(patch)) == expected
    assert (document, patch) == before


@pytest.mark.parametrize("body", [[], "x", None, 5])
def test_a_merge_patch_of_a_resource_is_an_object(body):
    with pytest.raises(OutcomeError) as failure:
        parse_merge_patch(body)
    assert failure.value.fault is Fault.INVALID
