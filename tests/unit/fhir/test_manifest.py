"""From the shorthand of App.entities to resources. Source: core specification, "App.entities"."""

from __future__ import annotations

from boxruntime.fhir.manifest import expand_entities, expand_resources
from boxruntime.fhir.metadata import base_metadata

METADATA = base_metadata("4.0.1")


def ref(name):
    return {"resourceType": "Entity", "id": name}


def expanded(entities, *, foreign=None, module="clinic"):
    return expand_entities(METADATA, entities, ("entities",), foreign=foreign or {}, module=module)


def resources(expansion):
    assert expansion.findings == []
    return {(one.type, one.id): one.resource for one in expansion.definitions}


def test_a_new_name_becomes_a_resource_type_with_its_elements():
    found = resources(
        expanded(
            {
                "VisitNote": {
                    "isOpen": False,
                    "attrs": {
                        "mood": {"type": "string", "enum": ["calm"], "isRequired": True},
                        "score": {"attrs": {"total": {"type": "integer"}}},
                    },
                }
            }
        )
    )
    owner = {"resource": ref("VisitNote"), "module": "clinic"}
    assert found == {
        ("Entity", "VisitNote"): {"type": "resource", "isOpen": False, "module": "clinic"},
        ("Attribute", "VisitNote.mood"): {
            **owner,
            "path": ["mood"],
            "order": 0,
            "type": ref("string"),
            "enum": ["calm"],
            "isRequired": True,
        },
        ("Attribute", "VisitNote.score"): {**owner, "path": ["score"], "order": 1},
        ("Attribute", "VisitNote.score.total"): {
            **owner,
            "path": ["score", "total"],
            "order": 0,
            "type": ref("integer"),
        },
    }


def test_what_every_box_has_takes_over_flags_and_stands_for_nothing_without():
    found = resources(
        expanded(
            {
                "Patient": {
                    "attrs": {
                        "gender": {"isRequired": True},
                        "contact": {"attrs": {"nick": {"type": "string"}}},
                        "name": {"attrs": {"family": {"isRequired": True}}},
                    }
                }
            }
        )
    )
    assert found.keys() == {
        ("Attribute", "Patient.gender"),
        ("Attribute", "Patient.contact.nick"),
        ("Attribute", "Patient.name.family"),
    }
    gender = found["Attribute", "Patient.gender"]
    assert (gender["type"], gender["isRequired"]) == (ref("code"), True)
    assert gender["module"] == "fhir-4.0.1"
    family = found["Attribute", "Patient.name.family"]
    assert (family["type"], family["path"]) == (ref("string"), ["name", "family"])


def test_types_that_others_made_are_not_taken_over():
    entities = {"Theirs": {"attrs": {"a": {"type": "string"}}}}
    assert resources(expanded(entities, foreign={"Theirs": "type"})).keys() == {
        ("Attribute", "Theirs.a")
    }
    entities["Theirs"]["isOpen"] = True
    found = resources(expanded(entities, foreign={"Theirs": "type"}))
    assert found["Entity", "Theirs"] == {"type": "type", "isOpen": True}


def test_a_choice_has_an_attribute_for_each_alternative():
    attrs = {"about": {"union": ["string", "Reference"], "refers": ["Patient"]}}
    found = resources(expanded({"V": {"attrs": attrs}}))
    assert found["Attribute", "V.about"]["union"] == [ref("string"), ref("Reference")]
    reference = found["Attribute", "V.about.Reference"]
    assert (reference["path"], reference["refers"]) == (["about", "Reference"], ["Patient"])
    assert "refers" not in found["Attribute", "V.about.string"]


def test_every_finding_has_its_place():
    wrong = expanded(
        {
            "A": 5,
            "B": {"odd": 1, "attrs": {"a": 5, "b": {"odd": 1, "type": 5, "attrs": []}}},
            "C": {"attrs": {"a": {"union": ["string", 5]}}},
        }
    )
    assert [place for place, _ in wrong.findings] == [
        ("entities", "A"),
        ("entities", "B", "odd"),
        ("entities", "B", "attrs", "a"),
        ("entities", "B", "attrs", "b", "odd"),
        ("entities", "B", "attrs", "b", "type"),
        ("entities", "B", "attrs", "b", "attrs"),
        ("entities", "C", "attrs", "a", "union", 1),
    ]
    assert {issue.type_name for issue in wrong.issues("App")} == {"App"}
    more = expand_resources({"Client": {"a": 5, "b": {}}, "App": {}, "User": []}, ("resources",))
    assert [place for place, _ in more.findings] == [
        ("resources", "Client", "a"),
        ("resources", "App"),
        ("resources", "User"),
    ]
    assert [(one.type, one.id) for one in more.definitions] == [("Client", "b")]
