"""The FHIR JSON rules a write is held to. Source: core specification, "FHIR JSON rules"."""

from __future__ import annotations

import pytest

from boxruntime.fhir.extension_schema import are_extensions_right
from boxruntime.fhir.formats import to_aidbox
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.shape import examine
from boxruntime.fhir.validation import validate_converted

METADATA = base_metadata("4.0.1")
EXTENSION = {"extension": [{"url": "u", "valueCode": "unknown"}]}


def found(document, type_name="Patient"):
    """What a write finds: conversion and validation together."""
    converted = to_aidbox(METADATA, type_name, document)
    issues = validate_converted(METADATA, type_name, converted, Dialect.FHIR)
    return [(issue.expression, issue.message) for issue in issues]


@pytest.mark.parametrize(
    "document",
    [
        {"birthDate": "2000", "_birthDate": EXTENSION},
        {"birthDate": "2000", "_birthDate": {"id": "e"}},
        {"_birthDate": EXTENSION},
        {"name": [{"given": ["A", None], "_given": [None, EXTENSION]}]},
        {"name": [{"given": ["A"], "_given": [None]}]},
        {"name": [{"given": ["A"], "_given": [None, None, None]}]},
        {"name": [{"_given": [EXTENSION]}]},
        {"deceasedBoolean": True, "_deceasedBoolean": {"id": "e"}},
        {"_deceasedDateTime": EXTENSION},
        {"generalPractitioner": [{"reference": "Practitioner/p", "_display": EXTENSION}]},
        {"contact": [{"organization": {"_reference": EXTENSION}}]},
        {"extension": [{"url": "u", "_valueString": EXTENSION}]},
        {
            "extension": [
                {
                    "url": "u",
                    "valueHumanName": {"given": [None, "B"], "_given": [EXTENSION, None]},
                }
            ]
        },
        {"extension": [{"url": "u", "valueAnnotation": {"_text": EXTENSION}}]},
        {"extension": [{"url": "u", "valueString": "x", "_valueString": {"id": "e"}}]},
    ],
)
def test_what_fhir_allows_is_no_finding(document):
    assert found(document) == []


EXTRA = "extra property"
OBJECT = "expected type of object"
NEITHER = "expected a value or an extension"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        # Only beside a declared primitive.
        ({"_nothing": {"id": "e"}}, ("Patient.nothing", EXTRA)),
        ({"_name": [{"id": "e"}]}, ("Patient.name", EXTRA)),
        ({"_maritalStatus": {"id": "e"}}, ("Patient.maritalStatus", EXTRA)),
        ({"_id2": {"id": "e"}}, ("Patient.id2", EXTRA)),
        ({"_contact": EXTENSION}, ("Patient.contact", EXTRA)),
        ({"_deceased": EXTENSION}, ("Patient.deceased", EXTRA)),
        ({"fhir_comments": ["x"]}, ("Patient.fhir_comments", EXTRA)),
        ({"name": [{"fhir_comments": ["x"]}]}, ("Patient.name[0].fhir_comments", EXTRA)),
        # An object where x is single, an array of objects where it repeats.
        ({"_birthDate": [EXTENSION]}, ("Patient.birthDate", OBJECT)),
        ({"_birthDate": "x"}, ("Patient.birthDate", OBJECT)),
        ({"name": [{"_given": EXTENSION}]}, ("Patient.name[0].given", "expected array")),
        ({"name": [{"_given": ["x"]}]}, ("Patient.name[0].given[0]", OBJECT)),
        # id and extension only.
        ({"birthDate": "2000", "_birthDate": {"x": 1}}, ("Patient.birthDate", EXTRA)),
        (
            {"birthDate": "2000", "_birthDate": {"id": 5}},
            ("Patient.birthDate.id", "expected type of string"),
        ),
        (
            {"birthDate": "2000", "_birthDate": {"extension": {"url": "u"}}},
            ("Patient.birthDate.extension", "expected array"),
        ),
        # Where x has null, `_x` must have an extension.
        ({"_birthDate": {"id": "e"}}, ("Patient.birthDate", NEITHER)),
        (
            {"name": [{"given": ["A", None], "_given": [None, {"id": "e"}]}]},
            ("Patient.name[0].given[1]", NEITHER),
        ),
        (
            {"name": [{"given": ["A", None], "_given": [EXTENSION]}]},
            ("Patient.name[0].given[1]", NEITHER),
        ),
        ({"_deceasedBoolean": {"id": "e"}}, ("Patient.deceased.ofType(boolean)", NEITHER)),
        # Inside contained resources and complex types alike.
        (
            {"contained": [{"resourceType": "Patient", "_x": {}, "_name": [{"id": "e"}]}]},
            ("Patient.contained[0].name", EXTRA),
        ),
        (
            {"identifier": [{"assigner": {"_identifier": EXTENSION}}]},
            ("Patient.identifier[0].assigner.identifier", EXTRA),
        ),
    ],
)
def test_underscored_members_have_their_rules(document, expected):
    assert expected in found(document)


