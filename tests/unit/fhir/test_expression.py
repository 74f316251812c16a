"""Where an issue is, in both dialects. Source: core specification, "Errors"."""

from __future__ import annotations

import pytest

from boxruntime.fhir.expression import render_expression, sorted_issues
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect, Issue

METADATA = base_metadata("4.0.1")


@pytest.mark.parametrize(
    ("type_name", "path", "root", "fhir"),
    [
        ("Patient", (), "Patient", "Patient"),
        ("Patient", ("name",), "Patient.name", "Patient.name"),
        ("Patient", ("name", 0), "Patient.name.0", "Patient.name[0]"),
        ("Patient", ("name", 0, "given"), "Patient.name.0.given", "Patient.name[0].given"),
        ("Patient", ("name", 0, "given", 0), "Patient.name.0.given.0", "Patient.name[0].given[0]"),
        (
            "Observation",
            ("value", "Quantity"),
            "Observation.value.Quantity",
            "Observation.value.ofType(Quantity)",
        ),
        ("Observation", ("value",), "Observation.value", "Observation.value"),
        (
            "Observation",
            ("component", 1, "value", "Quantity", "unit"),
            "Observation.component.1.value.Quantity.unit",
            "Observation.component[1].value.ofType(Quantity).unit",
        ),
        (
            "Observation",
            ("value", "_string"),
            "Observation.value._string",
            "Observation.value.ofType(string)",
        ),
        ("Patient", ("_birthDate",), "Patient._birthDate", "Patient.birthDate"),
        (
            "Patient",
            ("name", 0, "_given", 1, "extension", 0),
            "Patient.name.0._given.1.extension.0",
            "Patient.name[0].given[1].extension[0]",
        ),
        ("Patient", ("link", 0, "other", "id"), None, "Patient.link[0].other.reference"),
        ("Patient", ("link", 0, "other", "uri"), None, "Patient.link[0].other.reference"),
        ("Patient", ("extension", 0, "valueCode"), None, "Patient.extension[0].value.ofType(code)"),
        (
            "QuestionnaireResponse",
            ("item", 0, "item", 1, "answer", 0, "value", "Coding", "code"),
            None,
            "QuestionnaireResponse.item[0].item[1].answer[0].value.ofType(Coding).code",
        ),
        ("Patient", ("nickname", "x", 0), "Patient.nickname.x.0", "Patient.nickname.x[0]"),
    ],
)
def test_a_path_is_rendered_for_its_reader(type_name, path, root, fhir):
    issue = Issue(message="m", path=path, type_name=type_name)
    if root is not None:
        assert render_expression(METADATA, issue, Dialect.AIDBOX) == root
    assert render_expression(METADATA, issue, Dialect.FHIR) == fhir


def test_the_document_tells_the_type_of_a_resource_inside():
    path = ("entry", 0, "resource", "value", "Quantity", "value")
    issue = Issue(message="m", path=path, type_name="Bundle")
    document = {"entry": [{"resource": {"resourceType": "Observation"}}]}
    expected = "Bundle.entry[0].resource.value.ofType(Quantity).value"
    assert render_expression(METADATA, issue, Dialect.FHIR, document) == expected


def test_a_first_class_extension_is_named_by_its_url():
    attributes = [
        {
            "id": f"Patient.{name}",
            "resource": {"id": "Patient"},
            "path": [name],
            "type": {"id": "Reference"},
            "extensionUrl": f"u:{name}",
            "isCollection": many,
        }
        for name, many in (("guide", False), ("friend", True))
    ]
    metadata = METADATA.with_records([], attributes)
    for path, expected in (
        (("guide",), "Patient.extension.where(url = 'u:guide').value"),
        (("guide", "display"), "Patient.extension.where(url = 'u:guide').value.display"),
        (("friend", 1), "Patient.extension.where(url = 'u:friend')[1].value"),
    ):
        issue = Issue(message="m", path=path, type_name="Patient")
        assert render_expression(metadata, issue, Dialect.FHIR) == expected


def test_an_issue_without_a_place_has_no_expression():
    assert render_expression(METADATA, Issue(message="m"), Dialect.FHIR) == ""


def test_findings_are_told_once_and_in_order():
    one, two = (Issue(message="m", path=("a", index)) for index in (2, 10))
    assert sorted_issues([two, one, two]) == [one, two]
