"""Our judgement of a document's JSON beside that of two independent judges, and that of a write.

The judges: fhirkit (Rust, generated from the R4 definitions) and the official JSON schema of R4.
Where they differ from us, the class of difference stands here with its reason; each class occurs.
"""

from __future__ import annotations

import gzip
import json
import re
from functools import cache

import fhirkit
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings

from boxruntime.fhir.formats import to_aidbox
from boxruntime.fhir.json_text import encode_json
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.shape import check_shape, examine
from boxruntime.fhir.validation import validate, validate_converted
from tests.conformance.data import DATA
from tests.unit.fhir.mutations import mutated, small_examples

METADATA = base_metadata("4.0.1")


def patient(**members):
    return {"resourceType": "Patient", **members}


def extended(**members):
    return patient(extension=[{"url": "http://x.org/e", **members}])


ONLY_WE_REFUSE = {
    "fhirkit": {
        r"expected one of ": (
            "it does not hold the codes of required bindings",
            patient(gender="x"),
        ),
        r"expected type of (id|uri|string|dateTime)$": (
            "it does not check all lexical forms",
            patient(id="a b"),
        ),
        r"expected a value, not an empty one$": (
            "it takes {} for an element without content",
            patient(maritalStatus={}),
        ),
        r"expected exactly one of value and extension$": (
            "ext-1 is an invariant, and it has none",
            extended(),
        ),
        r"extra property$": (
            "it takes an extension of XHTML, which has none",
            patient(
                text={
                    "status": "generated",
                    "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
                    "_div": {"id": "d"},
                }
            ),
        ),
    },
    "schema": {
        r"expected one of ": (
            "it does not list the codes of every required binding",
            {"resourceType": "RiskAssessment", "subject": {"display": "D"}, "status": "x"},
        ),
        r"expected type of object$": (
            "its complex types have members, but not `type: object`",
            patient(maritalStatus="x"),
        ),
        r"expected type of (string|dateTime|base64Binary|integer)$": (
            "its patterns are looser",
            patient(name=[{"family": " "}]),
        ),
        r"too small$": ("some of its integers have no bounds", extended(valueInteger=-(2**40))),
        r"expected exactly one (of value and extension|type of value)$": (
            "it knows no choices",
            patient(deceasedBoolean=True, deceasedDateTime="2000"),
        ),
        r"Property \w+ is required$": (
            "`x` may be missing because of `_x`, so no primitive is required",
            {"resourceType": "Questionnaire"},
        ),
        r"expected a value, not an empty one$": (
            "nothing has a minimum of members or items",
            patient(name=[]),
        ),
        r"expected a value or an extension$": (
            "it does not relate `x` and `_x`",
            patient(_birthDate={"id": "e"}),
        ),
        r"extra property$": (
            "it gives every primitive an `_x`, also Extension.url, which can have none",
            extended(valueCode="x", _url={"id": "u"}),
        ),
    },
}
"""Judge -> class of our messages -> (reason, an instance)."""
ONLY_THEY_REFUSE = {
    "fhirkit": {},
    "schema": {
        r"not one of \"text/cql\"": (
            "the binding of Expression.language is extensible",
            extended(valueExpression={"language": "x", "expression": "y"}),
        )
    },
}


@cache
def schema_of(type_name):
    with gzip.open(DATA / "fhir.schema.json.gz") as file:
        definitions = json.load(file)["definitions"]
    return jsonschema_rs.Draft7Validator(
        {"$ref": f"#/definitions/{type_name}", "definitions": definitions}
    )


def ours(document):
    issues, _ = examine(METADATA, METADATA.fhir_type(document["resourceType"]), document)
    return [issue.message for issue in issues]


def fhirkit_finds(document):
    return [str(issue) for issue in fhirkit.validate(encode_json(document))]


def schema_finds(document):
    validator = schema_of(document["resourceType"])
    if validator.is_valid(document):
        return []
    return [error.message for error in validator.iter_errors(document)]


JUDGES = {"fhirkit": fhirkit_finds, "schema": schema_finds}


@pytest.mark.parametrize("judge", JUDGES)
def test_all_agree_on_the_published_examples(judge):
    for document in small_examples():
        assert ours(document) == []
        assert JUDGES[judge](document) == [], (document["resourceType"], document["id"])


@pytest.mark.parametrize("judge", JUDGES)
def test_every_disagreement_on_a_changed_example_has_a_reason(judge):
    @settings(
        max_examples=1500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(mutated())
    def compare(document):
        we, they = ours(document), JUDGES[judge](document)
        if bool(we) == bool(they):
            return
        reasons = ONLY_WE_REFUSE[judge] if we else ONLY_THEY_REFUSE[judge]
        for message in we or they:
            assert any(re.search(pattern, message) for pattern in reasons), message

    compare()


@pytest.mark.parametrize("judge", JUDGES)
def test_each_class_of_disagreement_is_real(judge):
    for pattern, (_, document) in ONLY_WE_REFUSE[judge].items():
        assert any(re.match(pattern, message) for message in ours(document)), pattern
        assert JUDGES[judge](document) == [], pattern
    for pattern, (_, document) in ONLY_THEY_REFUSE[judge].items():
        assert any(re.search(pattern, message) for message in JUDGES[judge](document)), pattern
        assert ours(document) == [], pattern


ONLY_IN_THE_STORED_FORM = {"contained resource not found", "expected type of id"}
"""What a write finds and the shape of the document does not show."""


@settings(
    max_examples=1500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(mutated())
def test_a_write_refuses_what_the_shape_of_the_document_shows(document):
    type_name = METADATA.fhir_type(document["resourceType"])
    converted = to_aidbox(METADATA, type_name, document)
    quick = converted.issues + validate(METADATA, type_name, converted.resource, Dialect.FHIR)
    shape = check_shape(METADATA, type_name, converted.document)
    if shape:
        assert quick or converted.is_unusual, [issue.message for issue in shape]
    found = validate_converted(METADATA, type_name, converted, Dialect.FHIR)
    assert bool(found) == bool(shape or quick)
    assert {issue.message for issue in found} <= (
        {issue.message for issue in shape} | ONLY_IN_THE_STORED_FORM
    )
    assert all(issue.expression for issue in found)
