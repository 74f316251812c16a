"""The schema that is served and enforced. Source: core specification, "Generated schema"."""

from __future__ import annotations

import jsonschema_rs
import pytest

from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.schema import enforced_schema, json_schema, whole_schema
from boxruntime.fhir.validation import validate

METADATA = base_metadata("4.0.1")
VISIT_NOTE = [{"resourceType": "Entity", "id": "VisitNote", "type": "resource"}]
MOOD = {
    "resourceType": "Attribute",
    "id": "VisitNote.mood",
    "path": ["mood"],
    "enum": ["calm", "tense"],
    "type": {"id": "string", "resourceType": "Entity"},
    "resource": {"id": "VisitNote", "resourceType": "Entity"},
}


def test_the_example_of_the_specification():
    metadata = METADATA.with_records(VISIT_NOTE, [MOOD])
    assert json_schema(metadata, "VisitNote") == {
        "type": "object",
        "minProperties": 1,
        "patternProperties": {"^(_.*|fhir_.*)": {}},
        "properties": {
            "id": {"type": "string"},
            "resourceType": {"type": "string", "constant": "VisitNote"},
            "meta": {"$ref": "#/definitions/Meta"},
            "extension": {"type": "array", "items": {"$ref": "#/definitions/Extension"}},
            "modifierExtension": {"type": "array", "items": {"$ref": "#/definitions/Extension"}},
            "mood": {"type": "string", "enum": ["calm", "tense"]},
        },
        "additionalProperties": False,
    }


def test_an_open_type_has_no_additional_properties_rule():
    metadata = METADATA.with_records([{**VISIT_NOTE[0], "isOpen": True}], [])
    assert "additionalProperties" not in json_schema(metadata, "VisitNote")


def test_collections_required_groups_and_recursion():
    schema = json_schema(METADATA, "Questionnaire")
    assert schema["required"] == ["status"]
    item = schema["properties"]["item"]
    assert item["type"] == "array"
    assert item["items"]["required"] == ["linkId", "type"]
    assert item["items"]["additionalProperties"] is False
    assert item["items"]["properties"]["item"] == {
        "type": "array",
        "items": {"$ref": "#/definitions/Questionnaire/properties/item/items"},
    }


def test_a_union_is_a_closed_object_of_its_alternatives():
    value = json_schema(METADATA, "Patient")["properties"]["deceased"]
    assert value["properties"].keys() == {"boolean", "dateTime"}
    assert value["additionalProperties"] is False


def test_the_extension_type_is_open():
    assert "additionalProperties" not in json_schema(METADATA, "Extension")


def test_a_required_code_binding_becomes_an_enum():
    gender = json_schema(METADATA, "Patient")["properties"]["gender"]
    assert gender == {"type": "string", "enum": ["female", "male", "other", "unknown"]}


def test_the_whole_schema_resolves_every_reference_it_makes():
    schema = whole_schema(METADATA)
    definitions = schema["definitions"]
    assert METADATA.resource_types <= definitions.keys()

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                target = schema
                for step in node["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(definitions)
    jsonschema_rs.Draft7Validator({"$ref": "#/definitions/Patient", **schema})


def test_the_enforced_schema_is_the_served_one():
    whole = whole_schema(METADATA)["definitions"]
    enforced = enforced_schema(METADATA, "Observation")["definitions"]
    assert enforced.items() <= whole.items()


def test_an_unknown_type_has_no_schema():
    with pytest.raises(KeyError):
        json_schema(METADATA, "Nothing")


def test_a_type_added_later_compiles_nothing_else_anew():
    metadata = METADATA.with_records(VISIT_NOTE, [MOOD])
    assert metadata.home_of("Patient") is METADATA
    assert metadata.home_of("VisitNote") is metadata
    assert json_schema(metadata, "Patient") is json_schema(METADATA, "Patient")
    validate(metadata, "Patient", {"resourceType": "Patient"}, Dialect.AIDBOX)
    shared = METADATA.artefacts("validators")["Patient"]
    assert metadata.artefacts("validators")["Patient"] is shared


def test_an_attribute_of_a_complex_type_holds_wherever_the_type_occurs():
    attribute = {
        "id": "HumanName.nick",
        "path": ["nick"],
        "resource": {"id": "HumanName"},
        "type": {"id": "string"},
    }
    metadata = METADATA.with_records([], [attribute])
    resource = {"resourceType": "Patient", "name": [{"nick": "x"}]}
    assert validate(metadata, "Patient", resource, Dialect.AIDBOX) == []
    assert len(validate(METADATA, "Patient", resource, Dialect.AIDBOX)) == 1
    assert metadata.home_of("Patient") is metadata
    assert metadata.home_of("Encounter") is METADATA
