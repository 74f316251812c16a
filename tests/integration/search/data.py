"""A small hospital in Aidbox format: each row is there for some rule of the search specification."""

S, T = "http://codes", "http://other"

ROWS = {
    "Organization": {
        "north": {"name": "Northern Clinic", "alias": ["Café Nord"], "active": True},
        "south": {
            "name": "Southern Clinic",
            "partOf": {"resourceType": "Organization", "id": "north"},
        },
        "south-2": {"name": "Ward 2", "partOf": {"resourceType": "Organization", "id": "south"}},
    },
    "Practitioner": {
        "doc": {"name": [{"family": "Grey", "given": ["Meredith"]}]},
    },
    "Patient": {
        "lee": {
            "name": [{"family": "Lee", "given": ["Ann", "Bea"], "text": "Dr Ann Lee"}],
            "gender": "female",
            "active": True,
            "birthDate": "1980-02-29",
            "identifier": [
                {
                    "system": S,
                    "value": "1",
                    "type": {"coding": [{"system": T, "code": "MR"}], "text": "Record"},
                },
                {"system": T, "value": "2"},
            ],
            "telecom": [
                {"system": "phone", "value": "555"},
                {"system": "email", "value": "ann@example.org"},
            ],
            "address": [{"city": "Zürich", "line": ["5 Long Road"], "use": "home"}],
            "managingOrganization": {
                "resourceType": "Organization",
                "id": "north",
                "display": "North",
            },
            "generalPractitioner": [
                {"resourceType": "Practitioner", "id": "doc"},
                {"resourceType": "Organization", "id": "south"},
            ],
            "meta": {
                "tag": [{"system": S, "code": "vip"}],
                "profile": ["http://p/one"],
                "source": "urn:src",
            },
        },
        "dyke": {
            "name": [{"family": "Van Dyke", "given": ["Éva"]}],
            "gender": "male",
            "active": False,
            "birthDate": "1980",
            "deceased": {"boolean": False},
            "identifier": [{"value": "1"}, {"system": S, "value": "9|9"}],
            "telecom": [{"system": "email", "value": "555"}],
            "managingOrganization": {"resourceType": "Organization", "id": "south"},
        },
        "gone": {
            "name": [{"family": "Leeson"}, {"family": "O'Neil", "given": [None, "Ann"]}],
            "birthDate": "1979-12",
            "deceased": {"dateTime": "2020-01-01"},
            "managingOrganization": {"uri": "http://elsewhere/Organization/north"},
        },
        "dead": {
            "gender": "other",
            "deceased": {"boolean": True},
            "name": [{"text": "Rob Robinson R7"}],
        },
        "bare": {},
        "local": {
            "contained": [{"resourceType": "Organization", "id": "x", "name": "Northern Inside"}],
            "managingOrganization": {"localRef": "x"},
            "maritalStatus": {"text": "Merried"},
        },
    },
    "Encounter": {
        "e1": {
            "status": "finished",
            "class": {"system": S, "code": "AMB"},
            "subject": {"resourceType": "Patient", "id": "lee"},
            "period": {"start": "2020-01-01T10:00:00Z", "end": "2020-01-03"},
            "participant": [{"individual": {"resourceType": "Practitioner", "id": "doc"}}],
            "location": [{"location": {"resourceType": "Location", "id": "room"}}],
        },
        "e2": {
            "status": "planned",
            "class": {"code": "AMB"},
            "subject": {"resourceType": "Patient", "id": "dyke"},
            "period": {"start": "2020-06"},
        },
        "e3": {
            "status": "planned",
            "class": {"system": T, "code": "IMP"},
            "subject": {"resourceType": "Group", "id": "lee"},
            "period": {"end": "2019-12-31T23:59:59.5+02:00"},
        },
    },
    "Observation": {
        "weight": {
            "status": "final",
            "code": {
                "coding": [
                    {"system": S, "code": "w", "display": "Body Weight"},
                    {"system": T, "code": "bw"},
                ]
            },
            "subject": {"resourceType": "Patient", "id": "lee"},
            "effective": {"dateTime": "2020-01-01T10:00:00.250Z"},
            "value": {
                "Quantity": {
                    "value": 80.5,
                    "system": "http://unitsofmeasure.org",
                    "code": "kg",
                    "unit": "kg",
                }
            },
            "performer": [{"identifier": {"system": S, "value": "7"}, "display": "Dr Grey"}],
        },
        "light": {
            "status": "amended",
            "code": {"coding": [{"code": "w"}], "text": "weight by hand"},
            "subject": {"resourceType": "Patient", "id": "dyke"},
            "effective": {"Period": {"start": "2020-01", "end": "2020-02"}},
            "value": {"Quantity": {"value": 80, "comparator": "<", "unit": "kg"}},
        },
        "press": {
            "status": "final",
            "code": {"coding": [{"system": S, "code": "bp"}]},
            "subject": {"resourceType": "Patient", "id": "lee"},
            "effective": {"Timing": {"event": ["2020-03-01", "2020-05-01"]}},
            "component": [
                {
                    "code": {"coding": [{"system": S, "code": "sys"}]},
                    "value": {"Quantity": {"value": 120}},
                },
                {
                    "code": {"coding": [{"system": S, "code": "dia"}]},
                    "value": {"Quantity": {"value": 80}},
                },
            ],
            "hasMember": [{"resourceType": "Observation", "id": "weight"}],
        },
        "word": {
            "status": "final",
            "code": {"text": "free text only"},
            "value": {"string": "Largely normal"},
            "effective": {"instant": "2020-01-01T12:00:00+02:00"},
            "text": {
                "status": "generated",
                "div": "<div>heart failure of the <b>left</b> side</div>",
            },
            "note": [{"text": "bar baz heart"}],
        },
        "range": {
            "status": "final",
            "code": {"coding": [{"system": S, "code": "s"}]},
            "note": [{"text": "heart"}],
            "value": {"SampledData": {"origin": {"value": 0}, "data": "1 5 E 9", "factor": 2}},
        },
    },
    "RiskAssessment": {
        "r1": {"prediction": [{"probability": {"decimal": 0.8}}]},
        "r2": {"prediction": [{"probability": {"decimal": 0.75}}, {"probability": {"decimal": 1}}]},
        "r3": {
            "prediction": [
                {"probability": {"Range": {"low": {"value": 0.1}, "high": {"value": 0.2}}}}
            ]
        },
    },
    "Location": {
        "site": {"name": "Site", "position": {"latitude": 52.0, "longitude": 4.0}},
        "house": {
            "name": "House",
            "partOf": {"resourceType": "Location", "id": "site"},
            "position": {"latitude": 52.0, "longitude": 4.05},
        },
        "room": {"name": "Room", "partOf": {"resourceType": "Location", "id": "house"}},
    },
    "List": {
        "l1": {
            "status": "current",
            "mode": "working",
            "entry": [
                {"item": {"resourceType": "Patient", "id": "lee"}},
                {"item": {"resourceType": "Patient", "id": "dyke"}, "deleted": True},
                {"item": {"resourceType": "Encounter", "id": "gone"}},
            ],
        },
    },
    "Group": {
        "g1": {
            "type": "person",
            "actual": True,
            "member": [
                {"entity": {"resourceType": "Patient", "id": "lee"}},
                {"entity": {"resourceType": "Patient", "id": "gone"}},
            ],
        },
    },
    "ValueSet": {
        "plain": {"status": "active", "url": "http://vs/a/b", "version": "1"},
        "deeper": {"status": "active", "url": "http://vs/a"},
        "urn": {"status": "active", "url": "urn:oid:1.2.3"},
        "listed": {
            "status": "active",
            "url": "http://sets/listed",
            "compose": {"include": [{"system": S, "concept": [{"code": "w"}, {"code": "female"}]}]},
        },
        "family": {
            "status": "active",
            "url": "http://sets/family",
            "compose": {
                "include": [
                    {"system": S, "filter": [{"property": "concept", "op": "is-a", "value": "v"}]}
                ],
                "exclude": [{"system": S, "concept": [{"code": "w"}]}],
            },
        },
        "whole": {
            "status": "active",
            "url": "http://sets/whole",
            "compose": {"include": [{"system": T}]},
        },
        "nested": {
            "status": "active",
            "url": "http://sets/nested",
            "compose": {"include": [{"valueSet": ["http://sets/listed"]}]},
        },
        "expanded": {
            "status": "active",
            "url": "http://sets/expanded",
            "expansion": {
                "contains": [{"system": S, "code": "x", "contains": [{"system": S, "code": "bp"}]}]
            },
        },
        "large": {
            "status": "active",
            "url": "http://sets/large",
            "compose": {
                "include": [
                    {
                        "system": S,
                        "concept": [{"code": f"n{i}"} for i in range(50)]
                        + [{"code": "w"}, {"code": "male"}],
                    }
                ]
            },
        },
    },
    "CodeSystem": {
        "cs": {
            "status": "active",
            "url": S,
            "content": "complete",
            "concept": [
                {
                    "code": "v",
                    "concept": [{"code": "w"}, {"code": "bp", "concept": [{"code": "sys"}]}],
                },
                {"code": "dia", "property": [{"code": "parent", "value": {"code": "bp"}}]},
            ],
        },
    },
    "QuestionnaireResponse": {
        "q1": {"status": "completed", "questionnaire": "http://q/one|2.0"},
        "q2": {"status": "completed", "questionnaire": "http://q/one"},
    },
    "Invoice": {
        "i1": {"status": "draft", "totalGross": {"value": 10.5, "currency": "EUR"}},
    },
    "DocumentReference": {
        "d1": {
            "status": "current",
            "relatesTo": [
                {"code": "replaces", "target": {"resourceType": "DocumentReference", "id": "a"}},
                {"code": "appends", "target": {"resourceType": "DocumentReference", "id": "b"}},
            ],
        },
    },
}
