"""$validate and $json-schema over HTTP. Source: core specification, "$validate"."""

from __future__ import annotations

import asyncio

import jsonschema_rs
import pytest

ALL_OK = {"severity": "information", "code": "informational", "diagnostics": "all ok"}
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
TEXT = {"status": "generated", "div": DIV}
PATIENT = {"resourceType": "Patient", "text": TEXT}
BASE = "http://hl7.org/fhir/StructureDefinition/"


def parameters(**values):
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": name, "resource": value}
            if name == "resource"
            else {"name": name, "valueUri" if name == "profile" else "valueCode": value}
            for name, value in values.items()
        ],
    }


async def ask(box, path, body=None, status=200, **options):
    answer = await box.client.post(path, json=body, **options)
    assert answer.status_code == status, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return outcome


def places(outcome):
    return [
        place
        for issue in outcome["issue"]
        if issue["severity"] in {"fatal", "error"}
        for place in issue.get("expression", [])
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/fhir/Patient/$validate",
        "/fhir/$validate",
        "/fhir/Patient/%24validate",
        "/fhir/%24validate",
    ],
)
async def test_a_valid_resource_is_all_ok(box, path):
    outcome = await ask(box, path, PATIENT)
    assert outcome["id"] == "allok"
    assert outcome["issue"] == [ALL_OK]
    assert outcome.keys() == {"resourceType", "id", "text", "issue"}


async def test_the_root_speaks_aidbox_format_and_has_errors_and_warnings(box):
    outcome = await ask(box, "/Observation/$validate", {"value": {"string": "x"}})
    assert outcome["id"] == "validationfail"
    assert {"path": [], "message": "Property status is required"} in outcome["errors"]
    assert outcome["warnings"] == []
    valid = {"status": "final", "code": {"text": "c"}, "value": {"string": "x"}}
    assert (await ask(box, "/Observation/$validate", valid))["id"] == "allok"
    nested = await ask(box, "/Patient/$validate", {"name": [{"given": [5]}]})
    assert nested["issue"][0]["expression"] == ["Patient.name.0.given.0"]


async def test_nothing_is_written(box):
    body = {**PATIENT, "id": "validated-only"}
    assert (await ask(box, "/fhir/Patient/$validate", body))["id"] == "allok"
    assert (await box.client.get("/fhir/Patient/validated-only")).status_code == 404


async def test_all_findings_come_at_once_in_the_same_order_with_their_places(box):
    body = {
        "resourceType": "Patient",
        "gender": "x",
        "contact": [{"name": {"family": 5}, "telecom": {}}],
        "_name": [{}],
        "deceasedBoolean": "true",
        "nickname": "n",
    }
    outcome = await ask(box, "/fhir/Patient/$validate", body)
    assert outcome["id"] == "validationfail"
    assert places(outcome) == [
        "Patient.name",
        "Patient.contact[0].name.family",
        "Patient.contact[0].telecom",
        "Patient.deceased.ofType(boolean)",
        "Patient.gender",
        "Patient.nickname",
    ]
    again = await ask(box, "/fhir/Patient/$validate", dict(reversed(body.items())))
    assert again == outcome


