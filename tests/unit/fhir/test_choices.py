"""Choice types between both formats. Source: core specification, "Choice types"."""

from __future__ import annotations

from decimal import Decimal

import pytest

from boxruntime.fhir.formats import accept_aidbox, to_aidbox, to_fhir
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.validation import validate

METADATA = base_metadata("4.0.1")
TARGET = {"resourceType": "Medication", "id": "m"}

PAIRS = [
    ("Observation", {"valueString": "x"}, {"value": {"string": "x"}}),
    (
        "Observation",
        {"valueQuantity": {"value": 3, "unit": "mg"}},
        {"value": {"Quantity": {"value": 3, "unit": "mg"}}},
    ),
    (
        "MedicationRequest",
        {"medicationReference": {"reference": "Medication/m"}},
        {"medication": {"Reference": TARGET}},
    ),
    ("Patient", {"deceasedBoolean": False}, {"deceased": {"boolean": False}}),
    (
        "Observation",
        {"effectivePeriod": {"start": "2020"}},
        {"effective": {"Period": {"start": "2020"}}},
    ),
    ("Observation", {"valueInteger": 0}, {"value": {"integer": 0}}),
    (
        "Observation",
        {"component": [{"valueQuantity": {"value": Decimal("1.00")}}]},
        {"component": [{"value": {"Quantity": {"value": Decimal("1.00")}}}]},
    ),
    (
        "QuestionnaireResponse",
        {"item": [{"item": [{"answer": [{"valueDecimal": 1}]}]}]},
        {"item": [{"item": [{"answer": [{"value": {"decimal": 1}}]}]}]},
    ),
    (
        "QuestionnaireResponse",
        {"item": [{"answer": [{"item": [{"answer": [{"valueUri": "u:x"}]}]}]}]},
        {"item": [{"answer": [{"item": [{"answer": [{"value": {"uri": "u:x"}}]}]}]}]},
    ),
    (
        "MedicationRequest",
        {"dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": {"end": "2020"}}}}]},
        {"dosageInstruction": [{"timing": {"repeat": {"bounds": {"Period": {"end": "2020"}}}}}]},
    ),
    (
        "Observation",
        {"note": [{"text": "t", "authorReference": {"reference": "Practitioner/p"}}]},
        {
            "note": [
                {
                    "text": "t",
                    "author": {"Reference": {"resourceType": "Practitioner", "id": "p"}},
                }
            ]
        },
    ),
    (
        "Observation",
        {"_valueString": {"extension": [{"url": "u", "valueCode": "unknown"}]}},
        {"value": {"_string": {"extension": [{"url": "u", "valueCode": "unknown"}]}}},
    ),
    (
        "Observation",
        {"valueString": "x", "_valueString": {"id": "e"}},
        {"value": {"string": "x", "_string": {"id": "e"}}},
    ),
]


@pytest.mark.parametrize(("type_name", "fhir", "aidbox"), PAIRS)
def test_a_choice_is_nested_and_comes_back(type_name, fhir, aidbox):
    head = {"resourceType": type_name}
    converted = to_aidbox(METADATA, type_name, {**head, **fhir})
    assert converted.issues == []
    assert converted.resource == {**head, **aidbox}
    assert to_fhir(METADATA, converted.resource) == {**head, **fhir}
    assert accept_aidbox(METADATA, type_name, aidbox).resource == converted.resource


def test_a_plain_element_named_like_a_choice_is_left_alone():
    document = {"resourceType": "Observation", "referenceRange": [{"low": {"value": 3}}]}
    assert to_aidbox(METADATA, "Observation", document).resource == document


def issues(type_name, document):
    converted = to_aidbox(METADATA, type_name, document)
    found = converted.issues + validate(METADATA, type_name, converted.resource, Dialect.FHIR)
    return [(issue.expression, issue.message) for issue in found]


OBSERVATION = {"status": "final", "code": {"text": "t"}}


def test_two_aliases_of_one_choice_are_a_finding():
    document = {**OBSERVATION, "valueString": "x", "valueInteger": 1}
    expected = ("Observation.value", "expected exactly one type of value")
    assert expected in issues("Observation", document)
    document = {**OBSERVATION, "_valueString": {"id": "x"}, "valueInteger": 1}
    assert expected in issues("Observation", document)


def test_two_alternatives_at_root_are_a_finding():
    resource = {**OBSERVATION, "resourceType": "Observation"}
    two = {**resource, "value": {"string": "x", "integer": 1}}
    (issue,) = validate(METADATA, "Observation", two, Dialect.AIDBOX)
    assert (issue.path, issue.message) == (("value",), "expected exactly one type of value")
    one = {**resource, "value": {"string": "x", "_string": {"id": "e"}}}
    assert validate(METADATA, "Observation", one, Dialect.AIDBOX) == []
    three = {**resource, "value": {"string": "x", "integer": 1, "_string": {"id": "e"}}}
    assert len(validate(METADATA, "Observation", three, Dialect.AIDBOX)) == 1


def test_an_unknown_alternative_is_an_extra_property():
    resource = {**OBSERVATION, "resourceType": "Observation", "value": {"Nothing": 1}}
    (issue,) = validate(METADATA, "Observation", resource, Dialect.AIDBOX)
    assert (issue.expression, issue.message) == ("Observation.value.Nothing", "extra property")
    assert issues("Observation", {**OBSERVATION, "valueNothing": 1}) == [
        ("Observation.valueNothing", "extra property")
    ]


def test_the_nested_form_is_no_fhir():
    document = {**OBSERVATION, "value": {"Quantity": {"value": 1}}}
    assert issues("Observation", document) == [("Observation.value", "extra property")]


def test_the_fhir_form_is_no_aidbox():
    resource = {**OBSERVATION, "resourceType": "Observation", "valueString": "x"}
    (issue,) = validate(METADATA, "Observation", resource, Dialect.AIDBOX)
    assert (issue.path, issue.message) == (("valueString",), "extra property")


def test_a_wrong_value_is_found_below_its_alternative():
    assert issues("Observation", {**OBSERVATION, "valueQuantity": "3 mg"}) == [
        ("Observation.value.ofType(Quantity)", "expected type of object")
    ]
    assert issues("Observation", {**OBSERVATION, "valueQuantity": {"value": "3"}}) == [
        ("Observation.value.ofType(Quantity).value", "expected type of number")
    ]
