"""A profile's JSON Schema, its drafts and its messages. Source: docs/profiles.md."""

from __future__ import annotations

from decimal import Decimal

import pytest

from boxruntime.fhir.profiles.checking import DRAFT, compile_profile


def found(schema, resource):
    issues = compile_profile(schema).issues(resource, "Patient", {})
    return [(issue.path, issue.message) for issue in issues]


DRAFTS = [
    None,
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-07/schema",
    "https://json-schema.org/draft/2019-09/schema",
    DRAFT,
]


@pytest.mark.parametrize("draft", DRAFTS)
def test_each_draft_is_obeyed(draft):
    schema = {"required": ["a"], **({"$schema": draft} if draft else {})}
    assert found(schema, {}) == [((), "Property a is required")]
    assert found(schema, {"a": 1}) == []


def test_counting_comes_with_2019_09():
    counted = {"properties": {"a": {"contains": {"const": 1}, "minContains": 2}}}
    assert found(counted, {"a": [1]}) == []
    for draft in DRAFTS[-2:]:
        assert found({"$schema": draft, **counted}, {"a": [1]}) == [
            (("a",), "the items do not include what is expected")
        ]


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"required": ["a"]},
        {"not": {"maxProperties": 9}},
    ],
)
def test_message_replaces_the_text_of_the_keywords_beside_it(schema):
    assert found({**schema, "message": "a or b"}, {}) == [((), "a or b")]
    below = {"properties": {"x": {**schema, "message": "a or b"}}}
    assert found(below, {"x": {}}) == [(("x",), "a or b")]


def test_a_property_that_is_called_message_is_no_message():
    schema = {"properties": {"message": {"type": "string"}, "a": False}, "required": ["b"]}
    assert set(found(schema, {"message": 1, "a": 1})) == {
        (("message",), "expected type of string"),
        (("a",), "not allowed here"),
        ((), "Property b is required"),
    }


TEXTS = [
    ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, "none of the alternatives fits"),
    ({"oneOf": [{}, {}]}, "not exactly one of the alternatives fits"),
    ({"not": {}}, "not allowed here"),
    ({"propertyNames": {"pattern": "^a$"}}, "a name that is not allowed here"),
]


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_what_has_no_message_is_not_taken_for_a_choice_type(number):
    schema, text = TEXTS[number]
    assert found(schema, {"x": 1}) == [((), text)]


def test_an_integer_has_no_fraction():
    schema = {"properties": {"a": {"type": "integer"}}}
    assert found(schema, {"a": 1}) == []
    assert found(schema, {"a": Decimal("1.0")}) == [(("a",), "expected type of integer")]


def test_a_reference_within_the_schema():
    schema = {"$ref": "#/definitions/A", "definitions": {"A": {"required": ["a"]}}}
    assert found(schema, {}) == [((), "Property a is required")]


@pytest.mark.parametrize(
    "schema", [{"$schema": "http://e.x/draft"}, {"$schema": 5}, {"type": "x"}, 5, {"$ref": "#/no"}]
)
def test_what_is_no_schema_is_a_value_error_of_one_line(schema):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        compile_profile(schema)


def test_a_schema_of_any_depth_is_refused_or_works():
    schema: dict = {"required": ["a"]}
    for _ in range(3_000):
        schema = {"allOf": [schema]}
    with pytest.raises(ValueError, match="nested too deeply"):
        compile_profile(schema)
