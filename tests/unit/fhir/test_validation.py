"""What a write is refused for. Source: core specification, "Validation"."""

from __future__ import annotations

from decimal import Decimal

import pytest

from boxruntime.fhir.formats import to_aidbox
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.validation import validate, warm

METADATA = base_metadata("4.0.1")


def found(type_name, resource, dialect=Dialect.AIDBOX, metadata=METADATA):
    issues = validate(metadata, type_name, {"resourceType": type_name, **resource}, dialect)
    return [(issue.expression, issue.message) for issue in issues]


def patient(**members):
    return found("Patient", members)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"nickname": "x"}, ("Patient.nickname", "extra property")),
        ({"name": {"family": "x"}}, ("Patient.name", "expected array")),
        ({"name": "x"}, ("Patient.name", "expected array")),
        ({"name": ["x"]}, ("Patient.name.0", "expected type of object")),
        ({"name": [{"given": "x"}]}, ("Patient.name.0.given", "expected array")),
        ({"name": [{"given": [{}]}]}, ("Patient.name.0.given.0", "expected type of string")),
        ({"name": [{"nick": 1}]}, ("Patient.name.0.nick", "extra property")),
        ({"birthDate": 5}, ("Patient.birthDate", "expected type of string")),
        ({"birthDate": ["2000"]}, ("Patient.birthDate", "expected type of string")),
        ({"birthDate": "2000-13"}, ("Patient.birthDate", "expected type of date")),
        ({"active": "true"}, ("Patient.active", "expected type of boolean")),
        ({"active": 1}, ("Patient.active", "expected type of boolean")),
        ({"gender": "x"}, ("Patient.gender", "expected one of female, male, other, unknown")),
        ({"gender": 1}, ("Patient.gender", "expected type of string")),
        ({"maritalStatus": []}, ("Patient.maritalStatus", "expected type of object")),
        (
            {"link": [{"type": "refer"}]},
            ("Patient.link.0", "Property other is required"),
        ),
        ({"contact": [{"name": [{}]}]}, ("Patient.contact.0.name", "expected type of object")),
        ({"id": "a b"}, ("Patient.id", "expected type of id")),
        ({"id": 5}, ("Patient.id", "expected type of string")),
        ({"name": [{"family": ""}]}, ("Patient.name.0.family", "expected type of string")),
    ],
)
def test_a_single_fault_gives_a_single_finding_at_its_place(members, expected):
    assert patient(**members) == [expected]


def test_all_findings_come_at_once_in_the_order_of_their_places():
    members = {
        "name": [{"nick": 1}, "x", {"given": "x"}],
        "active": "x",
        "nickname": 1,
        "gender": "x",
    }
    expressions = [expression for expression, _ in patient(**members)]
    assert expressions == [
        "Patient.active",
        "Patient.gender",
        "Patient.name.0.nick",
        "Patient.name.1",
        "Patient.name.2.given",
        "Patient.nickname",
    ]


def test_indexes_sort_as_numbers():
    members = {"name": [{"nick": 1} for _ in range(12)]}
    indexes = [int(expression.split(".")[2]) for expression, _ in patient(**members)]
    assert indexes == list(range(12))


def test_no_finding_quotes_a_value():
    secret = "Very-Private"
    for members in (
        {"birthDate": secret},
        {"gender": secret},
        {"name": secret},
        {"active": secret},
        {"id": f"{secret}!"},
        {"link": [{"other": secret, "type": secret}]},
    ):
        findings = patient(**members)
        assert findings
        assert not any(secret in message for _, message in findings)


def test_an_empty_resource_is_valid():
    assert patient() == []


def test_a_body_of_another_type_is_a_finding():
    issues = validate(METADATA, "Patient", {"resourceType": "Goal"}, Dialect.AIDBOX)
    assert [(i.expression, i.message) for i in issues] == [
        ("Patient.resourceType", "expected one of Patient")
    ]


@pytest.mark.parametrize("number", [Decimal("1.0"), Decimal("1E0"), 1.5, "42", True, None])
def test_an_integer_has_no_fraction_and_no_quotes(number):
    assert patient(multipleBirth={"integer": number}) == [
        ("Patient.multipleBirth.integer", "expected type of integer")
    ]


