"""DSTU2 resources written for these tests: no package holds DSTU2's clinical examples.

They use what DSTU2 has and R4 has not: other names, other choices, comments in JSON.
"""

from __future__ import annotations

from typing import Any

XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">Ann Oak</div>'

WRITTEN: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "Organization",
        "id": "ward",
        "name": "Ward 7",
        "type": {"coding": [{"system": "http://hl7.org/fhir/organization-type", "code": "dept"}]},
        "contact": [{"name": {"family": ["Ash"], "given": ["Ida"]}}],
    },
    {
        "resourceType": "Practitioner",
        "id": "doctor",
        "name": {"family": ["Elm"], "given": ["Eva"], "prefix": ["Dr"]},
        "practitionerRole": [{"managingOrganization": {"reference": "Organization/ward"}}],
    },
    {
        "resourceType": "Patient",
        "id": "ann",
        "fhir_comments": ["A patient of the tests"],
        "text": {"status": "generated", "div": XHTML},
        "active": True,
        "name": [{"use": "official", "family": ["Oak", "Birch"], "given": ["Ann"]}],
        "telecom": [{"system": "phone", "value": "555 0100", "use": "home"}],
        "gender": "female",
        "birthDate": "1974-12-25",
        "_birthDate": {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime",
                    "valueDateTime": "1974-12-25T14:35:45-05:00",
                }
            ]
        },
        "deceasedBoolean": False,
        "multipleBirthInteger": 2,
        "animal": {"species": {"text": "None: a person"}},
        "careProvider": [{"reference": "Practitioner/doctor", "display": "Dr Elm"}],
        "managingOrganization": {"reference": "Organization/ward"},
        "communication": [{"language": {"text": "English"}, "preferred": True}],
    },
    {
        "resourceType": "Condition",
        "id": "burn",
        "patient": {"reference": "Patient/ann"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "39065001"}]},
        "verificationStatus": "confirmed",
        "onsetQuantity": {"value": 52, "unit": "years", "system": "http://unitsofmeasure.org"},
        "abatementBoolean": True,
    },
    {
        "resourceType": "Medication",
        "id": "drug",
        "code": {"text": "Aspirin"},
        "isBrand": False,
        "product": {"ingredient": [{"item": {"reference": "#substance"}}]},
        "contained": [{"resourceType": "Substance", "id": "substance", "code": {"text": "Acid"}}],
    },
    {
        "resourceType": "MedicationOrder",
        "id": "order",
        "status": "active",
        "dateWritten": "2015-01-15",
        "patient": {"reference": "Patient/ann"},
        "prescriber": {"reference": "Practitioner/doctor"},
        "medicationReference": {"reference": "Medication/drug"},
        "dosageInstruction": [
            {"text": "one a day", "doseQuantity": {"value": 1.50, "unit": "mg"}},
        ],
    },
    {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "finished",
        "class": "outpatient",
        "patient": {"reference": "Patient/ann"},
        "period": {"start": "2015-01-17T16:00:00+10:00", "end": "2015-01-17T16:30:00+10:00"},
    },
    {
        "resourceType": "Observation",
        "id": "pressure",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "55284-4"}]},
        "subject": {"reference": "Patient/ann"},
        "encounter": {"reference": "Encounter/visit"},
        "effectivePeriod": {"start": "2015-01-17", "end": "2015-01-18"},
        "component": [
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
                "valueQuantity": {"value": 107, "unit": "mm[Hg]"},
            }
        ],
        "related": [{"type": "has-member", "target": {"reference": "Observation/pressure"}}],
    },
    {
        "resourceType": "DiagnosticOrder",
        "id": "tests",
        "status": "completed",
        "subject": {"reference": "Patient/ann"},
        "event": [{"status": "requested", "dateTime": "2013-05-02T16:16:00-07:00"}],
        "item": [{"code": {"text": "lipids"}, "status": "completed"}],
    },
    {
        "resourceType": "Questionnaire",
        "id": "form",
        "status": "draft",
        "group": {
            "linkId": "root",
            "group": [
                {
                    "linkId": "1",
                    "question": [{"linkId": "1.1", "text": "Well?", "type": "boolean"}],
                }
            ],
        },
    },
    {
        "resourceType": "QuestionnaireResponse",
        "id": "answers",
        "status": "completed",
        "questionnaire": {"reference": "Questionnaire/form"},
        "group": {
            "linkId": "root",
            "question": [{"linkId": "1.1", "answer": [{"valueBoolean": False}]}],
        },
    },
    {
        "resourceType": "Bundle",
        "id": "stored",
        "type": "collection",
        "entry": [{"resource": {"resourceType": "Patient", "id": "inner", "active": True}}],
    },
)
