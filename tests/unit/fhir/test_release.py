"""What differs between FHIR versions. Source: FHIR OperationOutcome of DSTU2 and R4."""

from __future__ import annotations

import pytest

from boxruntime.contract import FHIR_VERSIONS, fhir_version_of
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.release import (
    issue_code,
    issue_place,
    reference_members,
    shadow_members,
    xpath_of,
)


@pytest.mark.parametrize(
    ("expression", "xpath"),
    [
        ("Patient", "/f:Patient"),
        ("Patient.name[0].given[1]", "/f:Patient/f:name[1]/f:given[2]"),
        (
            "Observation.component[2].value.ofType(Quantity).unit",
            "/f:Observation/f:component[3]/f:valueQuantity/f:unit",
        ),
        (
            "Patient.extension.where(url = 'http://example.org/a.b').value",
            "/f:Patient/f:extension[@url='http://example.org/a.b']/f:value",
        ),
        ("Bundle.entry[0].resource.status", "/f:Bundle/f:entry[1]/f:resource/f:status"),
    ],
)
def test_a_place_as_xpath(expression, xpath):
    assert xpath_of(expression) == xpath


def test_only_dstu2_tells_places_by_location():
    members = {
        version: issue_place(base_metadata(version), "Patient.name")[0] for version in FHIR_VERSIONS
    }
    assert [version for version, member in members.items() if member == "location"] == ["1.0.2"]
    assert issue_place(None, "Patient.name") == ("expression", "Patient.name")


def test_codes_that_came_with_r4_are_broader_before():
    for version, code in (("1.0.2", "not-found"), ("3.0.2", "not-found"), ("4.0.1", "deleted")):
        assert issue_code(base_metadata(version), "deleted") == code
    assert issue_code(base_metadata("3.0.2"), "multiple-matches") == "processing"
    assert issue_code(base_metadata("3.0.2"), "conflict") == "conflict"


def test_references_gained_members():
    common = {"reference", "_reference", "display", "_display", "extension", "id"}
    assert reference_members(base_metadata("1.0.2")) == common | {"fhir_comments"}
    assert reference_members(base_metadata("3.0.2")) == common | {"identifier"}
    assert reference_members(base_metadata("4.0.1")) == common | {"identifier", "type", "_type"}


def test_comments_stand_beside_primitives_in_dstu2():
    assert shadow_members(base_metadata("1.0.2")) == {"id", "extension", "fhir_comments"}
    assert shadow_members(base_metadata("3.0.2")) == {"id", "extension"}


def test_types_of_ours_have_no_primitives_that_the_version_lacks():
    for version in ("1.0.2", "3.0.2"):
        metadata = base_metadata(version)
        assert metadata.find_element("Client", ("jwks_uri",)).type == "uri"
        assert not {"url", "canonical"} & set(
            metadata.find_element("ViewDefinition", ("constant", "value")).union
        )
    assert base_metadata("5.0.0").find_element("Client", ("jwks_uri",)).type == "url"


@pytest.mark.parametrize(
    ("text", "version"),
    [("fhir-4.0.0", "4.0.1"), ("3.0.1", "3.0.2"), ("5.0.0", "5.0.0"), ("1.4.0", None), ("", None)],
)
def test_versions_have_several_spellings(text, version):
    assert fhir_version_of(text) == version
