"""References between both formats. Source: core specification, "References"."""

from __future__ import annotations

import pytest

from boxruntime.fhir.formats import accept_aidbox, to_aidbox, to_fhir
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.references import wrong_targets
from boxruntime.fhir.validation import validate

METADATA = base_metadata("4.0.1")


def stored(reference, **kwargs):
    document = {"resourceType": "CarePlan", "goal": [reference], **kwargs}
    return to_aidbox(METADATA, "CarePlan", document)


def accepted(reference, **kwargs):
    return accept_aidbox(METADATA, "CarePlan", {"goal": [reference]}, **kwargs)


def rendered(reference):
    return to_fhir(METADATA, {"resourceType": "CarePlan", "goal": [reference]})["goal"][0]


def messages(converted):
    return [(issue.expression, issue.message) for issue in converted.issues]


PAIRS = [
    ({"reference": "Goal/g1"}, {"resourceType": "Goal", "id": "g1"}),
    (
        {"reference": "https://ext.example/fhir/Goal/g1"},
        {"uri": "https://ext.example/fhir/Goal/g1"},
    ),
    ({"reference": "urn:uuid:7d0"}, {"uri": "urn:uuid:7d0"}),
    ({"reference": "urn:x"}, {"uri": "urn:x"}),
    (
        {"identifier": {"value": "1"}, "display": "D"},
        {"identifier": {"value": "1"}, "display": "D"},
    ),
    (
        {"type": "Goal", "identifier": {"value": "1"}},
        {"type": "Goal", "identifier": {"value": "1"}},
    ),
    ({"display": "D"}, {"display": "D"}),
    ({"reference": "Goal/g1/_history/2"}, {"uri": "Goal/g1/_history/2"}),
    ({"reference": "Goal?identifier=a|b"}, {"uri": "Goal?identifier=a|b"}),
    ({"reference": "Unknown/g1"}, {"uri": "Unknown/g1"}),
    ({"reference": "not a reference"}, {"uri": "not a reference"}),
    (
        {"reference": "urn:x", "type": "Goal", "display": "D"},
        {"uri": "urn:x", "type": "Goal", "display": "D"},
    ),
    (
        {"reference": "Goal/g1", "id": "e1", "extension": [{"url": "u", "valueString": "x"}]},
        {
            "resourceType": "Goal",
            "id": "g1",
            "_id": "e1",
            "extension": [{"url": "u", "valueString": "x"}],
        },
    ),
    ({"id": "e1", "display": "D"}, {"_id": "e1", "display": "D"}),
]


@pytest.mark.parametrize(("fhir", "aidbox"), PAIRS)
def test_every_form_is_stored_as_the_table_says_and_comes_back(fhir, aidbox):
    converted = stored(fhir)
    assert converted.issues == []
    assert converted.resource["goal"] == [aidbox]
    assert rendered(aidbox) == fhir


def test_only_a_relative_reference_is_checked():
    found = stored({"reference": "Goal/g1"}).references
    assert [(r.path, r.resource_type, r.id) for r in found] == [(("goal", 0), "Goal", "g1")]
    for fhir, aidbox in PAIRS:
        if "resourceType" not in aidbox:
            assert stored(fhir).references == []


def test_the_holder_is_the_live_object_inside_the_resource():
    converted = stored({"reference": "Goal/g1"})
    assert converted.references[0].holder is converted.resource["goal"][0]


def test_an_accepted_holder_is_never_the_callers_object():
    reference = {"resourceType": "Goal", "id": "g1"}
    converted = accepted(reference)
    assert converted.references[0].holder is converted.resource["goal"][0]
    assert converted.references[0].holder is not reference


def test_a_contained_target_must_exist():
    contained = [{"resourceType": "Goal", "id": "m1"}]
    good = stored({"reference": "#m1"}, contained=contained)
    assert good.resource["goal"] == [{"localRef": "m1"}]
    assert good.issues == []
    assert rendered({"localRef": "m1"}) == {"reference": "#m1"}
    bad = stored({"reference": "#m2"}, contained=contained)
    assert messages(bad) == [("CarePlan.goal[0]", "contained resource not found")]
    assert messages(accepted({"localRef": "m2"})) == [
        ("CarePlan.goal.0", "contained resource not found")
    ]


