"""Raw and first-class extensions. Source: core specification, sections of that name."""

from __future__ import annotations

import pytest

from boxruntime.fhir.expression import render_expression
from boxruntime.fhir.formats import accept_aidbox, to_aidbox, to_fhir
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.references import wrong_targets
from boxruntime.fhir.validation import validate

BASE = base_metadata("4.0.1")


def attribute(owner, *path, **facts):
    union = facts.pop("type", None)
    return {
        "resourceType": "Attribute",
        "id": ".".join((owner, *path)),
        "resource": {"resourceType": "Entity", "id": owner},
        "path": list(path),
        **({"type": {"resourceType": "Entity", "id": union}} if union else {}),
        **facts,
    }


def with_attributes(*attributes):
    return BASE.with_records([], list(attributes))


def round_trip(metadata, type_name, fhir, aidbox):
    converted = to_aidbox(metadata, type_name, {"resourceType": type_name, **fhir})
    assert converted.issues == []
    assert converted.resource == {"resourceType": type_name, **aidbox}
    assert to_fhir(metadata, converted.resource) == {"resourceType": type_name, **fhir}
    return converted


RAW = [
    {"url": "http://e.x/a", "valueString": "x"},
    {"url": "http://e.x/b", "valueReference": {"reference": "Nothing/there"}},
    {"url": "http://e.x/c", "extension": [{"url": "d", "valueQuantity": {"value": 1}}]},
]


@pytest.mark.parametrize("member", ["extension", "modifierExtension"])
def test_a_raw_extension_is_kept_exactly_as_received(member):
    converted = round_trip(BASE, "Patient", {member: RAW}, {member: RAW})
    assert converted.references == []
    inner = {"contact": [{member: RAW}], "name": [{"extension": RAW}]}
    round_trip(BASE, "Patient", inner, inner)
    assert validate(BASE, "Patient", {"resourceType": "Patient", **inner}, Dialect.FHIR) == []


def test_root_may_nest_the_value_and_fhir_output_renders_it():
    nested = [
        {"url": "u", "value": {"string": "x"}},
        {"url": "r", "value": {"Reference": {"resourceType": "Patient", "id": "p"}}},
        {"url": "g", "extension": [{"url": "h", "value": {"Quantity": {"value": 1}}}]},
        {"url": "f", "valueString": "already FHIR"},
    ]
    resource = {"resourceType": "Patient", "extension": nested, "name": [{"extension": nested}]}
    accepted = accept_aidbox(BASE, "Patient", resource)
    assert accepted.resource == resource
    assert accepted.references == []
    assert validate(BASE, "Patient", resource, Dialect.AIDBOX) == []
    expected = [
        {"url": "u", "valueString": "x"},
        {"url": "r", "valueReference": {"reference": "Patient/p"}},
        {"url": "g", "extension": [{"url": "h", "valueQuantity": {"value": 1}}]},
        {"url": "f", "valueString": "already FHIR"},
    ]
    fhir = to_fhir(BASE, resource)
    assert fhir["extension"] == expected
    assert fhir["name"] == [{"extension": expected}]


def test_the_example_of_the_specification():
    metadata = with_attributes(
        attribute("Patient", "origin", extensionUrl="http://ex.org/origin"),
        attribute("Patient", "origin", "village", type="string", extensionUrl="village"),
    )
    other = {"url": "http://ex.org/other", "valueReference": {"reference": "Organization/o1"}}
    origin = {
        "url": "http://ex.org/origin",
        "extension": [{"url": "village", "valueString": "Alma"}],
    }
    aidbox = {"origin": {"village": "Alma"}, "extension": [other]}
    converted = to_aidbox(metadata, "Patient", {"extension": [origin, other]})
    assert converted.resource == {"resourceType": "Patient", **aidbox}
    assert converted.references == []
    assert validate(metadata, "Patient", converted.resource, Dialect.FHIR) == []
    # Raw ones first, then the first-class ones.
    assert to_fhir(metadata, converted.resource)["extension"] == [other, origin]


def test_typed_single_and_collection():
    metadata = with_attributes(
        attribute("Patient", "tribe", type="code", extensionUrl="http://e.x/tribe", order=1),
        attribute(
            "Patient", "nick", type="string", extensionUrl="u:nick", isCollection=True, order=2
        ),
    )
    round_trip(
        metadata,
        "Patient",
        {
            "extension": [
                {"url": "http://e.x/tribe", "valueCode": "a"},
                {"url": "u:nick", "valueString": "one"},
                {"url": "u:nick", "valueString": "two"},
            ]
        },
        {"tribe": "a", "nick": ["one", "two"]},
    )


def test_group_collection_nested_under_a_core_element_and_on_a_complex_type():
    metadata = with_attributes(
        attribute("Patient", "dose", extensionUrl="u:dose", isCollection=True),
        attribute("Patient", "dose", "unit", type="string", extensionUrl="unit"),
        attribute("Patient", "contact", "rank", type="integer", extensionUrl="u:rank"),
        attribute("HumanName", "mother", type="string", extensionUrl="u:mother"),
    )
    round_trip(
        metadata,
        "Patient",
        {
            "extension": [
                {"url": "u:dose", "extension": [{"url": "unit", "valueString": "mg"}]},
                {"url": "u:dose", "extension": [{"url": "unit", "valueString": "g"}]},
            ],
            "contact": [
                {
                    "extension": [{"url": "u:rank", "valueInteger": 2}],
                    "name": {"extension": [{"url": "u:mother", "valueString": "A"}]},
                }
            ],
            "name": [{"extension": [{"url": "u:mother", "valueString": "B"}]}],
        },
        {
            "dose": [{"unit": "mg"}, {"unit": "g"}],
            "contact": [{"rank": 2, "name": {"mother": "A"}}],
            "name": [{"mother": "B"}],
        },
    )


