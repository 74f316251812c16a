"""Source: authentication specification, "allow, json-schema"."""

from __future__ import annotations

import time

import pytest

from boxruntime.access.engines.request_schema import RequestSchema
from boxruntime.access.engines.values import PolicyError, UnresolvedError

REQUEST = {
    "uri": "/Patient/p1",
    "params": {"resource/id": "p1"},
    "user": {"id": "u", "data": {"patient_id": "p1"}},
}
DATA = {"$data": "#/user/data/patient_id"}
NOTHING = {"$data": "#/user/data/nothing"}


def params(schema, **more):
    return {"properties": {"params": {"properties": {"resource/id": schema}, **more}}}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"required": ["user"]}, True),
        ({"required": ["client"]}, False),
        (params({"const": DATA}), True),
        (params({"constant": DATA}), True),
        (params({"constant": "p1"}), True),
        (params({"constant": "p2"}), False),
        (params({"const": {"$data": "#/user/id"}}), False),
        (params({"const": NOTHING}), False),
        (params({"const": {"$data": "#/params/resource~1id"}}), True),
        ({"properties": {"constant": {"type": "string"}}}, True),
        ({"properties": {"client": {"const": DATA}}}, True),  # absent and not required passes
        (params({"anyOf": [{"const": NOTHING}, {"const": "p1"}]}), True),
        (params({"enum": [{"$data": "#/user/id"}, "p1"]}), True),
        ({"additionalProperties": False}, False),
    ],
)
def test_schemas(schema, expected):
    assert RequestSchema(schema).passes(REQUEST) is expected


@pytest.mark.parametrize("schema", [params({"not": {"const": NOTHING}})])
def test_data_that_leads_to_nothing_never_turns_into_a_yes(schema):
    with pytest.raises(UnresolvedError):
        RequestSchema(schema).passes(REQUEST)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        5,
        {"type": 5},
        {"$ref": "http://example.com/schema.json"},
        {"properties": {"a": {"pattern": "("}}},
        {"properties": {"a": {"const": {"$data": "user.id"}}}},
        {"properties": {"a": {"const": {"$data": 5}}}},
    ],
)
def test_schemas_that_cannot_be_used_are_refused(schema):
    with pytest.raises(PolicyError):
        RequestSchema(schema)


def test_catastrophic_patterns_take_no_time():
    schema = RequestSchema({"properties": {"uri": {"pattern": "^(a+)+$"}}})
    started = time.perf_counter()
    assert not schema.passes({"uri": "a" * 30_000 + "!"})
    assert time.perf_counter() - started < 0.5


def test_only_members_that_a_schema_can_see_are_read():
    assert RequestSchema(params({})).reads == frozenset()
    assert RequestSchema({"required": ["body"]}).reads == {"body"}
    assert "headers" in RequestSchema({"minProperties": 3}).reads
