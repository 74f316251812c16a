"""What `$validate` finds in the FHIR versions beside R4. Source: docs/spec-notes.md."""

from __future__ import annotations

import pytest
from fhirpathpy.parser import parse

from boxruntime.contract import FHIR_VERSIONS
from boxruntime.fhir.examination.document import examine_document
from boxruntime.fhir.examination.rules import rules_of
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.shapes import shape_of
from tests.conformance.data import examples

# docs/spec-notes.md, "Published examples that `$validate` refuses".
REFUSED = {
    "stu3": {"CapabilityStatement/example", "DeviceRequest/example"},
    "r4b": {"DeviceMetric/example"},
    "r5": {"Transport/simpledelivery", "Encounter/example"},
}
NUMBERS = {"dstu2": "1.0.2", "stu3": "3.0.2", "r4b": "4.3.0", "r5": "5.0.0"}


def found(number, document):
    metadata = base_metadata(number)
    shape = shape_of(metadata, document["resourceType"], document)
    issues = examine_document(metadata, shape, document)
    return [(i.expression, i.message) for i in issues if i.severity in {"fatal", "error"}]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_published_examples_are_right_but_for_those_that_are_not(name):
    refused = {
        f"{each['resourceType']}/{each['id']}"
        for each in examples(name)
        if found(NUMBERS[name], each)
    }
    assert refused == REFUSED[name]


def test_conformance_resources_of_dstu2_are_right_but_for_entities_and_coded_extensions():
    messages = {message for each in examples("dstu2") for _, message in found("1.0.2", each)}
    assert messages == {
        "an entity that XML does not have",
        "no code, where one of the value set is required",
    }


@pytest.mark.parametrize("number", FHIR_VERSIONS)
def test_the_engine_reads_every_invariant_of_a_version(number):
    """One that it could not parse would be passed over in silence."""
    for constraints in rules_of(number).constraints.values():
        for constraint in constraints:
            parse(constraint.expression)


def test_only_dstu2_has_no_invariants():
    counted = {number: len(rules_of(number).constraints) for number in FHIR_VERSIONS}
    assert [number for number, count in counted.items() if count == 0] == ["1.0.2"]


BROKEN = {
    "1.0.2": ({"resourceType": "Patient", "gender": "x"}, "Patient.gender"),
    "3.0.2": ({"resourceType": "Patient", "contact": [{"gender": "male"}]}, "Patient.contact[0]"),
    "4.3.0": ({"resourceType": "Patient", "contact": [{"gender": "male"}]}, "Patient.contact[0]"),
    "5.0.0": ({"resourceType": "Patient", "contact": [{"gender": "male"}]}, "Patient.contact[0]"),
}


@pytest.mark.parametrize("number", sorted(BROKEN))
def test_what_is_wrong_is_found_in_every_version(number):
    document, place = BROKEN[number]
    assert [expression for expression, _ in found(number, document)] == [place]


def test_a_div_needs_a_namespace_but_in_dstu2():
    patient = {"resourceType": "Patient", "text": {"status": "generated", "div": "<div>x</div>"}}
    assert found("1.0.2", patient) == []
    for number in ("3.0.2", "4.0.1", "4.3.0", "5.0.0"):
        assert [place for place, _ in found(number, patient)] == ["Patient.text.div"]


def test_comments_stand_anywhere_in_dstu2():
    comments = {"fhir_comments": ["c"]}
    extension = {"url": "urn:x", "valueString": "v", "_valueString": comments, **comments}
    patient = {
        "resourceType": "Patient",
        "gender": "male",
        "_gender": comments,
        "_birthDate": comments,
        "name": [{"given": ["a", "b"], "_given": [None, comments], **comments}],
        "managingOrganization": {"reference": "Organization/o", **comments},
        "extension": [extension],
        **comments,
    }
    assert found("1.0.2", patient) == []
    assert len(found("3.0.2", patient)) > 4


def test_an_observation_of_stu3_without_components_has_a_value():
    """obs-7 is published as an expression that is empty then."""
    code = {"text": "c"}
    document = {"resourceType": "Observation", "status": "final", "code": code, "valueString": "v"}
    assert found("3.0.2", document) == []
    document["component"] = [{"code": code, "valueString": "w"}]
    assert [message[:6] for _, message in found("3.0.2", document)] == ["obs-7:"]


def test_what_hangs_on_the_target_of_a_reference_is_not_judged():
    document = {
        "resourceType": "CommunicationRequest",
        "status": "draft",
        "requester": {
            "agent": {"reference": "Practitioner/p"},
            "onBehalfOf": {"reference": "Organization/o"},
        },
    }
    assert found("3.0.2", document) == []