def test_the_container_itself_is_an_empty_local_reference():
    converted = stored({"reference": "#"})
    assert converted.resource["goal"] == [{"localRef": ""}]
    assert converted.issues == []
    found = validate(METADATA, "CarePlan", converted.resource, Dialect.FHIR)
    assert not [issue for issue in found if issue.path[:1] == ("goal",)]
    assert rendered({"localRef": ""}) == {"reference": "#"}


def test_a_type_that_repeats_the_target_is_dropped_and_another_is_a_finding():
    same = stored({"reference": "Goal/g1", "type": "Goal"})
    assert same.resource["goal"] == [{"resourceType": "Goal", "id": "g1"}]
    other = stored({"reference": "Goal/g1", "type": "Patient"})
    assert messages(other) == [("CarePlan.goal[0].type", "expected one of Goal")]


def test_a_resource_type_without_id_becomes_a_type_on_output_only():
    aidbox = {"resourceType": "Goal", "identifier": {"value": "1"}}
    assert rendered(aidbox) == {"type": "Goal", "identifier": {"value": "1"}}
    assert rendered({"resourceType": "Goal", "display": "D"}) == {"type": "Goal", "display": "D"}
    assert rendered({"resourceType": "Goal", "type": "X"}) == {"type": "X"}


def test_output_prefers_target_then_uri_then_local():
    target = {"resourceType": "Goal", "id": "g1"}
    assert rendered({**target, "uri": "urn:x", "localRef": "m"}) == {"reference": "Goal/g1"}
    assert rendered({"uri": "urn:x", "localRef": "m"}) == {"reference": "urn:x"}


def test_unknown_members_and_an_inlined_resource_are_carried_untouched_at_root():
    inlined = {"resourceType": "Goal", "valueQuantity": 1, "subject": {"reference": "Patient/p"}}
    aidbox = {"resourceType": "Goal", "id": "g1", "resource": inlined, "more": 1}
    converted = accepted(aidbox)
    assert converted.resource["goal"] == [aidbox]
    assert len(converted.references) == 1
    assert rendered(aidbox) == {"reference": "Goal/g1", "resource": inlined, "more": 1}


@pytest.mark.parametrize("member", ["resource", "resourceType", "uri", "localRef", "x"])
def test_fhir_input_has_fhir_members_only(member):
    converted = stored({"display": "D", member: "x"})
    assert messages(converted) == [(f"CarePlan.goal[0].{_fhir(member)}", "extra property")]


def _fhir(member):
    return "reference" if member in {"uri", "localRef"} else member


def test_root_accepts_the_fhir_form_and_stores_the_aidbox_form():
    for fhir, aidbox in PAIRS:
        if "reference" in fhir and "id" not in fhir:
            converted = accepted(fhir)
            assert converted.resource["goal"] == [aidbox]
            assert converted.issues == []
    assert accepted({"reference": "Goal/g1"}).references[0].id == "g1"


def test_root_refuses_the_fhir_form_beside_another_target():
    converted = accepted({"reference": "Goal/g1", "uri": "urn:x"})
    assert messages(converted) == [("CarePlan.goal.0.reference", "extra property")]


def test_an_id_without_a_type_is_a_finding():
    assert messages(accepted({"id": "g1"})) == [
        ("CarePlan.goal.0", "Property resourceType is required")
    ]


def test_a_target_of_an_unknown_type_is_a_finding():
    assert messages(accepted({"resourceType": "Nothing", "id": "g1"})) == [
        ("CarePlan.goal.0.resourceType", "unknown resource type")
    ]


