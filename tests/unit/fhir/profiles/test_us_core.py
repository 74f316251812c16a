"""US Core and FHIR's own vital signs: published profiles, as they are, made into rules.

Source: US Core 3.0.0; FHIR R4, Vital Signs.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import pytest

from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.profiles.checking import compile_profile
from tests.unit.fhir.profiles.making import Rules, definitions

US = "http://hl7.org/fhir/us/core/StructureDefinition/"
FHIR = "http://hl7.org/fhir/StructureDefinition/"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@cache
def rules(without=None):
    """Return the rules of the whole guide; `without` leaves out one view of the definitions."""
    found = (*definitions("definitions"), *definitions("vital-signs"))
    return Rules(*({k: v for k, v in one.items() if k != without} for one in found))


VIEWS = pytest.mark.parametrize("without", [None, "snapshot", "differential"])


RACE = {
    "url": f"{US}us-core-race",
    "extension": [
        {
            "url": "ombCategory",
            "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"},
        },
        {
            "url": "ombCategory",
            "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "1002-5"},
        },
        {
            "url": "detailed",
            "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "1586-7"},
        },
        {"url": "text", "valueString": "Mixed"},
    ],
}
ETHNICITY = {
    "url": f"{US}us-core-ethnicity",
    "extension": [
        {
            "url": "ombCategory",
            "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2135-2"},
        },
        {"url": "text", "valueString": "Hispanic or Latino"},
    ],
}
PATIENT = {
    "resourceType": "Patient",
    "meta": {"profile": [f"{US}us-core-patient"]},
    "extension": [RACE, ETHNICITY, {"url": f"{US}us-core-birthsex", "valueCode": "F"}],
    "identifier": [{"system": "http://hospital.example.org", "value": "1032702"}],
    "name": [{"family": "Shaw", "given": ["Amy", "V."]}],
    "telecom": [{"system": "phone", "value": "555-555-5555"}],
    "gender": "female",
    "birthDate": "2007-02-20",
    "address": [{"line": ["49 Meadow St"], "city": "Mounds", "state": "OK"}],
    "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}]}}],
}
LAB = {
    "resourceType": "Observation",
    "meta": {"profile": [f"{US}us-core-observation-lab"]},
    "status": "final",
    "category": [{"coding": [{"system": CATEGORY, "code": "laboratory"}]}],
    "code": {"coding": [{"system": "http://loinc.org", "code": "2339-0"}]},
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2005-07-05",
    "valueQuantity": {"value": 76.0, "unit": "mg/dL"},
}


def quantity(value, code):
    return {"value": value, "unit": code, "system": "http://unitsofmeasure.org", "code": code}


def loinc(code):
    return {"coding": [{"system": "http://loinc.org", "code": code}]}


VITAL = {
    "resourceType": "Observation",
    "status": "final",
    "category": [{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}],
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "1999-07-02",
}
WEIGHT = {
    **VITAL,
    "meta": {"profile": [f"{FHIR}bodyweight"]},
    "code": loinc("29463-7"),
    "valueQuantity": quantity(67, "kg"),
}
PRESSURE = {
    **VITAL,
    "meta": {"profile": [f"{FHIR}bp"]},
    "code": loinc("85354-9"),
    "component": [
        {"code": loinc("8480-6"), "valueQuantity": quantity(109, "mm[Hg]")},
        {"code": loinc("8462-4"), "valueQuantity": quantity(44, "mm[Hg]")},
    ],
}
PERCENTILE = {
    **VITAL,
    "meta": {"profile": [f"{US}pediatric-bmi-for-age"]},
    "code": loinc("59576-9"),
    "valueQuantity": quantity(65, "%"),
}
CARE_PLAN = {
    "resourceType": "CarePlan",
    "meta": {"profile": [f"{US}us-core-careplan"]},
    "text": {
        "status": "additional",
        "div": '<div xmlns="http://www.w3.org/1999/xhtml">plan</div>',
    },
    "status": "active",
    "intent": "order",
    "category": [
        {
            "coding": [
                {
                    "system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category",
                    "code": "assess-plan",
                }
            ]
        }
    ],
    "subject": {"reference": "Patient/p1"},
}
CONDITION = {
    "resourceType": "Condition",
    "meta": {"profile": [f"{US}us-core-condition"]},
    "clinicalStatus": {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                "code": "active",
            }
        ]
    },
    "category": [{"text": "problem"}],
    "code": {"text": "asthma"},
    "subject": {"reference": "Patient/p1"},
}
PRACTITIONER = {
    "resourceType": "Practitioner",
    "meta": {"profile": [f"{US}us-core-practitioner"]},
    "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "9941339108"}],
    "name": [{"family": "Bone"}],
    "telecom": [
        {
            "system": "email",
            "value": "bone@example.org",
            "extension": [{"url": f"{US}us-core-direct", "valueBoolean": True}],
        }
    ],
}
SMOKING = {
    "resourceType": "Observation",
    "meta": {"profile": [f"{US}us-core-smokingstatus"]},
    "status": "final",
    "code": loinc("72166-2"),
    "subject": {"reference": "Patient/p1"},
    "issued": "2016-03-18T05:27:04Z",
    "valueCodeableConcept": {"text": "Former smoker"},
}
VALID = {
    "patient": PATIENT,
    "lab": LAB,
    "weight": WEIGHT,
    "pressure": PRESSURE,
    "percentile": PERCENTILE,
    "plan": CARE_PLAN,
    "condition": CONDITION,
    "practitioner": PRACTITIONER,
    "smoking": SMOKING,
}


def test_every_profile_of_the_guide_converts_and_compiles():
    made = {one["url"]: one for one in rules().conversion.profiles}
    wanted = {
        one["url"]
        for one in (*definitions("definitions"), *definitions("vital-signs"))
        if one["resourceType"] == "StructureDefinition" and one["type"] != "Extension"
    }
    assert made.keys() == wanted
    assert len(wanted) == 29
    for one in made.values():
        compile_profile(one["schema"])


def test_snapshots_and_differentials_make_the_same_attributes():
    made = [
        {one["id"]: one for one in rules(view).conversion.attributes}
        for view in (None, "snapshot", "differential")
    ]
    assert made[0] == made[1] == made[2]


def test_what_is_not_enforced_is_told():
    told = {(note.place, note.message) for note in rules().conversion.notes}
    unknown = "http://hl7.org/fhir/us/core/ValueSet/us-core-documentreference-type"
    assert ("DocumentReference.type", f"The codes of {unknown} are not known here.") in told
    assert not [place for place, _ in told if place.startswith("Patient")]


@pytest.mark.parametrize("name", VALID)
@pytest.mark.parametrize("dialect", Dialect)
@VIEWS
def test_a_valid_resource_passes(name, dialect, without):
    assert rules(without).found(VALID[name], dialect) == []


@pytest.mark.parametrize("name", VALID)
def test_a_valid_resource_comes_back_as_it_was_sent(name):
    assert rules().round_trip(VALID[name]) == VALID[name]


def test_extensions_of_the_patient_are_stored_first_class():
    stored = rules().stored(PATIENT)
    assert "extension" not in stored
    assert stored["birthsex"] == "F"
    assert stored["race"]["text"] == "Mixed"
    assert [coding["code"] for coding in stored["race"]["ombCategory"]] == ["2106-3", "1002-5"]
    assert stored["ethnicity"]["ombCategory"]["code"] == "2135-2"


def changed(resource, *path, to=None):
    """Return a copy of the resource with the member at the path replaced, or without it."""
    result = deepcopy(resource)
    holder = result
    for step in path[:-1]:
        holder = holder[step]
    if to is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = to
    return result


RACE_AT = (
    "Patient.extension.where(url = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-race')"
)
WRONG = [
    (PATIENT, ("identifier",), None, ("Patient", "Property identifier is required")),
    (PATIENT, ("gender",), None, ("Patient", "Property gender is required")),
    (PATIENT, ("name",), None, ("Patient", "Property name is required")),
    (PATIENT, ("identifier", 0, "system"), None, ("Patient.identifier[0]", "Property system is required")),
    (PATIENT, ("telecom", 0, "value"), None, ("Patient.telecom[0]", "Property value is required")),
    (PATIENT, ("extension", 2, "valueCode"), "X", (
        "Patient.extension.where(url = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex').value",
        "expected one of F, M, UNK",
    )),
    (PATIENT, ("extension", 0, "extension", 3), None, (RACE_AT, "Extension text is required")),
    (PATIENT, ("extension", 0, "extension", 0, "valueCoding", "code"), "1", (
        f"{RACE_AT}.extension.where(url = 'ombCategory')[0].value",
        "expected a code of http://hl7.org/fhir/us/core/ValueSet/omb-race-category",
    )),
    (PATIENT, ("extension", 0, "extension", 2, "valueCoding", "code"), "2106-3", (
        f"{RACE_AT}.extension.where(url = 'detailed')[0].value.code", None,
    )),
    (LAB, ("category", 0, "coding", 0, "code"), "x", ("Observation.category", "slice laboratory needs at least 1")),
    (LAB, ("category",), [*LAB["category"], *LAB["category"]], (
        "Observation.category", "slice laboratory allows at most 1",
    )),
    (LAB, ("subject",), None, ("Observation", "Property subject is required")),
    (LAB, ("subject", "reference"), "Group/g", ("Observation.subject", "expected reference to Patient")),
    (WEIGHT, ("valueQuantity", "system"), "http://x", (
        "Observation.value.ofType(Quantity).system", "expected one of http://unitsofmeasure.org",
    )),
    (WEIGHT, ("effectiveDateTime",), None, ("Observation", "Property effective is required")),
    (PRESSURE, ("component", 1), None, ("Observation.component", "slice DiastolicBP needs at least 1")),
    (PRESSURE, ("component", 1), None, ("Observation.component", "too few items")),
    (PRESSURE, ("component", 0, "valueQuantity", "code"), "kPa", (
        "Observation.component[0].value.ofType(Quantity).code", "expected one of mm[Hg]",
    )),
    (PRESSURE, ("component", 0, "valueQuantity", "value"), None, (
        "Observation.component[0].value.ofType(Quantity)", "Property value is required",
    )),
    (PRESSURE, ("valueQuantity",), quantity(1, "mm[Hg]"), (
        "Observation.value.ofType(Quantity)", "not allowed here",
    )),
    (PERCENTILE, ("category", 0, "coding", 0, "code"), "x", (
        "Observation.category", "slice VSCat needs at least 1",
    )),
    (PERCENTILE, ("code", "coding", 0, "code"), "x", (
        "Observation.code.coding", "slice BMIPercentile needs at least 1",
    )),
    (PERCENTILE, ("valueQuantity",), None, ("Observation", "Property value is required")),
    (PERCENTILE, ("valueQuantity", "system"), "http://x", (
        "Observation.value.ofType(Quantity).system", "expected one of http://unitsofmeasure.org",
    )),
    (CARE_PLAN, ("text", "status"), "empty", (
        "CarePlan.text.status", "expected one of additional, generated",
    )),
    (CARE_PLAN, ("category", 0, "coding", 0, "system"), "http://x", (
        "CarePlan.category", "slice assessplan needs at least 1",
    )),
    (CONDITION, ("clinicalStatus", "coding", 0, "code"), "x", (
        "Condition.clinicalStatus.coding",
        "expected a code of http://hl7.org/fhir/ValueSet/condition-clinical",
    )),
    (CONDITION, ("clinicalStatus",), {"text": "active"}, (
        "Condition.clinicalStatus", "Property coding is required",
    )),
    (CONDITION, ("category",), None, ("Condition", "Property category is required")),
    (PRACTITIONER, ("identifier",), None, ("Practitioner", "Property identifier is required")),
    (SMOKING, ("status",), "registered", (
        "Observation.status", "expected one of entered-in-error, final",
    )),
    (SMOKING, ("valueCodeableConcept",), None, ("Observation", "Property value is required")),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG)))
@VIEWS
def test_a_violation_is_found_at_its_element(number, without):
    resource, path, to, (place, message) = WRONG[number]
    found = rules(without).found(changed(resource, *path, to=to))
    if message is None:
        assert place in [expression for expression, _ in found]
    else:
        assert (place, message) in found


@pytest.mark.parametrize("name", VALID)
def test_nothing_is_enforced_without_a_declaration(name):
    plain = {"resourceType": VALID[name]["resourceType"]}
    if plain["resourceType"] == "Patient":
        assert rules().found(plain) == []
    without = {key: value for key, value in VALID[name].items() if key != "meta"}
    assert rules().found(without) == []


def test_a_raw_extension_is_held_to_the_same_rules():
    """One with an id has no room in an element of its own; neither do rows from before."""
    raw = changed(PATIENT, "extension", 0, to={**RACE, "id": "r1"})
    assert "race" not in rules().stored(raw)
    assert rules().found(raw) == []
    assert rules().round_trip(raw)["extension"][0] == {**RACE, "id": "r1"}
    wrong = {**RACE, "id": "r1", "extension": RACE["extension"][:3]}
    assert rules().found(changed(PATIENT, "extension", 0, to=wrong)) == [
        ("Patient.extension[0].extension", "Extension text is required")
    ]
    code = changed(raw, "extension", 0, "extension", 0, "valueCoding", "code", to="x")
    assert ("Patient.extension[0].extension[0].value.ofType(Coding)") in [
        expression for expression, _ in rules().found(code)
    ]


def test_both_forms_of_an_extension_are_counted_together():
    twice = changed(PATIENT, "extension", to=[RACE, {**RACE, "id": "r1"}])
    assert ("Patient.extension", "extension race allows at most 1") in rules().found(twice)


def test_an_extension_inside_a_group_that_nobody_knows_stays_raw():
    extra = {"url": "http://example.org/more", "valueString": "x"}
    grown = {**RACE, "extension": [*RACE["extension"], extra]}
    resource = changed(PATIENT, "extension", to=[grown])
    assert rules().found(resource) == []
    assert rules().stored(resource)["race"]["extension"] == [extra]
    back = rules().round_trip(resource)["extension"][0]["extension"]
    assert back == [extra, *RACE["extension"]]
