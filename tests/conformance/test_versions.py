"""A box of each FHIR version: its own resources come and go, those of others are refused.

Sources: FHIR DSTU2, STU3, R4B and R5; tests/data/README.md.
"""

from __future__ import annotations

import pytest

from boxruntime.app import create_application
from boxruntime.contract import FHIR_VERSIONS
from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.http.messages import RequestError
from boxruntime.http.server import StartupError
from boxruntime.settings import BoxSettings
from tests.conformance.data import text_of, without_server_meta
from tests.conformance.versions import JSON, NAMES, SKIP, findings, get, only, put

# docs/spec-notes.md, "Examples of other FHIR versions".
TIDIED = {
    ("4.3.0", "ActivityDefinition", "referralPrimaryCareMentalHealth"),
    ("4.3.0", "Evidence", "example-stroke-alteplase-fatalICH"),
    ("4.3.0", "PlanDefinition", "low-suicide-risk-order-set"),
    ("5.0.0", "Evidence", "example-stroke-alteplase-fatalICH"),
}


def test_every_version_but_the_default_is_tried_here():
    assert set(NAMES) == set(list(FHIR_VERSIONS)[1:])


async def test_every_example_round_trips_in_both_formats(version):
    running = version.box
    wrong = []
    for example in version.examples:
        path = f"{example['resourceType']}/{example['id']}"
        key = (version.number, example["resourceType"], example["id"])
        written = await put(running, f"/fhir/{path}", example, **SKIP)
        if written.status_code not in {200, 201}:
            wrong.append((path, written.status_code, written.text))
            continue
        read = without_server_meta(await get(running, f"/fhir/{path}"))
        first = text_of(read)
        sent = without_server_meta(example)
        if example["resourceType"] == "StructureDefinition":
            # Their narratives are tables with styles, which are cleaned.
            read, sent = ({**each, "text": None} for each in (read, sent))
        if key not in TIDIED and text_of(read) != text_of(sent):
            wrong.append((path, "differs at /fhir"))
        again = await put(running, f"/{path}", await get(running, f"/{path}"), **SKIP)
        if again.status_code != 200:
            wrong.append((path, again.text))
        if text_of(without_server_meta(await get(running, f"/fhir/{path}"))) != first:
            wrong.append((path, "differs after root"))
    assert wrong == []


async def test_the_conformance_resource_is_that_of_the_version(version):
    answer = await version.box.client.get("/fhir/metadata")
    statement = answer.json()
    is_dstu2 = version.number == "1.0.2"
    assert statement["resourceType"] == ("Conformance" if is_dstu2 else "CapabilityStatement")
    assert statement["fhirVersion"] == version.number
    # Types of Aidbox's own are in the list, and in no value set of FHIR's.
    of_ours = [each for each in findings(version.box, statement) if each[1].endswith(".type")]
    assert findings(version.box, statement) == of_ours
    assert statement.get("acceptUnknown") == ("no" if version.number < "4" else None)
    (rest,) = statement["rest"]
    fhir_types = version.box.application.box.metadata.resource_types
    assert {each["type"] for each in rest["resource"]} == fhir_types
    patient = next(each for each in rest["resource"] if each["type"] == "Patient")
    assert {"name", "birthdate", "_id"} <= {each["name"] for each in patient["searchParam"]}
    (service,) = rest["security"]["service"]
    is_old = version.number < "4"
    assert service["coding"][0]["system"].startswith(
        "http://hl7.org/fhir/" if is_old else "http://terminology.hl7.org/"
    )
    kind = "application/json+fhir" if is_dstu2 else "application/fhir+json"
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"


async def test_terminology_capabilities_exist_from_r4_on(version):
    answer = await version.box.client.get("/fhir/metadata?mode=terminology")
    assert answer.status_code == (400 if version.number < "4" else 200)
    assert findings(version.box, answer.json()) == []