@pytest.mark.parametrize(
    ("type_name", "number", "valid"),
    [
        ("integer", 2**31 - 1, True),
        ("integer", 2**31, False),
        ("integer", -(2**31), True),
        ("integer", -(2**31) - 1, False),
        ("unsignedInt", 0, True),
        ("unsignedInt", -1, False),
        ("positiveInt", 1, True),
        ("positiveInt", 0, False),
        ("positiveInt", 2**31, False),
        ("decimal", Decimal("1.00"), True),
        ("decimal", 10**30, True),
        ("decimal", "1", False),
        ("boolean", True, True),
        ("boolean", "true", False),
    ],
)
def test_numbers_have_their_range(type_name, number, valid):
    assert primitive(type_name, number) is valid


def primitive(type_name, value):
    parameter = {"name": "n", "value": {type_name: value}}
    return found("Parameters", {"parameter": [parameter]}) == []


LEXICAL = {
    "date": {
        "good": ["2000", "2000-02", "2000-02-29", "2020-12-31", "0001-01-01", "9999-12-31"],
        "bad": [
            "0000",
            "2001-02-29",
            "1900-02-29",
            "2000-04-31",
            "2000-13",
            "2000-1-1",
            "00",
            "2000-02-29\n",
            "2000-00",
            "2000-01-00",
            "2000-01-32",
            "2000-01-01T00:00:00Z",
            "",
        ],
    },
    "dateTime": {
        "good": [
            "2000",
            "2000-02",
            "2000-02-29",
            "2000-02-29T23:59:60Z",
            "2000-02-29T23:59:59.123456789+14:00",
            "2000-02-29T00:00:00-13:59",
        ],
        "bad": [
            "2000-02-29T23:59Z",
            "2000-02-29T23:59:59",
            "2000-02-29T24:00:00Z",
            "2000-02-29t23:59:59Z",
            "2000-02-29T23:59:59z",
            "2000-02-29T23:59:59+14:01",
            "2000-02-29T23:59:61Z",
            "2000-02-29T23:59:59.1234567890Z",
            "2001-02-29T23:59:59Z",
            "2000-02T23:59:59Z",
            "2000-02-29 23:59:59Z",
            "2000-02-29T23:59:59.Z",
        ],
    },
    "instant": {
        "good": ["2000-02-29T23:59:59Z", "2000-02-29T23:59:59.1+01:00"],
        "bad": ["2000", "2000-02-29", "2000-02-29T23:59:59", "2000-02-30T23:59:59Z"],
    },
    "time": {
        "good": ["00:00:00", "23:59:60", "12:00:00.123456789"],
        "bad": ["24:00:00", "12:00", "12:60:00", "12:00:61", "12:00:00Z", "1:00:00"],
    },
    "base64Binary": {
        "good": ["AAAA", "AAA=", "AA==", "AA AA\nAAAA"],
        "bad": ["A", "AAA", "AA=", "AAAA=", "AA==AA", "ÄAAA", "", "=AAA"],
    },
    "id": {"good": ["a", "A-.9", "a" * 64], "bad": ["", "a_b", "a" * 65, "a b", "ä"]},
    "code": {"good": ["a", "a b"], "bad": ["", " a", "a ", "a  b", "a\tb"]},
    "oid": {"good": ["urn:oid:1.2.3"], "bad": ["1.2.3", "urn:oid:1.02", "urn:oid:3.1"]},
    "uuid": {
        "good": ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
        "bad": ["c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:c757873d"],
    },
    "uri": {"good": ["urn:x", "a/b", "http://e.x"], "bad": ["", "a b", "a\n"]},
    "url": {"good": ["http://e.x"], "bad": ["", "a b"]},
    "canonical": {"good": ["http://e.x|1"], "bad": ["", "a b"]},
    "string": {"good": ["x", " x\n", "ä😀"], "bad": ["", 5]},
    "markdown": {"good": ["# x"], "bad": [""]},
}
CASES = [
    (name, value, kind == "good")
    for name, kinds in LEXICAL.items()
    for kind, values in kinds.items()
    for value in values
]


@pytest.mark.parametrize(("type_name", "value", "valid"), CASES)
def test_primitives_follow_their_lexical_form(type_name, value, valid):
    assert primitive(type_name, value) is valid