def test_refers_limits_the_targets_in_both_formats():
    patient = {"resourceType": "Patient", "id": "p1"}
    for converted in (stored({"reference": "Patient/p1"}), accepted(patient)):
        (issue,) = wrong_targets("CarePlan", converted.references)
        assert (issue.path, issue.message) == (("goal", 0), "expected reference to Goal")
    allowed = stored({"reference": "Goal/g1"})
    assert wrong_targets("CarePlan", allowed.references) == []


def test_canonical_and_uri_elements_never_change():
    document = {"instantiatesCanonical": ["Goal/g1"], "instantiatesUri": ["Goal/g1"]}
    converted = to_aidbox(METADATA, "CarePlan", document)
    assert converted.resource == {"resourceType": "CarePlan", **document}
    assert converted.references == []


@pytest.mark.parametrize("wrong", ["Goal/g1", 1, ["Goal/g1"], True])
def test_a_reference_of_the_wrong_shape_is_a_finding_and_no_failure(wrong):
    converted = to_aidbox(METADATA, "CarePlan", {"subject": wrong})
    found = validate(METADATA, "CarePlan", {**converted.resource, **REQUIRED}, Dialect.FHIR)
    assert [(i.expression, i.message) for i in found] == [
        ("CarePlan.subject", "expected type of object")
    ]


REQUIRED = {"status": "draft", "intent": "plan"}


def test_a_reference_text_that_is_no_text_is_a_finding():
    assert messages(stored({"reference": 5})) == [
        ("CarePlan.goal[0].reference", "expected type of string")
    ]


def test_an_empty_reference_is_a_finding():
    document = {"subject": {"reference": ""}, **REQUIRED}
    converted = to_aidbox(METADATA, "CarePlan", document)
    found = validate(METADATA, "CarePlan", converted.resource, Dialect.FHIR)
    assert [i.expression for i in found] == ["CarePlan.subject.reference"]


def test_transaction_links_are_rewritten_at_fhir():
    rewrite = {"urn:uuid:a": "Goal/new", "Goal/old": "Goal/new"}
    for text in rewrite:
        document = {"goal": [{"reference": text, "display": "D"}]}
        converted = to_aidbox(METADATA, "CarePlan", document, rewrite=rewrite)
        expected = {"resourceType": "Goal", "id": "new", "display": "D"}
        assert converted.resource["goal"] == [expected]
        assert converted.references[0].id == "new"


def test_transaction_links_are_rewritten_at_root():
    rewrite = {"urn:uuid:a": "Goal/new"}
    for reference in ({"uri": "urn:uuid:a"}, {"reference": "urn:uuid:a"}):
        converted = accepted({**reference, "display": "D"}, rewrite=rewrite)
        expected = {"resourceType": "Goal", "id": "new", "display": "D"}
        assert converted.resource["goal"] == [expected]
        assert converted.references[0].holder is converted.resource["goal"][0]


def test_transaction_links_inside_raw_extensions_are_rewritten_at_fhir():
    nested = {"url": "v", "valueReference": {"reference": "urn:uuid:a"}}
    document = {
        "extension": [{"url": "u", "extension": [nested]}],
        "_status": {"extension": [nested]},
    }
    converted = to_aidbox(METADATA, "CarePlan", document, rewrite={"urn:uuid:a": "Goal/new"})
    expected = {"url": "v", "valueReference": {"reference": "Goal/new"}}
    assert converted.resource["extension"] == [{"url": "u", "extension": [expected]}]
    assert converted.resource["_status"] == {"extension": [expected]}
    assert document["_status"] == {"extension": [nested]}


def test_a_query_reference_is_reported_to_a_transaction_only():
    document = {"goal": [{"reference": "Goal?identifier=a"}]}
    assert to_aidbox(METADATA, "CarePlan", document).references == []
    converted = to_aidbox(METADATA, "CarePlan", document, rewrite={})
    (found,) = converted.references
    assert (found.resource_type, found.id, found.query) == ("Goal", None, "identifier=a")
    assert found.holder is converted.resource["goal"][0]