async def test_base_rows_name_the_module_of_the_version(version):
    (counted,) = await version.box.sql(
        "SELECT count(*) FROM entity WHERE resource->>'type' = 'resource' AND txid = 0 "
        "AND resource->>'module' = $1",
        f"fhir-{version.number}",
    )
    # SearchParameter's Entity is Aidbox's own.
    assert counted["count"] == version.types - 1
    entity = (await version.box.client.get("/Entity/Patient")).json()
    assert entity["module"] == f"fhir-{version.number}"


ELSEWHERE = {
    "1.0.2": ("CapabilityStatement", "MedicationRequest", "CodeSystem"),
    "3.0.2": ("Conformance", "MedicationOrder", "ServiceRequest"),
    "4.3.0": ("Conformance", "Media2", "DeviceUsage", "Transport"),
    "5.0.0": ("Conformance", "Media", "DeviceUseStatement"),
}


async def test_types_of_other_versions_do_not_exist(version):
    for name in ELSEWHERE[version.number]:
        for base in ("/fhir", ""):
            answer = await version.box.client.get(f"{base}/{name}")
            assert answer.status_code == 404, name
            assert findings(version.box, answer.json()) == [] or not base


FOREIGN = {
    "1.0.2": {"generalPractitioner": [{"display": "x"}]},
    "3.0.2": {"careProvider": [{"display": "x"}]},
    "4.3.0": {"animal": {"species": {"text": "dog"}}},
    "5.0.0": {"animal": {"species": {"text": "dog"}}},
}


async def test_elements_of_other_versions_are_refused(version):
    foreign = {"resourceType": "Patient", **FOREIGN[version.number]}
    (name,) = FOREIGN[version.number]
    for base in ("/fhir", ""):
        answer = await version.box.client.post(f"{base}/Patient", json=foreign)
        assert answer.status_code == 422
        (issue,) = answer.json()["issue"]
        assert issue["diagnostics"] == "extra property"
        if base and version.number == "1.0.2":
            assert issue["location"] == [f"/f:Patient/f:{name}"]
        else:
            assert issue["expression"] == [f"Patient.{name}"]


async def test_outcomes_use_only_codes_and_members_of_the_version(version):
    client = version.box.client
    await client.put("/fhir/Patient/gone", json={"resourceType": "Patient"})
    await client.delete("/fhir/Patient/gone")
    invalid = {"resourceType": "Patient", "gender": "x", "contact": [{"name": 1}]}
    answers = [
        await client.get("/fhir/Patient/gone"),
        await client.get("/fhir/Patient/none"),
        await client.post("/fhir/Patient", json=invalid),
        await client.post("/fhir/Patient", content=b"{", headers=JSON),
        await client.get("/fhir/Patient?zzz=1", headers={"prefer": "handling=strict"}),
    ]
    assert [each.status_code for each in answers] == [410, 404, 422, 400, 400]
    for answer in answers:
        assert findings(version.box, answer.json()) == []


async def test_the_default_of_r4_reads_before_and_after(version):
    """`Reference.type` came with R4, `Reference.identifier` with STU3."""
    client = version.box.client
    for member, first in (("type", "4.0.1"), ("identifier", "3.0.2")):
        reference = {"display": "x", member: "Patient" if member == "type" else {"value": "1"}}
        answer = await client.post(
            "/fhir/Basic",
            json={"resourceType": "Basic", "code": {"text": "x"}, "subject": reference},
        )
        assert answer.status_code == (201 if version.number >= first else 422), member
    at_root = {"resourceType": "Basic", "code": {"text": "x"}}
    at_root["subject"] = {"resourceType": "Patient", "display": "x"}
    written = await client.post("/Basic", json=at_root)
    read = (await client.get(f"/fhir/Basic/{written.json()['id']}")).json()
    assert findings(version.box, read) == []