def test_a_null_is_legal_only_as_padding():
    padded = {"given": [None, "x"], "_given": [{"id": "e"}, None]}
    assert patient(name=[padded]) == []
    assert patient(name=[{"given": [None, "x"]}]) == [
        ("Patient.name.0.given.0", "expected type of string")
    ]
    assert patient(name=[None]) == [("Patient.name.0", "expected type of object")]


def test_a_required_primitive_may_be_there_by_its_extension_only():
    absent = {"extension": [{"url": "u", "valueCode": "unknown"}]}
    goal = {"description": {"text": "t"}, "subject": {"display": "D"}}
    assert found("Goal", {**goal, "_lifecycleStatus": absent}) == []
    assert found("Goal", goal) == [("Goal", "Property lifecycleStatus is required")]


def test_a_repeating_element_is_required_as_a_whole():
    questionnaire = {"status": "draft", "item": [{"linkId": "1", "type": "group", "item": [{}]}]}
    assert found("Questionnaire", questionnaire) == [
        ("Questionnaire.item.0.item.0", "Property linkId is required"),
        ("Questionnaire.item.0.item.0", "Property type is required"),
    ]


def test_ids_may_be_longer_than_fhirs():
    assert patient(id="bundle_patient_1") == []
    assert patient(id="a" * 255) == []
    assert patient(id="a" * 256) == [("Patient.id", "expected type of id")]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"name": {"family": "x"}}, "Patient.name"),
        ({"name": "x"}, "Patient.name"),
        ({"name": [{"given": [{}]}]}, None),
        ({"name": [{"given": [{"a": 1}]}]}, "Patient.name[0].given[0]"),
        ({"name": [{"given": "x"}]}, "Patient.name[0].given"),
        ({"deceasedBoolean": "x"}, "Patient.deceased.ofType(boolean)"),
        ({"multipleBirthInteger": "x"}, "Patient.multipleBirth.ofType(integer)"),
        ({"managingOrganization": "x"}, "Patient.managingOrganization"),
        ({"link": [{"other": {"reference": "Patient/p"}, "type": "x"}]}, "Patient.link[0].type"),
    ],
)
def test_at_fhir_the_place_is_a_fhirpath(document, expected):
    converted = to_aidbox(METADATA, "Patient", document)
    issues = converted.issues + validate(METADATA, "Patient", converted.resource, Dialect.FHIR)
    assert [issue.expression for issue in issues] == ([expected] if expected else [])


def test_an_open_type_takes_anything_beside_what_it_declares():
    entity = {"resourceType": "Entity", "id": "VisitNote", "type": "resource", "isOpen": True}
    mood = {
        "id": "VisitNote.mood",
        "resource": {"id": "VisitNote"},
        "path": ["mood"],
        "type": {"id": "string"},
        "enum": ["calm", "tense"],
    }
    metadata = METADATA.with_records([entity], [mood])
    assert found("VisitNote", {"any": {"thing": [1]}}, metadata=metadata) == []
    assert found("VisitNote", {"mood": "x"}, metadata=metadata) == [
        ("VisitNote.mood", "expected one of calm, tense")
    ]
    required = METADATA.with_records(
        [{**entity, "isOpen": False}], [{**mood, "isRequired": True, "isCollection": True}]
    )
    assert found("VisitNote", {"any": 1}, metadata=required) == [
        ("VisitNote", "Property mood is required"),
        ("VisitNote.any", "extra property"),
    ]
    assert found("VisitNote", {"mood": "calm"}, metadata=required) == [
        ("VisitNote.mood", "expected array")
    ]


def test_the_extra_schema_of_an_attribute_holds():
    attribute = {
        "id": "Patient.age",
        "resource": {"id": "Patient"},
        "path": ["age"],
        "type": {"id": "integer"},
        "schema": {"minimum": 18},
    }
    metadata = METADATA.with_records([], [attribute])
    assert found("Patient", {"age": 18}, metadata=metadata) == []
    assert found("Patient", {"age": 17}, metadata=metadata) == [("Patient.age", "too small")]


def test_everything_can_be_compiled_ahead():
    metadata = METADATA.with_records([], [])
    assert metadata is METADATA
    warm(metadata)
    for kind in ("validators", "from_fhir", "accept_aidbox", "to_fhir", "inner_resources"):
        assert metadata.resource_types <= metadata.artefacts(kind).keys()
