"""JSON Patch beyond the published cases. Source: RFC 6902, RFC 6901."""

from __future__ import annotations

import copy
import time
from decimal import Decimal

import pytest

from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.patch.json_patch import apply_json_patch, parse_json_patch
from boxruntime.fhir.patch.refusal import MAX_OPERATIONS


def patched(document, *operations):
    return apply_json_patch(copy.deepcopy(document), parse_json_patch(list(operations)))


def fault_of(document, *operations):
    with pytest.raises(OutcomeError) as failure:
        patched(document, *operations)
    return failure.value.fault


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/a/-", "value": 3}, {"a": [1, 2, 3], "b": {"c": 1}}),
        ({"op": "add", "path": "/a/2", "value": 3}, {"a": [1, 2, 3], "b": {"c": 1}}),
        ({"op": "add", "path": "/a/0", "value": None}, {"a": [None, 1, 2], "b": {"c": 1}}),
        ({"op": "add", "path": "/b", "value": 5}, {"a": [1, 2], "b": 5}),
        ({"op": "add", "path": "", "value": {"z": 1}}, {"z": 1}),
        ({"op": "replace", "path": "", "value": {"z": 1}}, {"z": 1}),
        ({"op": "copy", "from": "/b", "path": "/a/1"}, {"a": [1, {"c": 1}, 2], "b": {"c": 1}}),
        ({"op": "copy", "from": "", "path": "/d"},
         {"a": [1, 2], "b": {"c": 1}, "d": {"a": [1, 2], "b": {"c": 1}}}),
        ({"op": "move", "from": "/b/c", "path": "/b/c"}, {"a": [1, 2], "b": {"c": 1}}),
        ({"op": "move", "from": "/b/c", "path": "/b"}, {"a": [1, 2], "b": 1}),
        ({"op": "move", "from": "/a/0", "path": "/a/-"}, {"a": [2, 1], "b": {"c": 1}}),
        ({"op": "test", "path": "/b", "value": {"c": Decimal("1.00")}}, {"a": [1, 2], "b": {"c": 1}}),
        ({"op": "test", "path": "", "value": {"b": {"c": 1}, "a": [1, 2]}},
         {"a": [1, 2], "b": {"c": 1}}),
    ],
)  # fmt: skip
def test_an_operation(operation, expected):
    assert patched({"a": [1, 2], "b": {"c": 1}}, operation) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/x", "value": 1}, {"op": "remove", "path": "/x"},
        {"op": "remove", "path": "/a/2"}, {"op": "remove", "path": "/a/-"},
        {"op": "add", "path": "/a/3", "value": 1}, {"op": "add", "path": "/a/01", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1}, {"op": "add", "path": "/a/-1", "value": 1},
        {"op": "add", "path": "/a/99999999999999999999", "value": 1},
        {"op": "test", "path": "/x", "value": None}, {"op": "add", "path": "/b/c/d", "value": 1},
        {"op": "move", "from": "/x", "path": "/y"}, {"op": "move", "from": "/b", "path": "/b/c"},
        {"op": "copy", "from": "/a/5", "path": "/y"}, {"op": "remove", "path": ""},
        {"op": "replace", "path": "", "value": [1]}, {"op": "replace", "path": "", "value": "x"},
    ],
)  # fmt: skip
def test_a_place_that_is_not_there(operation):
    assert fault_of({"a": [1, 2], "b": {"c": 1}}, operation) is Fault.INVALID


@pytest.mark.parametrize(
    "body",
    [
        {}, "x", None, [1], [None], [{}], [{"op": "spam", "path": "/a"}], [{"op": ["add"]}],
        [{"op": "add", "path": "/a"}], [{"op": "add", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}], [{"op": "add", "path": "/~", "value": 1}],
        [{"op": "add", "path": "/~2", "value": 1}], [{"op": "add", "path": 5, "value": 1}],
        [{"op": "move", "path": "/a"}], [{"op": "copy", "path": "/a", "from": None}],
        [{"op": "replace", "path": "/a"}], [{"op": "test", "path": "/a"}],
    ],
)  # fmt: skip
def test_what_is_no_json_patch(body):
    with pytest.raises(OutcomeError) as failure:
        parse_json_patch(body)
    assert failure.value.fault is Fault.INVALID


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (1, True, False), (0, False, False), (1, Decimal("1.0"), True), (1, "1", False),
        (None, False, False), ([], {}, False), ([1, 2], [2, 1], False), ([1], [True], False),
        ({"a": 1}, {"a": 1, "b": None}, False), (Decimal("1E+400"), Decimal("1E+400"), True),
    ],
)  # fmt: skip
def test_what_a_test_holds_to_be_equal(one, two, same):
    operation = {"op": "test", "path": "/x", "value": two}
    if same:
        assert patched({"x": one}, operation) == {"x": one}
    else:
        assert fault_of({"x": one}, operation) is Fault.CONFLICT


def test_a_patch_can_be_applied_again():
    """What it adds is not what later operations change."""
    operations = parse_json_patch(
        [
            {"op": "add", "path": "/a", "value": {"b": []}},
            {"op": "copy", "from": "/a", "path": "/c"},
            {"op": "add", "path": "/a/b/-", "value": 1},
        ]
    )
    for _ in range(2):
        assert apply_json_patch({}, operations) == {"a": {"b": [1]}, "c": {"b": []}}


def test_numbers_keep_their_text():
    patch = parse_json_patch(decode_json('[{"op":"add","path":"/b","value":2.50}]'))
    document = apply_json_patch(decode_json('{"a":1.00}'), patch)
    assert encode_json(document) == b'{"a":1.00,"b":2.50}'


def test_copies_that_double_the_document_are_stopped():
    bomb = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 60
    started = time.monotonic()
    assert fault_of({"a": ["x" * 1000]}, *bomb) is Fault.TOO_LARGE
    assert time.monotonic() - started < 20


def test_a_patch_has_so_many_operations_at_most():
    operations = [{"op": "add", "path": "/a/0", "value": 1}] * MAX_OPERATIONS
    assert len(patched({"a": []}, *operations)["a"]) == MAX_OPERATIONS
    assert fault_of({"a": []}, *operations, operations[0]) is Fault.TOO_LARGE


def test_failures_name_the_operation_and_no_value():
    with pytest.raises(OutcomeError) as failure:
        patched(
            {"a": 1}, {"op": "test", "path": "/a", "value": 1}, {"op": "remove", "path": "/secret"}
        )
    (issue,) = failure.value.issues
    assert issue.message == "Operation 2 (remove): the place does not exist."