async def test_bundles_are_valid_in_their_version(version):
    client = version.box.client
    patient = {"resourceType": "Patient", "id": f"bundled-{NAMES[version.number]}"}
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {"resource": patient, "request": {"method": "PUT", "url": f"Patient/{patient['id']}"}},
            {"request": {"method": "GET", "url": "Patient/none"}},
        ],
    }
    answer = (await client.post("/fhir", json=batch)).json()
    failed = answer["entry"][1]
    outcome = failed["resource"] if version.number == "1.0.2" else failed["response"]["outcome"]
    assert outcome["resourceType"] == "OperationOutcome"
    pages = [
        answer,
        (await client.get(f"/fhir/Patient/{patient['id']}/_history")).json(),
        (await client.get(f"/fhir/Patient?_id={patient['id']}&zzz=1&_summary=true")).json(),
    ]
    (tag,) = pages[-1]["entry"][0]["resource"]["meta"]["tag"]
    assert ("/v3/ObservationValue" in tag["system"]) is (version.number < "4")
    for page in pages:
        assert findings(version.box, page) == []


@only("5.0.0")
async def test_r5_holds_the_reference_of_a_codeable_reference_to_its_targets(version):
    running = version.box
    await put(running, "/fhir/Patient/target", {"resourceType": "Patient"} | {"id": "target"})
    request = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medication": {"reference": {"reference": "Patient/target"}},
        "subject": {"reference": "Patient/target"},
    }
    refused = await running.client.post("/fhir/MedicationRequest", json=request)
    assert refused.status_code == 422
    (issue,) = refused.json()["issue"]
    assert issue["expression"] == ["MedicationRequest.medication.reference"]
    assert issue["diagnostics"] == "expected reference to Medication"
    stored = await running.client.get("/Attribute/MedicationRequest.medication.reference")
    assert stored.json()["refers"] == ["Medication"]


@only("5.0.0")
async def test_r5_writes_integer64_as_text(version):
    running = version.box
    for size, status in (("9223372036854775807", 201), ("9223372036854775808", 422), (5, 422)):
        document = {
            "resourceType": "DocumentReference",
            "status": "current",
            "content": [{"attachment": {"size": size}}],
        }
        answer = await running.client.post("/fhir/DocumentReference", json=document)
        assert answer.status_code == status, size
    assert answer.json()["issue"][0]["diagnostics"] == "expected type of string"


async def test_comments_are_content_in_dstu2_only(version):
    patient = {"resourceType": "Patient", "fhir_comments": ["x"], "gender": "male"}
    patient["_gender"] = {"fhir_comments": ["y"]}
    answer = await version.box.client.post("/fhir/Patient", json=patient)
    if version.number == "1.0.2":
        assert answer.status_code == 201
        assert answer.json()["_gender"] == patient["_gender"]
    else:
        assert answer.status_code == 422


async def test_a_binary_is_its_bytes_whatever_element_holds_them(version):
    client = version.box.client
    picture = b"\x89PNG\r\n\x1a\n"
    written = await client.put(
        "/fhir/Binary/picture", content=picture, headers={"content-type": "image/png"}
    )
    assert written.status_code == 201, written.text
    read = await client.get("/fhir/Binary/picture", headers={"accept": "*/*"})
    assert (read.content, read.headers["content-type"]) == (picture, "image/png")
    resource = await get(version.box, "/fhir/Binary/picture")
    assert ("data" in resource) is (version.number >= "4")
    assert findings(version.box, resource) == []


async def test_the_version_of_a_database_cannot_be_changed(version, tmp_path):
    environment = {
        **version.box.environment,
        "AIDBOX_FHIR_VERSION": "4.0.1",
        "AIDBOX_LOGS": str(tmp_path / "box.log"),
    }
    application = create_application(BoxSettings.from_environment(environment))
    try:
        with pytest.raises(StartupError, match=f"holds a box of FHIR {version.number}"):
            await application.startup()
    finally:
        await application.database.close()
        application.log.close()


@only("1.0.2")
async def test_profiles_of_dstu2_are_not_converted(version):
    profile = {
        "resourceType": "StructureDefinition",
        "url": "urn:profile",
        "name": "Profile",
        "status": "draft",
        "kind": "resource",
        "constrainedType": "Patient",
        "abstract": False,
        "base": "http://hl7.org/fhir/StructureDefinition/Patient",
        "snapshot": {"element": [{"path": "Patient"}, {"path": "Patient.name", "min": 1}]},
    }
    refused = await version.box.client.post("/fhir/StructureDefinition/$convert", json=profile)
    assert refused.status_code == 422
    assert findings(version.box, refused.json()) == []


