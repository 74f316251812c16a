"""The door to the FHIRPath engine, with the gaps that it closes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from boxruntime.fhir.fhirpath import NotEvaluableError, holds


def judge(expression, value, type_path="Patient", **more):
    context = {"resource": value, "root": value} | more
    return holds(expression, fhir_version="4.0.1", value=value, type_path=type_path, **context)


PATIENT = {"resourceType": "Patient", "name": [{"given": ["A"]}], "deceasedBoolean": False}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("name.exists()", True),
        ("name.family.exists()", False),
        # Functions that FHIR adds, or that the engine has not.
        ("name.given.hasValue()", True),
        ("name.hasValue()", False),
        ("name.family.hasValue()", False),
        ("name.first().trace('x').exists()", True),
        ("generalPractitioner.resolve().empty()", True),
        # Tests of texts say false, not nothing, where there is no text.
        ("name.family.startsWith('A').not()", True),
        ("name.given.startsWith('A')", True),
        ("name.family.contains('A').not()", True),
        ("name.given.matches('^[A-Z]$')", True),
        # FHIR's primitives are those of the language.
        ("deceased is Boolean", True),
        ("deceased is boolean", True),
        # Empty does not hold, but for what is implied.
        ("name.family = 'A'", False),
        ("name.family = 'A' or name.family = 'B'", False),
        ("name.family = 'A' implies name.empty()", True),
    ],
)
def test_what_holds(expression, expected):
    assert judge(expression, PATIENT) is expected


def test_the_place_tells_the_type_of_a_choice():
    value = {"probabilityDecimal": Decimal("101.0")}
    expression = "probability is decimal implies (probability as decimal) <= 100"
    assert not judge(expression, value, "RiskAssessment.prediction")
    value = {"probabilityDecimal": Decimal(100)}
    assert judge(expression, value, "RiskAssessment.prediction")


def test_variables_name_the_resource_and_its_container():
    inner = {"resourceType": "Patient", "id": "i"}
    outer = {"resourceType": "Observation", "id": "o"}
    assert judge("%resource.id = 'i' and %rootResource.id = 'o'", inner, resource=inner, root=outer)
    assert judge("%ucum = 'http://unitsofmeasure.org'", inner)


def test_what_the_engine_stumbles_over_is_said_so():
    with pytest.raises(NotEvaluableError):
        judge("name.nothingLikeThis()", PATIENT)


def test_the_value_is_not_changed():
    value = {"resourceType": "Patient", "name": [{"family": "A", "_family": {"id": "e"}}]}
    before = repr(value)
    judge("name.family.exists() and descendants().exists()", value)
    assert repr(value) == before