def test_a_first_class_reference_is_converted_checked_and_rewritten():
    metadata = with_attributes(
        attribute("Patient", "guide", type="Reference", extensionUrl="u:g", refers=["Practitioner"])
    )
    fhir = {"extension": [{"url": "u:g", "valueReference": {"reference": "Practitioner/p"}}]}
    aidbox = {"guide": {"resourceType": "Practitioner", "id": "p"}}
    converted = round_trip(metadata, "Patient", fhir, aidbox)
    assert [(r.path, r.id) for r in converted.references] == [(("guide",), "p")]
    assert converted.references[0].holder is converted.resource["guide"]
    linked = {"extension": [{"url": "u:g", "valueReference": {"reference": "urn:a"}}]}
    rewritten = to_aidbox(metadata, "Patient", linked, rewrite={"urn:a": "Practitioner/n"})
    assert rewritten.resource["guide"]["id"] == "n"
    assert accept_aidbox(metadata, "Patient", aidbox).references[0].id == "p"
    wrong = {"extension": [{"url": "u:g", "valueReference": {"reference": "Patient/p"}}]}
    (issue,) = wrong_targets("Patient", to_aidbox(metadata, "Patient", wrong).references)
    expression = render_expression(metadata, issue, Dialect.FHIR)
    assert expression == "Patient.extension.where(url = 'u:g').value"


def test_two_occurrences_or_another_type_are_findings():
    metadata = with_attributes(
        attribute("Patient", "tribe", type="code", extensionUrl="u:t"),
    )
    two = [{"url": "u:t", "valueCode": "a"}, {"url": "u:t", "valueCode": "b"}]
    (issue,) = to_aidbox(metadata, "Patient", {"extension": two}).issues
    assert (issue.path, issue.message) == (("tribe",), "expected a single value")
    other = [{"url": "u:t", "valueString": "a"}]
    (issue,) = to_aidbox(metadata, "Patient", {"extension": other}).issues
    assert (issue.path, issue.message) == (("tribe",), "expected type of code")


def test_modifier_attributes_stand_in_modifier_extension():
    metadata = with_attributes(
        attribute("Patient", "not", type="boolean", extensionUrl="u:n", isModifier=True)
    )
    fhir = {"modifierExtension": [{"url": "u:n", "valueBoolean": False}]}
    round_trip(metadata, "Patient", fhir, {"not": False})
    plain = {"extension": [{"url": "u:n", "valueBoolean": False}]}
    round_trip(metadata, "Patient", plain, plain)


@pytest.mark.parametrize(
    ("ours", "key", "value"),
    [
        ("keyword", "valueCode", "a"),
        ("email", "valueString", "a@b.c"),
        ("number", "valueDecimal", 1.5),
        ("dateTime", "valueDateTime", "2020"),
    ],
)
def test_our_primitives_are_carried_by_fhir_ones(ours, key, value):
    metadata = with_attributes(attribute("Patient", "x", type=ours, extensionUrl="u:x"))
    converted = round_trip(
        metadata, "Patient", {"extension": [{"url": "u:x", key: value}]}, {"x": value}
    )
    assert validate(metadata, "Patient", converted.resource, Dialect.FHIR) == []


def test_fhir_input_has_no_member_of_that_name():
    metadata = with_attributes(attribute("Patient", "a", type="string", extensionUrl="u:a"))
    (issue,) = to_aidbox(metadata, "Patient", {"a": "x"}).issues
    assert (issue.path, issue.message) == (("a",), "extra property")


def test_output_follows_the_order_of_the_attributes():
    metadata = with_attributes(
        attribute("Patient", "a", type="string", extensionUrl="u:a", order=2),
        attribute("Patient", "b", type="string", extensionUrl="u:b", order=1),
    )
    rendered = to_fhir(metadata, {"resourceType": "Patient", "a": "1", "b": "2"})
    assert [item["url"] for item in rendered["extension"]] == ["u:b", "u:a"]


def test_what_the_element_cannot_carry_stays_raw():
    metadata = with_attributes(attribute("Patient", "a", type="string", extensionUrl="u:a"))
    fhir = {"extension": [{"url": "u:a", "id": "e1", "valueString": "x"}]}
    round_trip(metadata, "Patient", fhir, fhir)


def test_rows_stored_before_the_attribute_are_served_raw_beside_the_new_element():
    metadata = with_attributes(attribute("Patient", "a", type="string", extensionUrl="u:a"))
    old = {"url": "u:a", "valueString": "old"}
    row = {"resourceType": "Patient", "a": "new", "extension": [old]}
    new = {"url": "u:a", "valueString": "new"}
    assert to_fhir(metadata, row)["extension"] == [old, new]


def test_an_attribute_without_url_is_not_transformed():
    metadata = with_attributes(
        attribute("Patient", "a", type="string"),
        attribute("Patient", "r", type="Reference"),
    )
    document = {"a": "x", "r": {"reference": "Patient/p"}}
    converted = to_aidbox(metadata, "Patient", document)
    assert converted.resource["a"] == "x"
    assert validate(metadata, "Patient", converted.resource, Dialect.FHIR) == []
    assert to_fhir(metadata, converted.resource) == {"resourceType": "Patient", **document}
