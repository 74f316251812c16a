"""The rules that $to-format shows. Source: core specification, "$to-format"."""

from __future__ import annotations

from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.transform_tree import transform_tree

METADATA = base_metadata("4.0.1")


def test_every_kind_of_rule_is_there_and_what_is_copied_is_not():
    observation = transform_tree(METADATA, "Observation")
    assert observation["subject"] == {"tr/reference": True, "tr/ref": "Reference"}
    assert observation["performer"]["tr/isCollection"] is True
    value = observation["value"]["tr/union"]
    assert value["string"] == {}
    assert set(value) == set(METADATA.types["Observation"].elements["value"].union)
    assert observation["component"]["tr/isCollection"] is True
    assert observation["component"]["value"] == {"tr/union": {name: {} for name in value}}
    assert observation["contained"] == {"tr/ref": "Resource", "tr/isCollection": True}
    assert "code" not in observation
    assert "status" not in observation
    questionnaire = transform_tree(METADATA, "Questionnaire")
    item = questionnaire["item"]["item"]
    assert item == {"tr/ref": "Questionnaire.item", "tr/isCollection": True}


def test_the_tree_of_an_unchanged_type_is_shared():
    metadata = METADATA.with_records([{"id": "VisitNote", "type": "resource"}], [])
    assert transform_tree(metadata, "Patient") is transform_tree(METADATA, "Patient")
    assert transform_tree(metadata, "VisitNote") == {}
