"""What `$validate` finds at /fhir beyond a write. Source: core specification, "$validate"."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from boxruntime.fhir.duplicates import duplicate_members
from boxruntime.fhir.examination.document import examine_document
from boxruntime.fhir.examination.ecl import is_expression_constraint
from boxruntime.fhir.examination.native import is_period_in_order, is_range_in_order
from boxruntime.fhir.examination.rules import rules_of
from boxruntime.fhir.metadata import base_metadata
from tests.conformance.data import examples
from tests.unit.fhir.mutations import spoiled

METADATA = base_metadata("4.0.1")
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'
VERIFIED = "http://terminology.hl7.org/CodeSystem/condition-ver-status"


def found(document, *, severity=("fatal", "error")):
    type_name = METADATA.fhir_type(document["resourceType"])
    issues = examine_document(METADATA, type_name, document)
    return [(i.expression, i.message) for i in issues if i.severity in severity]


def at(document, **options):
    return [place for place, _ in found(document, **options)]


def patient(**members):
    return {"resourceType": "Patient", **members}


def condition(**members):
    return {"resourceType": "Condition", "subject": {"display": "D"}, **members}


def bundle(type_, *entries, **members):
    return {"resourceType": "Bundle", "type": type_, "entry": list(entries), **members}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        # Ids, of contained resources too.
        (patient(id="a_b"), ["Patient.id"]),
        (patient(id="x" * 65), ["Patient.id"]),
        (
            patient(
                contained=[{"resourceType": "Organization", "id": "a_b", "name": "O"}],
                managingOrganization={"reference": "#a_b"},
            ),
            ["Patient.contained[0].id"],
        ),
        # Required bindings.
        (
            condition(verificationStatus={"coding": [{"system": VERIFIED, "code": "confirmed"}]}),
            [],
        ),
        (
            condition(verificationStatus={"coding": [{"system": "http://x.y", "code": "confirmed"}]}),
            ["Condition.verificationStatus"],
        ),
        (condition(verificationStatus={"text": "sure"}), ["Condition.verificationStatus"]),
        (
            patient(_gender={"extension": [{"url": "http://x.y", "valueCode": "unknown"}]}),
            ["Patient.gender"],
        ),
        # A system that is held completely knows all its codes.
        (
            patient(
                maritalStatus={
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus",
                            "code": "nonsense",
                        }
                    ]
                }
            ),
            ["Patient.maritalStatus.coding[0].code"],
        ),
        # Media types, languages.
        (patient(photo=[{"contentType": "image"}]), ["Patient.photo[0].contentType"]),
        (patient(language="not a language"), ["Patient.language"]),
        # Invariants of a type, a group, a data type and a base.
        (patient(contact=[{"gender": "male"}]), ["Patient.contact[0]"]),
        (patient(telecom=[{"value": "1"}]), ["Patient.telecom[0]"]),
        (
            patient(name=[{"period": {"start": "2001", "end": "2000-12-31"}}]),
            ["Patient.name[0].period"],
        ),
        # Extensions that FHIR defines.
        (
            patient(
                extension=[
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
                        "valueString": "x",
                    }
                ]
            ),
            ["Patient.extension[0].value.ofType(string)"],
        ),
        (
            patient(
                extension=[
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/patient-nationality",
                        "extension": [{"url": "code", "valueString": "x"}],
                    }
                ]
            ),
            ["Patient.extension[0].extension[0].value.ofType(string)"],
        ),
        (patient(extension=[{"url": "http://unknown.org/e", "valueString": "x"}]), []),
        # Contained resources and references to them.
        (
            patient(contained=[{"resourceType": "Organization", "id": "o", "name": "O"}]),
            ["Patient.contained[0]"],
        ),
        (
            patient(contained=[{"resourceType": "Organization", "name": "O"}]),
            ["Patient.contained[0]"],
        ),
        (patient(managingOrganization={"reference": "#o"}), ["Patient.managingOrganization"]),
        (
            patient(managingOrganization={"reference": "http://x.org/fhir/Patient/1"}),
            ["Patient.managingOrganization"],
        ),
        # URIs.
        (patient(identifier=[{"system": "mrn", "value": "1"}]), ["Patient.identifier[0].system"]),
        (
            patient(identifier=[{"system": "urn:ietf:rfc:3986", "value": "1"}]),
            ["Patient.identifier[0].value"],
        ),
        (patient(implicitRules="urn:uuid:1"), ["Patient.implicitRules"]),
        (
            {"resourceType": "ValueSet", "status": "draft", "url": "my-set"},
            ["ValueSet.url"],
        ),
        (patient(photo=[{"contentType": "a/b", "data": "AAAA", "size": 4}]), ["Patient.photo[0]"]),
        (patient(photo=[{"contentType": "a/b", "data": "AAA=", "size": 2}]), []),
    ],
)  # fmt: skip
def test_where_the_errors_are(document, expected):
    assert at(document) == expected


@pytest.mark.parametrize(
    ("div", "is_right"),
    [
        (f"<div {XHTML}>x &amp; &#160; y</div>", True),
        (f"<div {XHTML}><img src='a.png' alt='a'/></div>", True),
        (f"<div {XHTML}><table class='c'><tr><td colspan='2'>x</td></tr></table></div>", True),
        ("<div>x</div>", False),
        (f"<p {XHTML}>x</p>", False),
        (f"<div {XHTML}> </div>", False),
        (f"<div {XHTML}>x", False),
        (f"<div {XHTML}>&nbsp;</div>", False),
        (f"<div {XHTML}><script>x</script></div>", False),
        (f"<div {XHTML}><form>x</form></div>", False),
        (f"<div {XHTML} onclick='x'>x</div>", False),
        (f"<div {XHTML}><b xmlns='http://x.y'>x</b></div>", False),
        ('<!DOCTYPE d [<!ENTITY a "b">]><div>&a;</div>', False),
        ("no markup", False),
    ],
)
def test_the_xhtml_of_a_narrative(div, is_right):
    document = patient(text={"status": "generated", "div": div})
    assert at(document) == ([] if is_right else ["Patient.text.div"])


MATCH = {"search": {"mode": "match"}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            bundle("collection", {"resource": patient(id="a")}),
            ["Bundle.entry[0]"],
        ),
        (
            bundle("collection", {"fullUrl": "Patient/a", "resource": patient(id="a")}),
            ["Bundle.entry[0].fullUrl"],
        ),
        (
            bundle("collection", {"fullUrl": "http://x.y/Patient/b", "resource": patient(id="a")}),
            ["Bundle.entry[0]"],
        ),
        (
            bundle("collection", {"fullUrl": "http://x.y/Patient/a", "resource": patient(id="a")}),
            [],
        ),
        # bdl-3: entries of a transaction have requests.
        (bundle("transaction", {"resource": patient()}), ["Bundle"]),
        (
            bundle("searchset", {"fullUrl": "http://x.y/Patient/a", "resource": patient(), **MATCH}),
            ["Bundle.entry[0].resource"],
        ),
        (
            bundle(
                "searchset",
                {"fullUrl": "http://x.y/Patient/a", "resource": patient(id="a"), **MATCH},
                link=[{"relation": "self", "url": "http://x.y/Observation?code=1"}],
            ),
            ["Bundle.entry[0].resource"],
        ),
        (
            bundle(
                "document",
                {
                    "fullUrl": "http://x.y/Composition/c",
                    "resource": {
                        "resourceType": "Composition",
                        "id": "c",
                        "status": "final",
                        "type": {"text": "t"},
                        "date": "2020",
                        "title": "T",
                        "author": [{"reference": "Practitioner/p"}],
                        "subject": {"reference": "Patient/nobody"},
                    },
                },
                {
                    "fullUrl": "http://x.y/Practitioner/p",
                    "resource": {"resourceType": "Practitioner", "id": "p"},
                },
                identifier={"system": "http://x.y", "value": "1"},
                timestamp="2020-01-01T00:00:00Z",
            ),
            ["Bundle.entry[0].resource.subject"],
        ),
    ],
)  # fmt: skip
def test_bundles(document, expected):
    assert at(document) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"resourceType": "ValueSet", "status": "draft", "compose": {"include": [{"system": "#x"}]}},
            ["ValueSet.compose.include[0]"],
        ),
        (
            {
                "resourceType": "ValueSet",
                "status": "draft",
                "compose": {
                    "include": [
                        {
                            "system": "http://hl7.org/fhir/administrative-gender",
                            "concept": [{"code": "male"}, {"code": "nonsense"}],
                        }
                    ]
                },
            },
            ["ValueSet.compose.include[0].concept[1]"],
        ),
        (
            {
                "resourceType": "CodeSystem",
                "status": "draft",
                "content": "complete",
                "supplements": "http://hl7.org/fhir/administrative-gender",
                "concept": [{"code": "nonsense"}],
            },
            ["CodeSystem.concept[0]", "CodeSystem.content"],
        ),
        (
            {
                "resourceType": "Questionnaire",
                "status": "draft",
                "item": [
                    {"linkId": "1", "type": "string"},
                    {
                        "linkId": "2",
                        "type": "string",
                        "enableWhen": [
                            {"question": "3", "operator": "exists", "answerBoolean": True}
                        ],
                    },
                ],
            },
            ["Questionnaire.item[1].enableWhen[0]"],
        ),
        (
            {
                "resourceType": "Questionnaire",
                "status": "draft",
                "item": [
                    {"linkId": "1", "type": "group", "item": [{"linkId": "1", "type": "string"}]}
                ],
            },
            ["Questionnaire"],
        ),
        (
            # que-13: more than one initial value, and nothing says that the item repeats.
            {
                "resourceType": "Questionnaire",
                "status": "draft",
                "item": [
                    {
                        "linkId": "1",
                        "type": "string",
                        "initial": [{"valueString": "a"}, {"valueString": "b"}],
                    }
                ],
            },
            ["Questionnaire.item[0]"],
        ),
    ],
)  # fmt: skip
def test_resources_that_define(document, expected):
    assert at(document) == expected


def code_system(**members):
    return {"resourceType": "CodeSystem", "status": "draft", "content": "complete", **members}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (code_system(count=2, concept=[{"code": "a", "concept": [{"code": "b"}]}]), []),
        (code_system(count=1, concept=[{"code": "a", "concept": [{"code": "b"}]}]), ["CodeSystem.count"]),
        (
            code_system(
                property=[{"code": "p", "type": "integer"}],
                concept=[{"code": "a", "property": [{"code": "p", "valueString": "x"}]}],
            ),
            ["CodeSystem.concept[0].property[0]"],
        ),
        (
            {
                "resourceType": "ConceptMap",
                "status": "draft",
                "group": [
                    {
                        "source": "http://hl7.org/fhir/administrative-gender",
                        "target": "http://hl7.org/fhir/administrative-gender",
                        "element": [
                            {"code": "x", "target": [{"code": "y", "equivalence": "equal"}]},
                            {"code": "male", "target": [{"code": "male", "equivalence": "equal"}]},
                        ],
                    }
                ],
            },
            ["ConceptMap.group[0].element[0]", "ConceptMap.group[0].element[0].target[0]"],
        ),
        (bundle("searchset", {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "invalid"}]}}), []),
        (
            {
                "resourceType": "CapabilityStatement",
                "status": "draft",
                "date": "2020",
                "kind": "requirements",
                "fhirVersion": "4.0.1",
                "format": ["json"],
                "description": "d",
                "rest": [
                    {
                        "mode": "server",
                        "resource": [
                            {
                                "type": "Patient",
                                "searchParam": [
                                    {
                                        "name": "birthdate",
                                        "definition": "http://hl7.org/fhir/SearchParameter/individual-birthdate",
                                        "type": "token",
                                    }
                                ],
                            }
                        ],
                    }
                ],
            },
            ["CapabilityStatement.rest[0].resource[0].searchParam[0]"],
        ),
    ],
)  # fmt: skip
def test_what_defining_resources_say_of_others(document, expected):
    assert at(document) == expected


LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
VITAL = [
    {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                "code": "vital-signs",
            }
        ]
    }
]


def loinc(code):
    return {"coding": [{"system": LOINC, "code": code}]}


def quantity(code, **changes):
    return {"value": 37, "unit": code, "system": UCUM, "code": code} | changes


def temperature(**changes):
    whole = {
        "resourceType": "Observation",
        "status": "final",
        "category": VITAL,
        "code": loinc("8310-5"),
        "subject": {"display": "D"},
        "effectiveDateTime": "2020-01-01",
        "valueQuantity": quantity("Cel"),
    } | changes
    return {key: value for key, value in whole.items() if value is not None}


PARTS = [
    {"code": loinc("8480-6"), "valueQuantity": quantity("mm[Hg]")},
    {"code": loinc("8462-4"), "valueQuantity": quantity("mm[Hg]")},
]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (temperature(), []),
        (temperature(valueQuantity=quantity("[degF]")), []),
        (temperature(valueQuantity=quantity("K")), ["Observation.value.ofType(Quantity).code"]),
        (
            temperature(valueQuantity=quantity("Cel", system="http://x.y")),
            ["Observation.value.ofType(Quantity).system"],
        ),
        (
            temperature(valueQuantity={"value": 37, "system": UCUM, "code": "Cel"}),
            ["Observation.value.ofType(Quantity)"],
        ),
        (temperature(category=None), ["Observation"]),
        (temperature(subject=None), ["Observation"]),
        (temperature(effectiveDateTime=None), ["Observation"]),
        (temperature(effectiveDateTime="2020-01"), ["Observation.effective.ofType(dateTime)"]),
        (temperature(valueQuantity=None), ["Observation"]),
        (temperature(valueQuantity=None, dataAbsentReason={"text": "t"}), []),
        (temperature(code=loinc("1-8"), category=None, subject=None), []),
        (temperature(code=loinc("85354-9"), valueQuantity=None, component=PARTS), []),
        (
            temperature(code=loinc("85354-9"), valueQuantity=None, component=PARTS[:1]),
            ["Observation"],
        ),
        (
            temperature(
                code=loinc("1-8"),
                meta={"profile": ["http://hl7.org/fhir/StructureDefinition/bodytemp"]},
            ),
            ["Observation.code"],
        ),
    ],
)  # fmt: skip
def test_vital_signs_are_held_to_their_profiles(document, expected):
    assert at(document) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("404684003", True),
        ("<< 404684003 |Clinical finding|", True),
        ("*", True),
        ("(< 404684003 AND ^ 700043003) MINUS 19829001 |Disorder of lung|", True),
        ("< 404684003, < 19829001", True),
        ("<< 404684003 : 116676008 |Morphology| = << 72704001", True),
        ("", False),
        ("234234 << 234234", False),
        ("<<", False),
        ("404684003 AND", False),
        ("(404684003", False),
        ("404684003)", False),
        ("|term| 404684003", False),
        ("<< 404684003 : {116676008 = *", False),
        ("nonsense", False),
    ],
)
def test_expression_constraints_of_snomed(text, expected):
    assert is_expression_constraint(text) is expected


FAULTY_EXAMPLES = {
    ("ActivityDefinition", "blood-tubes-supply"),  # txt-2
    ("Questionnaire", "zika-virus-exposure-assessment"),  # txt-2
    ("Questionnaire", "qs1"),  # linkId
    ("Bundle", "3a0707d3-549e-4467-b8b8-5a2ab3800efe"),  # ids unlike fullUrls
    ("Bundle", "lri-example"),  # the same
    ("Bundle", "conceptmaps"),  # maps to a code that v3 does not have
    ("DeviceMetric", "example"),  # type of the target
    ("Observation", "clinical-gender"),  # the same
    ("Observation", "f202"),  # a body temperature of no time
    ("Library", "zika-virus-intervention-logic"),  # no OID
    ("Organization", "2.16.840.1.113883.19.5"),  # no URI
    ("TerminologyCapabilities", "example"),  # UUID in upper case
}


def test_the_published_examples_are_valid_but_for_those_that_are_not():
    refused = {(each["resourceType"], each["id"]) for each in examples() if found(each)}
    assert refused == FAULTY_EXAMPLES


@settings(
    max_examples=1500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(spoiled())
def test_no_document_is_too_odd_to_be_judged(document):
    type_name = METADATA.fhir_type(document["resourceType"])
    for issue in examine_document(METADATA, type_name, document):
        assert issue.expression
        assert issue.severity in {"fatal", "error", "warning", "information"}


def test_invariants_have_their_own_severity():
    assert ("Patient", "dom-6: A resource should have narrative for robust management") in found(
        patient(), severity={"warning"}
    )
    inner = patient(
        contained=[{"resourceType": "Organization", "id": "o", "name": "O"}],
        managingOrganization={"reference": "#o"},
    )
    assert at(inner, severity={"warning"}) == ["Patient"], "a contained resource needs no narrative"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2000", "2000", True),
        ("2000-06", "2000", True),
        ("2001", "2000-12-31", False),
        ("2000-01-02", "2000-01-01T23:00:00Z", False),
        ("2000-01-01T10:00:00+02:00", "2000-01-01T09:00:00Z", True),
        ("2000-01-01T10:00:00Z", "2000-01-01T11:00:00+02:00", False),
        ("2000-01-01T10:00:00.5Z", "2000-01-01T10:00:00.25Z", False),
        ("2000-12-31T23:59:60Z", "2001-01-01T00:00:00Z", True),
        (None, "2000", True),
    ],
)
def test_the_order_of_a_period(start, end, expected):
    assert is_period_in_order({"start": start, "end": end}) is expected


def test_the_order_of_a_range():
    assert is_range_in_order({"low": {"value": 1}, "high": {"value": 1}})
    assert not is_range_in_order({"low": {"value": 2}, "high": {"value": 1}})
    assert is_range_in_order({"low": {"value": 2, "code": "g"}, "high": {"value": 1, "code": "kg"}})
    assert is_range_in_order({"low": {"value": 2}})


def test_members_that_stand_twice():
    assert duplicate_members(b'{"a":1,"b":[{"c":1,"c":{"d":1,"d":2}}],"a":2}') == [
        ("a",),
        ("b", 0, "c"),
        ("b", 0, "c", "d"),
    ]
    assert duplicate_members(b'{"a":1,"b":{"a":1}}') == []
    assert duplicate_members(b'{"a":' + b"1" * 5000 + b"}") == []
    assert duplicate_members(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}") == []


def test_a_version_without_rules_has_none():
    assert rules_of("0.0").constraints == {}


def test_codes_of_a_system():
    rules = rules_of("4.0.1")
    gender = "http://hl7.org/fhir/administrative-gender"
    assert rules.knows_code(gender, "male") is True
    assert rules.knows_code(gender, "mal") is False
    assert rules.knows_code(gender, "MALE") is False
    assert rules.knows_code("http://snomed.info/sct", "1") is None