ONE = "expected exactly one of value and extension"


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        ({"valueString": "x"}, [("", "Property url is required")]),
        ({"url": "u"}, [("", ONE)]),
        ({"url": "u", "id": "e"}, [("", ONE)]),
        ({"url": "u", "extension": [{"url": "v", "id": "e"}]}, [(".extension[0]", ONE)]),
        ({"url": "u", "valueString": "x", "valueCode": "y"}, [("", ONE)]),
        (
            {"url": "u", "valueString": "x", "extension": [{"url": "v", "valueCode": "y"}]},
            [("", ONE)],
        ),
        ({"url": "u", "extension": [{"url": "v"}]}, [(".extension[0]", ONE)]),
        (
            {"url": "u", "valueInteger": "x"},
            [(".value.ofType(integer)", "expected type of integer")],
        ),
        (
            {"url": "u", "valueQuantity": {"value": "x"}},
            [(".value.ofType(Quantity).value", "expected type of number")],
        ),
        ({"url": "u", "valueQuantity": {"x": 1}}, [(".value.ofType(Quantity).x", EXTRA)]),
        ({"url": "u", "valueNothing": 1}, [(".valueNothing", EXTRA)]),
        ({"url": "u", "value": {"string": "x"}}, [(".value", EXTRA)]),
        ({"url": 5, "valueString": "x"}, [(".url", "expected type of string")]),
        (
            {"url": "u", "valueReference": {"resourceType": "Patient", "id": "p"}},
            [(".value.ofType(Reference).resourceType", EXTRA)],
        ),
        (
            {"url": "u", "valueDate": "2001-02-30"},
            [(".value.ofType(date)", "expected type of date")],
        ),
        (
            {
                "url": "u",
                "valueAnnotation": {
                    "text": "t",
                    "authorString": "x",
                    "authorReference": {"display": "D"},
                },
            },
            [(".value.ofType(Annotation).author", "expected exactly one type of value")],
        ),
    ],
)
def test_a_raw_extension_must_be_right_wherever_it_stands(extension, expected):
    places = {
        "Patient.extension[0]": {"extension": [extension]},
        "Patient.modifierExtension[0]": {"modifierExtension": [extension]},
        "Patient.name[0].extension[0]": {"name": [{"extension": [extension]}]},
        "Patient.birthDate.extension[0]": {"_birthDate": {"extension": [extension]}},
        "Patient.contact[0].modifierExtension[0]": {
            "contact": [{"modifierExtension": [extension]}]
        },
    }
    for place, document in places.items():
        assert place.startswith("Patient.birthDate") or not are_extensions_right(METADATA, document)
        for tail, message in expected:
            assert (place + tail, message) in found(document)


def test_extensions_of_the_wrong_shape():
    assert found({"extension": {"url": "u"}}) == [("Patient.extension", "expected array")]
    assert ("Patient.extension[0]", OBJECT) in found({"extension": ["x"]})


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"name": []}, ["Patient.name"]),
        ({"name": [{}]}, ["Patient.name[0]"]),
        ({"name": None}, ["Patient.name"]),
        ({"name": [{"family": ""}]}, ["Patient.name[0].family"]),
        ({"name": [{"given": [None]}]}, ["Patient.name[0].given[0]"]),
        ({"name": [None]}, ["Patient.name[0]"]),
        ({"deceasedBoolean": None}, ["Patient.deceased.ofType(boolean)"]),
        (
            {"extension": [{"url": "u", "valueCoding": {}}]},
            ["Patient.extension[0].value.ofType(Coding)"],
        ),
        ({"name": [{"given": [None, "B"], "_given": [EXTENSION, None]}]}, []),
        ({"name": [{"given": ["A"], "_given": [None]}]}, []),
        ({"active": False, "multipleBirthInteger": 0}, []),
    ],
)
def test_validate_reports_what_is_empty(document, expected):
    from boxruntime.fhir.expression import render_expression

    issues, _ = examine(METADATA, "Patient", document)
    expressions = {render_expression(METADATA, issue, Dialect.FHIR, document) for issue in issues}
    assert expressions >= set(expected)
    assert bool(expressions) is bool(expected)


def test_a_write_strips_what_is_empty():
    document = {"name": [], "contact": [{}], "active": None, "photo": [{"title": None}]}
    converted = to_aidbox(METADATA, "Patient", document)
    assert converted.issues == []
    assert converted.resource == {"resourceType": "Patient"}
    assert found({"name": [{"family": ""}]}) == [
        ("Patient.name[0].family", "expected type of string")
    ]