async def test_parameters_are_always_the_input(box):
    wrong = {"resourceType": "Patient", "nickname": "n"}
    for path in ("/fhir/Patient/$validate", "/fhir/$validate"):
        outcome = await ask(box, path, parameters(mode="create", resource=wrong))
        assert places(outcome) == ["Patient.nickname"]
    within = {"resourceType": "Parameters", "parameter": [{"valueString": "x"}]}
    for path in ("/fhir/Parameters/$validate", "/fhir/$validate"):
        outcome = await ask(box, path, parameters(resource=within))
        assert places(outcome) == ["Parameters.parameter[0]"]
    aidbox = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "mode", "value": {"code": "delete"}},
            {"name": "resource", "resource": {"resourceType": "Patient", "id": "nobody-there"}},
        ],
    }
    assert (await ask(box, "/Patient/$validate", aidbox))["issue"][0]["code"] == "not-found"


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/fhir/Patient/$validate", b"{", 400),
        ("/fhir/Patient/$validate", b"[]", 400),
        ("/fhir/Patient/$validate", b"", 400),
        ("/fhir/Patient/$validate", b'{"resourceType": "Patient", // no\n "id": "x"}', 400),
        ("/fhir/Patient/$validate", b'{"resourceType":"Parameters"}', 400),
        ("/fhir/Patient/$validate", b'{"resourceType":"Parameters","parameter":{}}', 400),
        (
            "/fhir/Patient/$validate",
            b'{"resourceType":"Parameters","parameter":[{"name":"resource","resource":5}]}',
            400,
        ),
        ("/fhir/$validate", b'{"id":"x"}', 400),
        ("/fhir/$validate", b'{"resourceType":5}', 400),
        ("/fhir/$validate", b'{"resourceType":"Nonsense"}', 404),
        ("/fhir/Nonsense/$validate", b'{"resourceType":"Nonsense"}', 404),
        ("/$validate", b'{"resourceType":"Patient"}', 404),
        ("/fhir/Patient/nobody-there/$validate", b"", 404),
        ("/fhir/Patient/$validated", b"{}", 404),
    ],
)
async def test_without_a_resource_there_is_nothing_to_validate(box, path, content, status):
    answer = await box.client.post(
        path, content=content, headers={"content-type": "application/fhir+json"}
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_another_type_than_that_of_the_url_is_a_finding(box):
    body = {"resourceType": "Observation", "status": "final"}
    assert places(await ask(box, "/fhir/Patient/$validate", body)) == ["Patient.resourceType"]


async def test_an_instance_is_validated_as_sent_or_as_stored(box):
    await box.client.put("/fhir/Patient/stored", json={**PATIENT, "id": "stored"})
    path = "/fhir/Patient/stored/$validate"
    assert (await ask(box, path, {**PATIENT, "id": "stored"}))["id"] == "allok"
    assert places(await ask(box, path, {**PATIENT, "id": "other"})) == ["Patient.id"]
    assert (await ask(box, path))["id"] == "allok"
    await box.sql('UPDATE patient SET resource = \'{"nickname": "n"}\' WHERE id = $1', "stored")
    assert places(await ask(box, path)) == ["Patient.nickname"]
    assert (await ask(box, "/Patient/stored/$validate"))["errors"][0]["path"] == ["nickname"]


async def test_the_mode_delete_only_asks_whether_it_is_there(box):
    await box.client.put("/fhir/Patient/deletable", json={"resourceType": "Patient"})
    for path, body in (
        ("/fhir/Patient/deletable/$validate?mode=delete", None),
        ("/fhir/Patient/deletable/$validate", parameters(mode="delete")),
        ("/fhir/Patient/$validate?mode=delete", {"resourceType": "Patient", "id": "deletable"}),
    ):
        assert (await ask(box, path, body))["id"] == "allok"
    for path, body in (
        ("/fhir/Patient/gone-by/$validate?mode=delete", None),
        ("/fhir/Patient/$validate?mode=delete", {"resourceType": "Patient", "id": "gone-by"}),
    ):
        outcome = await ask(box, path, body)
        assert (outcome["id"], outcome["issue"][0]["code"]) == ("validationfail", "not-found")
    assert (await box.client.get("/fhir/Patient/deletable")).status_code == 200


async def test_the_mode_update_needs_an_id_and_unknown_modes_are_refused(box):
    assert places(await ask(box, "/fhir/Patient/$validate?mode=update", PATIENT)) == ["Patient"]
    with_id = {**PATIENT, "id": "u"}
    assert (await ask(box, "/fhir/Patient/$validate?mode=update", with_id))["id"] == "allok"
    outcome = await ask(box, "/fhir/Patient/$validate?mode=bogus", PATIENT)
    assert outcome["issue"][0]["code"] == "not-supported"


async def test_a_named_profile_without_rules_is_an_error_a_stated_one_a_warning(box):
    for outcome in (
        await ask(box, "/fhir/Patient/$validate?profile=http://x.org/p", PATIENT),
        await ask(box, "/fhir/$validate", parameters(profile="http://x.org/p", resource=PATIENT)),
        await ask(box, f"/fhir/Patient/$validate?profile={BASE}Observation", PATIENT),
    ):
        (issue,) = outcome["issue"]
        assert (outcome["id"], issue["code"]) == ("validationfail", "not-supported")
    for known in (f"{BASE}Patient", f"{BASE}Patient|4.0.1", f"{BASE}DomainResource"):
        assert (await ask(box, f"/fhir/$validate?profile={known}", PATIENT))["id"] == "allok"
    stated = {**PATIENT, "meta": {"profile": [f"{BASE}Patient", "http://x.org/p"]}}
    outcome = await ask(box, "/fhir/Patient/$validate", stated)
    warning, ok = outcome["issue"]
    assert (outcome["id"], ok) == ("allok", ALL_OK)
    assert (warning["severity"], warning["expression"]) == ("warning", ["Patient.meta.profile[1]"])


async def test_a_vital_sign_is_held_to_a_profile_that_is_asked_for(box):
    observation = {
        "resourceType": "Observation",
        "text": TEXT,
        "status": "final",
        "code": {"text": "warm"},
        "subject": {"display": "D"},
        "valueString": "x",
    }
    path = "/fhir/Observation/$validate"
    assert (await ask(box, path, observation))["id"] == "allok"
    outcome = await ask(box, f"{path}?profile={BASE}bodytemp", observation)
    assert set(places(outcome)) == {"Observation", "Observation.code"}
    outcome = await ask(box, f"/Observation/$validate?profile={BASE}bodytemp", observation)
    assert outcome["issue"][0]["code"] == "not-supported"


async def test_profiles_of_the_box_hold_when_bound_stated_or_asked_for(own_box):
    family = {"required": ["name"], "properties": {"name": {"items": {"required": ["family"]}}}}
    for id_, profile in {
        "asked-by-url": {"url": "http://x.org/named", "schema": family},
        "always": {"schema": {"required": ["gender"]}},
    }.items():
        bound = {"bind": {"resourceType": "Entity", "id": "Patient"}, **profile}
        assert (await own_box.client.put(f"/AidboxProfile/{id_}", json=bound)).status_code == 201
    nameless = {**PATIENT, "name": [{"given": ["A"]}], "gender": "other"}
    path = "/fhir/Patient/$validate"
    assert (await ask(own_box, path, nameless))["id"] == "allok"
    for canonical in ("http://x.org/named", "asked-by-url"):
        outcome = await ask(own_box, f"{path}?profile={canonical}", nameless)
        assert places(outcome) == ["Patient.name[0]"]
        outcome = await ask(own_box, f"/Patient/$validate?profile={canonical}", nameless)
        (error,) = outcome["errors"]
        assert error["profile"] == {"id": "asked-by-url", "resourceType": "AidboxProfile"}
    stated = {**nameless, "meta": {"profile": ["http://x.org/named"]}}
    outcome = await ask(own_box, path, stated)
    assert places(outcome) == ["Patient.name[0]"]
    assert all(issue["severity"] != "warning" for issue in outcome["issue"])
    outcome = await ask(own_box, path, {**PATIENT, "maritalStatus": "x"})
    assert places(outcome) == ["Patient", "Patient.maritalStatus"], "both at once"
    asked = await ask(own_box, "/fhir/Observation/$validate?profile=asked-by-url",
                      {"resourceType": "Observation", "status": "final", "code": {"text": "t"}})  # fmt: skip
    assert asked["id"] == "validationfail"


async def test_an_entry_of_a_batch_validates(box):
    wrong = {"resourceType": "Patient", "nickname": "n"}
    entries = [
        {"request": {"method": "POST", "url": url}, "resource": wrong}
        for url in ("Patient/$validate", "$validate", "Patient/x/$validate")
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = await box.client.post("/fhir", json=bundle)
    assert answer.status_code == 200
    for item in answer.json()["entry"]:
        assert item["response"]["status"].startswith("200"), item
        assert places(item["resource"]) == ["Patient.nickname"]


async def test_yaml_is_validated_too(box):
    text = "resourceType: Patient\nmultipleBirthInteger: 1.0\nbirthDate: 2000-02-30\n"
    answer = await box.client.post(
        "/fhir/$validate", content=text.encode(), headers={"content-type": "text/yaml"}
    )
    assert places(answer.json()) == [
        "Patient.birthDate",
        "Patient.multipleBirth.ofType(integer)",
    ]


async def test_validate_is_stricter_than_a_write(box):
    booked = {
        "resourceType": "Appointment",
        "id": "stricter_1",
        "text": TEXT,
        "status": "booked",
        "participant": [{"actor": {"display": "D"}, "status": "accepted"}],
    }
    assert (await box.client.put("/fhir/Appointment/stricter_1", json=booked)).status_code == 201
    outcome = await ask(box, "/fhir/Appointment/$validate", booked)
    found = {(i["severity"], i["expression"][0], i["diagnostics"]) for i in outcome["issue"]}
    assert ("fatal", "Appointment.id", "expected type of id") in found
    assert any(
        severity == "error" and place == "Appointment" and text.startswith("app-3: ")
        for severity, place, text in found
    )


async def test_members_that_stand_twice_are_found_in_the_resource_only(box):
    content = (
        b'{"resourceType":"Parameters","id":"a","id":"b","parameter":[{"name":"resource","resource":'
        b'{"resourceType":"Patient","name":[{"family":"A","family":"B"}]}}]}'
    )
    answer = await box.client.post(
        "/fhir/$validate", content=content, headers={"content-type": "application/json"}
    )
    assert places(answer.json()) == ["Patient.name[0].family"]


async def test_custom_metadata_counts(own_box):
    client = own_box.client
    attribute = {
        "resource": {"resourceType": "Entity", "id": "Patient"},
        "path": ["tribe"],
        "type": {"resourceType": "Entity", "id": "code"},
        "enum": ["north", "south"],
        "extensionUrl": "http://x.org/tribe",
    }
    assert (await client.put("/Attribute/Patient.tribe", json=attribute)).status_code < 300
    good = {**PATIENT, "extension": [{"url": "http://x.org/tribe", "valueCode": "north"}]}
    assert (await ask(own_box, "/fhir/Patient/$validate", good))["id"] == "allok"
    bad = {**PATIENT, "extension": [{"url": "http://x.org/tribe", "valueCode": "west"}]}
    assert places(await ask(own_box, "/fhir/Patient/$validate", bad)) == [
        "Patient.extension.where(url = 'http://x.org/tribe').value"
    ]


async def test_an_outcome_quotes_no_value(box):
    secret = "Zanzibar-secret"
    body = {"resourceType": "Patient", "gender": secret, "birthDate": secret, "id": secret + " "}
    answer = await box.client.post("/fhir/Patient/$validate", json=body)
    assert secret not in answer.text
    assert secret not in box.log.read_text()


async def test_hostile_bodies_are_findings_not_failures(box):
    deep = b'{"resourceType":"Patient","extension":' + b'[{"url":"u","extension":' * 400
    deep += b"[]" + b"}]" * 400 + b"}"
    entities = (
        '<!DOCTYPE d [<!ENTITY a "&b;&b;">]><div xmlns="http://www.w3.org/1999/xhtml">&a;</div>'
    )
    huge = {**PATIENT, "multipleBirthInteger": 10**400}
    for body in (
        {**PATIENT, "text": {"status": "generated", "div": entities}},
        {**PATIENT, "contained": [[], None, 5, {"id": 5}]},
        {**PATIENT, "extension": [{"url": {}}, {"url": "|"}, 5]},
        {"resourceType": "Bundle", "type": "document", "entry": [5, {"resource": []}, {}]},
        {"resourceType": "ValueSet", "status": "draft", "compose": {"include": {"system": 5}}},
        {"resourceType": "Questionnaire", "status": "draft", "item": [{"item": [5]}]},
        huge,
    ):
        assert (await ask(box, "/fhir/$validate", body))["id"] == "validationfail"
    answer = await box.client.post(
        "/fhir/$validate", content=deep, headers={"content-type": "application/json"}
    )
    assert answer.status_code in {200, 400, 422}


async def test_a_large_document_does_not_keep_others_waiting(box):
    entries = [
        {
            "fullUrl": f"http://x.org/Patient/{number}",
            "resource": {**PATIENT, "id": str(number), "name": [{"family": "x" * 40}]},
        }
        for number in range(1500)
    ]
    entries[-1]["resource"]["gender"] = "x"
    large = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    asked = asyncio.create_task(ask(box, "/fhir/$validate", large))
    meanwhile = 0
    while not asked.done():
        assert (await box.client.get("/health")).status_code == 200
        meanwhile += 1
    assert places(await asked) == ["Bundle.entry[1499].resource.gender"]
    assert meanwhile > 3


async def test_json_schema_serves_what_is_enforced(own_box):
    client = own_box.client
    whole = (await client.get("/$json-schema")).json()
    assert whole["path"] == []
    assert {"Patient", "HumanName", "Entity", "string"} <= whole["schema"]["definitions"].keys()
    found = (await client.get("/$json-schema?path=definitions.Patient")).json()
    assert found["path"] == ["definitions", "Patient"]
    assert found["schema"] == whole["schema"]["definitions"]["Patient"]
    deep = await client.get("/$json-schema?path=definitions.Patient.properties.gender.enum.0")
    assert deep.json()["schema"] == "female"
    validator = jsonschema_rs.Draft7Validator({"$ref": "#/definitions/Patient", **whole["schema"]})
    assert validator.is_valid({"resourceType": "Patient", "gender": "female"})
    assert not validator.is_valid({"resourceType": "Patient", "gender": "x"})
    for path in ("nothing", "definitions.Nothing", "definitions.Patient.x", "definitions.fhir:x",
                 "definitions.Patient.type.x", "definitions..", "definitions.Patient.required.9"):  # fmt: skip
        answer = await client.get(f"/%24json-schema?path={path}")
        assert answer.status_code == 404, path
        assert answer.json()["id"] == "not-found"
    entity = {"type": "resource", "isOpen": True}
    await client.put("/Entity/SchemaNote", json=entity)
    fresh = (await client.get("/$json-schema?path=definitions.SchemaNote")).json()
    assert fresh["schema"]["properties"]["resourceType"]["constant"] == "SchemaNote"
    assert (await client.get("/fhir/$json-schema")).status_code == 404
