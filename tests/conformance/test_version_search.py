"""Search parameters, compartments and value sets as each FHIR version has them.

Sources: FHIR DSTU2, STU3, R4B and R5, search parameter tables of the resources.
"""

from __future__ import annotations

from boxruntime.fhir.search.parameters import find_parameter
from tests.conformance.dstu2 import WRITTEN
from tests.conformance.versions import SKIP, only, put


async def found(running, query):
    answer = await running.client.get(f"/fhir/{query}")
    assert answer.status_code == 200, answer.text
    return {entry["resource"]["id"] for entry in answer.json().get("entry", ())}


async def test_names_are_searched_in_every_version(version):
    family = ["Hazel", "Alder"] if version.number == "1.0.2" else "Hazel"
    patient = {"resourceType": "Patient", "id": "hazel", "name": [{"family": family}]}
    assert (await put(version.box, "/fhir/Patient/hazel", patient)).status_code == 201
    for query in ("Patient?name=haz", "Patient?family=HAZEL", "Patient?family:exact=Hazel"):
        assert await found(version.box, query) == {"hazel"}, query


@only("1.0.2")
async def test_dstu2_searches_and_compartments(version):
    running = version.box
    for resource in WRITTEN:
        path = f"/fhir/{resource['resourceType']}/{resource['id']}"
        assert (await put(running, path, resource, **SKIP)).status_code in {200, 201}
    for query, ids in (
        ("Patient?family=birch", {"ann"}),
        ("Patient?careprovider=Practitioner/doctor", {"ann"}),
        ("Patient?phone=555 0100", {"ann"}),
        ("Patient?deceased=false&birthdate=1974-12-25", {"ann"}),
        ("Condition?patient=ann&code=39065001", {"burn"}),
        ("MedicationOrder?medication=Medication/drug&datewritten=ge2015", {"order"}),
        ("Observation?date=ge2015-01-17", {"pressure"}),
        ("Observation?component-value-quantity=107", {"pressure"}),
        ("Observation?related=has-member$Observation/pressure", {"pressure"}),
        ("DiagnosticOrder?event-status-date=requested$2013-05-02", {"tests"}),
        ("Observation?patient.name=oak", {"pressure"}),
        ("Patient/ann/Condition", {"burn"}),
        ("Patient/ann/MedicationOrder", {"order"}),
    ):
        assert await found(running, query) == ids, query


@only("1.0.2")
async def test_dstu2_value_sets_hold_their_code_systems(version):
    running = version.box
    concept = [{"code": "a", "concept": [{"code": "a1"}]}, {"code": "b"}]
    own = {"resourceType": "ValueSet", "id": "own", "url": "urn:own", "status": "draft"}
    own["codeSystem"] = {"system": "urn:codes", "concept": concept}
    importing = {"resourceType": "ValueSet", "id": "imp", "url": "urn:imp", "status": "draft"}
    importing["compose"] = {"import": ["urn:own"]}
    some = {"resourceType": "ValueSet", "id": "some", "url": "urn:some", "status": "draft"}
    some["compose"] = {
        "include": [
            {
                "system": "urn:codes",
                "filter": [{"property": "concept", "op": "is-a", "value": "a"}],
            }
        ]
    }
    for resource in (own, importing, some):
        assert (await put(running, f"/fhir/ValueSet/{resource['id']}", resource)).status_code == 201
    for code in ("a1", "b", "c"):
        observation = {
            "resourceType": "Observation",
            "id": f"coded-{code}",
            "status": "final",
            "code": {"coding": [{"system": "urn:codes", "code": code}]},
        }
        path = f"/fhir/Observation/{observation['id']}"
        assert (await put(running, path, observation)).status_code == 201
    for query, ids in (
        ("code:in=urn:own", {"coded-a1", "coded-b"}),
        ("code:in=urn:imp", {"coded-a1", "coded-b"}),
        ("code:in=urn:some", {"coded-a1"}),
        ("code:below=urn:codes|a", {"coded-a1"}),
    ):
        assert await found(running, f"Observation?{query}") == ids, query