async def test_validate_finds_what_is_wrong_in_every_version(version):
    client = version.box.client
    patient = {
        "resourceType": "Patient",
        "gender": "x",
        "_birthDate": {},
        "contact": [{"gender": "male"}],
    }
    answer = await client.post("/fhir/Patient/$validate", json=patient)
    assert answer.status_code == 200
    outcome = answer.json()
    assert findings(version.box, outcome) == []
    is_dstu2 = version.number == "1.0.2"
    found = {
        place
        for issue in outcome["issue"]
        if issue["severity"] in {"fatal", "error"}
        for place in issue["location" if is_dstu2 else "expression"]
    }
    if is_dstu2:  # its invariants are XPath only
        assert found == {"/f:Patient/f:gender", "/f:Patient/f:birthDate"}
    else:
        assert found == {"Patient.gender", "Patient.birthDate", "Patient.contact[0]"}
    right = (await client.post("/fhir/$validate", json={"resourceType": "Patient"})).json()
    assert right["id"] == "allok"
    assert findings(version.box, right) == []


async def test_validate_answers_for_every_example_and_for_what_is_left_of_it(version):
    for example in version.examples[::5]:
        spoiled = {key: [value] for key, value in example.items()}
        spoiled["resourceType"] = example["resourceType"]
        for document in (example, spoiled):
            for base in ("/fhir", ""):
                path = f"{base}/{example['resourceType']}/$validate"
                body = encode_json(document)
                answer = await version.box.client.post(path, content=body, headers=JSON)
                assert answer.status_code == 200, (path, answer.text)
                if base:
                    assert findings(version.box, answer.json()) == []


async def test_types_and_elements_of_ones_own_work_in_every_version(version):
    client = version.box.client
    attribute = {
        "resource": {"resourceType": "Entity", "id": "Patient"},
        "path": ["nick"],
        "type": {"resourceType": "Entity", "id": "string"},
        "extensionUrl": "urn:nick",
    }
    paths = {
        "/Entity/Thing": {"type": "resource", "isOpen": True},
        "/Attribute/Patient.nick": attribute,
    }
    try:
        for path, body in paths.items():
            answer = await client.put(path, json=body)
            assert answer.status_code == 201, answer.text
        assert (await client.put("/Thing/t", json={"color": "red"})).status_code == 201
        written = await client.put("/Patient/nick", json={"nick": "N"})
        assert written.status_code == 201, written.text
        read = await get(version.box, "/fhir/Patient/nick")
        assert read["extension"] == [{"url": "urn:nick", "valueString": "N"}]
        again = await put(version.box, "/fhir/Patient/nick", read)
        assert again.status_code == 200, again.text
    finally:
        for path in ("/Patient/nick", "/Thing/t", *reversed(paths)):
            await client.delete(path)


async def test_what_cannot_be_taken_in_is_refused_in_the_words_of_the_version(version):
    refused = version.box.application.refuse(b"/fhir/Patient", RequestError(400, "No request."))
    assert findings(version.box, decode_json(refused.body)) == []
    kind = "application/json+fhir" if version.number == "1.0.2" else "application/fhir+json"
    assert (b"content-type", f"{kind}; charset=utf-8".encode()) in refused.headers


async def test_writes_that_ask_for_an_outcome_alone_get_it_where_the_version_has_it(version):
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {
                "resource": {"resourceType": "Patient"},
                "request": {"method": "POST", "url": "Patient"},
            }
        ],
    }
    headers = {"prefer": "return=OperationOutcome"}
    answer = (await version.box.client.post("/fhir", json=batch, headers=headers)).json()
    (entry,) = answer["entry"]
    outcome = entry["resource"] if version.number == "1.0.2" else entry["response"]["outcome"]
    assert outcome["resourceType"] == "OperationOutcome"
    assert findings(version.box, answer) == []