@only("3.0.2")
async def test_stu3_searches_and_compartments(version):
    running = version.box
    claim = {"resourceType": "Claim", "id": "bill", "total": {"value": 12.5, "code": "EUR"}}
    patient = {"resourceType": "Patient", "id": "stu3", "animal": {"species": {"text": "dog"}}}
    request = {
        "resourceType": "MedicationRequest",
        "id": "drops",
        "intent": "order",
        "medicationCodeableConcept": {"text": "drops"},
        "subject": {"reference": "Patient/stu3"},
        "requester": {"agent": {"display": "somebody"}},
        "authoredOn": "2017-03-01",
    }
    for resource in (patient, claim, request):
        path = f"/fhir/{resource['resourceType']}/{resource['id']}"
        assert (await put(running, path, resource)).status_code == 201
    assert await found(running, "MedicationRequest?patient=stu3&authoredon=2017") == {"drops"}
    assert await found(running, "Patient/stu3/MedicationRequest") == {"drops"}


@only("5.0.0")
async def test_r5_searches_and_compartments(version):
    running = version.box
    resources = (
        {"resourceType": "Patient", "id": "r5"},
        {"resourceType": "Medication", "id": "salve", "code": {"text": "salve"}},
        {
            "resourceType": "MedicationRequest",
            "id": "rub",
            "status": "active",
            "intent": "order",
            "medication": {"reference": {"reference": "Medication/salve"}},
            "subject": {"reference": "Patient/r5"},
        },
        {
            "resourceType": "MedicationRequest",
            "id": "drops",
            "status": "active",
            "intent": "order",
            "medication": {"concept": {"coding": [{"code": "eye-drops"}]}},
            "subject": {"reference": "Patient/r5"},
        },
        {
            "resourceType": "Observation",
            "id": "words",
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": "Patient/r5"},
            "effectiveDateTime": "2023-03-26",
            "valueString": "yellowish",
        },
    )
    for resource in resources:
        path = f"/fhir/{resource['resourceType']}/{resource['id']}"
        written = await put(running, path, resource)
        assert written.status_code == 201, written.text
    for query, ids in (
        ("MedicationRequest?code=eye-drops", {"drops"}),
        ("MedicationRequest?medication=Medication/salve", {"rub"}),
        ("MedicationRequest?_id=rub&_include=MedicationRequest:medication", {"rub", "salve"}),
        ("Observation?date=2023-03-26&patient=r5", {"words"}),
        ("Observation?value-markdown=yellow", {"words"}),
        ("Patient/r5/Observation", {"words"}),
    ):
        assert await found(running, query) == ids, query


VALUES = {
    "token": "urn:x|a",
    "string": "ab",
    "date": "ge2020-01",
    "number": "5",
    "quantity": "5|urn:u|mg",
    "uri": "urn:x",
    "reference": "Patient/1",
    "composite": "a$b",
    "special": "1|1|1|km",
}


def one_of_each_kind(metadata):
    """Return (type, name, kind) of parameters that differ in datatypes and sorts of steps.

    All of a version take 10 s; what is left out is written to the same SQL.
    """
    kinds = {}
    for owner, name in metadata.search_parameters:
        if owner in metadata.resource_types:
            parameter = find_parameter(metadata, owner, name)
            places = frozenset(
                (place.datatype, place.raw, tuple(type(step) for step in place.steps))
                for place in parameter.locations
            )
            parts = (owner, name) if parameter.type == "composite" else ()
            kinds[parameter.type, parameter.exists, places, parts] = owner, name, parameter.type
    return list(kinds.values())


async def test_every_kind_of_search_parameter_can_be_asked(version):
    """Not one is a path or a datatype that the search cannot read."""
    wrong = []
    for owner, name, kind in one_of_each_kind(version.box.application.box.metadata):
        answer = await version.box.client.get(
            f"/fhir/{owner}", params={name: VALUES[kind], "_total": "none", "_count": 1}
        )
        allowed = {200, 400} if kind in ("composite", "special") else {200}
        if answer.status_code not in allowed:
            wrong.append((owner, name, kind, answer.status_code, answer.text[-200:]))
    assert wrong == []
