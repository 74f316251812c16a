"""StructureDefinition/$convert over HTTP, and definitions that are enforced once they are stored.

Source: docs/profiles.md.
"""

from __future__ import annotations

import pytest

from tests.integration.runtime.making import BASES, batch, entry, fresh, outcome, transaction
from tests.unit.fhir.profiles.making import definitions, element, profile
from tests.unit.fhir.profiles.test_us_core import PATIENT

CONVERT = "/StructureDefinition/$convert"


def bundle(*resources):
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": resource} for resource in resources],
    }


def parameters(*resources, **values):
    return {
        "resourceType": "Parameters",
        "parameter": [
            *({"name": "definition", "resource": resource} for resource in resources),
            *({"name": name, **value} for name, value in values.items()),
        ],
    }


def of_type(answer, name):
    found = [one["resource"] for one in answer.json()["entry"]]
    return [one for one in found if one["resourceType"] == name]


def gendered(**more):
    """A profile of its own that wants a gender."""
    return profile("Patient", element("Patient.gender", min=1), **{"id": fresh(), **more})


def using(definition, **members):
    return {"resourceType": "Patient", "meta": {"profile": [definition["url"]]}, **members}


async def test_a_conversion_answers_what_it_would_make_and_stores_nothing(own_box):
    definition = gendered(version="1.0", title="Gendered")
    answer = await own_box.client.post(f"/fhir{CONVERT}", json=definition)
    assert answer.status_code == 200, answer.text
    (made,) = of_type(answer, "AidboxProfile")
    assert made["id"] == definition["id"]
    assert made["url"] == definition["url"]
    assert made["version"] == "1.0"
    assert made["bind"] == {"reference": "Entity/Patient"}
    assert made["schema"]["required"] == ["gender"]
    assert (await own_box.client.get("/AidboxProfile")).json()["total"] == 0
    ok = await own_box.client.post("/fhir/Patient", json=using(definition))
    assert ok.status_code == 201


@pytest.mark.parametrize("way", ["query", "parameter"])
async def test_saved_rules_hold_from_the_next_request_on(own_box, way):
    definition = gendered()
    if way == "query":
        answer = await own_box.client.post(f"/fhir{CONVERT}?save=true", json=definition)
    else:
        body = parameters(definition, save={"valueBoolean": True})
        answer = await own_box.client.post(f"/fhir{CONVERT}", json=body)
    assert answer.status_code == 200, answer.text
    assert of_type(answer, "AidboxProfile")[0]["meta"]["versionId"]
    refused = outcome(await own_box.client.post("/fhir/Patient", json=using(definition)), 422)
    assert refused["issue"][0]["diagnostics"] == "Property gender is required"
    assert (await own_box.client.post("/fhir/Patient", json={})).status_code == 201
    again = await own_box.client.post(f"/fhir{CONVERT}?save=true", json=definition)
    first, second = (of_type(one, "AidboxProfile")[0]["meta"] for one in (answer, again))
    assert first == second  # what is there already is left alone


async def test_the_capability_statement_names_them(own_box):
    definition = gendered()
    await own_box.client.post(f"/fhir{CONVERT}?save=true", json=definition)
    statement = (await own_box.client.get("/fhir/metadata")).json()
    supported = {
        one["type"]: one["supportedProfile"]
        for one in statement["rest"][0]["resource"]
        if "supportedProfile" in one
    }
    assert supported == {"Patient": [definition["url"]]}


async def test_a_whole_guide_at_once(own_box):
    guide = bundle(*definitions("definitions"), *definitions("vital-signs"))
    answer = await own_box.client.post(f"/fhir{CONVERT}?save=true", json=guide)
    assert answer.status_code == 200, answer.text
    assert len(of_type(answer, "AidboxProfile")) == 29
    ids = {one["id"] for one in of_type(answer, "Attribute")}
    assert {"Patient.race", "Patient.race.ombCategory", "ContactPoint.usCoreDirect"} <= ids
    (warnings,) = of_type(answer, "OperationOutcome")
    assert {issue["severity"] for issue in warnings["issue"]} == {"warning"}
    made = await own_box.client.post("/fhir/Patient", json=PATIENT)
    assert made.status_code == 201, made.text
    id_ = made.json()["id"]
    stored = (await own_box.client.get(f"/Patient/{id_}")).json()
    assert stored["race"]["text"] == "Mixed"
    back = (await own_box.client.get(f"/fhir/Patient/{id_}")).json()
    assert back["extension"] == PATIENT["extension"]
    assert back["meta"]["profile"] == PATIENT["meta"]["profile"]
    wrong = {**PATIENT, "gender": "x", "identifier": []}
    refused = outcome(await own_box.client.post("/fhir/Patient", json=wrong), 422)
    places = {(issue["expression"][0], issue["diagnostics"]) for issue in refused["issue"]}
    assert ("Patient", "Property identifier is required") in places
    assert any(place == "Patient.gender" for place, _ in places)


async def test_what_a_definition_uses_may_be_in_the_box(own_box):
    base = gendered()
    assert (await own_box.client.post("/fhir/StructureDefinition", json=base)).status_code == 201
    derived = profile(
        "Patient", element("Patient.birthDate", min=1), id=fresh(), baseDefinition=base["url"]
    )
    codes = {
        "resourceType": "ValueSet", "status": "active", "url": f"http://e.x/{fresh()}",
        "compose": {"include": [{"system": "http://e.x/s", "concept": [{"code": "a"}]}]},
    }  # fmt: skip
    assert (await own_box.client.post("/fhir/ValueSet", json=codes)).status_code == 201
    derived["differential"]["element"].append(
        element("Patient.maritalStatus", binding={"strength": "required", "valueSet": codes["url"]})
    )
    answer = await own_box.client.post(f"/fhir{CONVERT}?save=true", json=derived)
    assert answer.status_code == 200, answer.text
    married = {"coding": [{"system": "http://e.x/s", "code": "b"}]}
    refused = await own_box.client.post("/fhir/Patient", json=using(derived, maritalStatus=married))
    assert {issue["diagnostics"] for issue in outcome(refused, 422)["issue"]} == {
        "Property gender is required",
        "Property birthDate is required",
        f"expected a code of {codes['url']}",
    }


@BASES
async def test_definitions_of_the_box_are_named_by_their_url(own_box, base):
    definition = gendered()
    await own_box.client.post("/fhir/StructureDefinition", json=definition)
    url = {"valueUri": definition["url"]} if base else {"value": {"uri": definition["url"]}}
    body = {"resourceType": "Parameters", "parameter": [{"name": "url", **url}]}
    answer = await own_box.client.post(f"{base}{CONVERT}", json=body)
    assert answer.status_code == 200, answer.text
    assert of_type(answer, "AidboxProfile")[0]["url"] == definition["url"]
    unknown = parameters(url={"valueUri": "http://e.x/unknown"})
    outcome(await own_box.client.post(f"/fhir{CONVERT}", json=unknown), 422)


async def test_at_root_definitions_are_in_aidbox_format(own_box):
    definition = gendered()
    status = {"id": "Patient.active", "path": "Patient.active", "fixed": {"boolean": True}}
    definition["differential"]["element"].append(status)
    answer = await own_box.client.post(f"{CONVERT}?save=true", json=definition)
    assert answer.status_code == 200, answer.text
    assert of_type(answer, "AidboxProfile")[0]["bind"] == {
        "resourceType": "Entity",
        "id": "Patient",
    }
    refused = await own_box.client.post(
        "/Patient", json=using(definition, gender="male", active=False)
    )
    assert outcome(refused, 422)["errors"] == [
        {
            "path": ["active"],
            "message": "expected one of True",
            "profile": {"resourceType": "AidboxProfile", "id": definition["id"]},
        }
    ]


async def test_what_is_empty_in_a_definition_says_nothing(box):
    definition = gendered()
    definition["differential"]["element"].append(
        element("Patient.language", fixedCode=None, slicing={}, type=[])
    )
    answer = await box.client.post(f"/fhir{CONVERT}", json=definition)
    assert answer.status_code == 200, answer.text
    assert of_type(answer, "AidboxProfile")[0]["schema"]["required"] == ["gender"]


BAD = [
    ({"resourceType": "Patient"}, 400),
    ([], 400),
    ({}, 400),
    (bundle(), 422),
    (bundle({"resourceType": "Patient"}), 422),
    ({"resourceType": "StructureDefinition"}, 422),
    ({**gendered(), "differential": {"element": [{"id": "x"}]}}, 422),
    ({**gendered(), "differential": {"element": "x"}}, 422),
    ({**gendered(), "derivation": "specialization"}, 422),
    ({**gendered(), "type": "Nowhere"}, 422),
    ({**gendered(), "baseDefinition": "http://e.x/unknown"}, 422),
    ({**gendered(), "baseDefinition": gendered(id="self")["url"], "url": "http://e.x/u"}, 422),
    ({"resourceType": "Parameters", "parameter": [{"name": "url"}]}, 422),
    ({"resourceType": "Bundle", "entry": {"resource": 5}}, 422),
]


@pytest.mark.parametrize("number", range(len(BAD)))
@BASES
async def test_what_cannot_be_converted_is_said(box, base, number):
    body, status = BAD[number]
    outcome(await box.client.post(f"{base}{CONVERT}?save=true", json=body), status)
    outcome(await box.client.post(f"{base}{CONVERT}?save=maybe", json=gendered()), 400)


async def test_definitions_that_lead_in_a_circle_are_refused(box):
    first, second = gendered(), gendered()
    first["baseDefinition"], second["baseDefinition"] = second["url"], first["url"]
    refused = outcome(await box.client.post(f"/fhir{CONVERT}", json=bundle(first, second)), 422)
    assert "derived from itself" in refused["issue"][0]["diagnostics"]


async def test_rows_by_sql_that_cannot_be_read_are_said(box):
    url = f"http://e.x/{fresh()}"
    await box.sql(
        "INSERT INTO structuredefinition (id, txid, status, resource) VALUES ($1, 1, 'created', "
        "jsonb_build_object('url', $2::text, 'derivation', 'constraint', 'type', 'Patient', "
        "'snapshot', 5, 'differential', '{\"element\": [{\"path\": 5}, 7]}'::jsonb))",
        fresh(),
        url,
    )
    outcome(await box.client.post(f"/fhir{CONVERT}", json=parameters(url={"valueUri": url})), 422)
    derived = {**gendered(), "baseDefinition": url}
    outcome(await box.client.post(f"/fhir{CONVERT}", json=derived), 422)


# Who may


async def test_saving_needs_the_right_to_govern_the_box(own_box):
    """A client that may do everything but govern gets the conversion, and cannot save it."""
    secret = "s3cret"
    await own_box.client.put("/Client/reader", json={"secret": secret, "grant_types": ["basic"]})
    links = [
        {"resourceType": "Operation", "id": "FhirConvertProfiles"},
        {"resourceType": "Operation", "id": "FhirCreate"},
    ]
    await own_box.client.put(
        "/AccessPolicy/reader", json={"engine": "allow", "link": links, "description": "x"}
    )
    reader = own_box.client_of(("reader", secret))
    assert (await reader.post(f"/fhir{CONVERT}", json=gendered())).status_code == 200
    outcome(await reader.post(f"/fhir{CONVERT}?save=true", json=gendered()), 403)
    assert (await own_box.client.get("/AidboxProfile")).json()["total"] == 0
    await own_box.client.delete("/AccessPolicy/reader")


# The setting


@pytest.fixture
async def enforcing(own_box, make_box):
    async with make_box(BOX_FHIR_ENFORCE_PROFILES="true") as box:
        yield box


async def test_a_stored_definition_is_not_enforced_by_default(own_box):
    definition = gendered()
    await own_box.client.post("/fhir/StructureDefinition", json=definition)
    ok = await own_box.client.post("/fhir/Patient", json=using(definition))
    assert ok.status_code == 201


async def test_with_the_setting_it_is_until_it_is_deleted(enforcing):
    definition = gendered()
    path = f"/fhir/StructureDefinition/{definition['id']}"
    assert (await enforcing.client.put(path, json=definition)).status_code == 201
    outcome(await enforcing.client.post("/fhir/Patient", json=using(definition)), 422)
    relaxed = {**definition, "differential": {"element": [{"id": "Patient", "path": "Patient"}]}}
    assert (await enforcing.client.put(path, json=relaxed)).status_code == 200
    ok = await enforcing.client.post("/fhir/Patient", json=using(definition))
    assert ok.status_code == 201
    assert (await enforcing.client.put(path, json=definition)).status_code == 200
    outcome(await enforcing.client.post("/fhir/Patient", json=using(definition)), 422)
    assert (await enforcing.client.delete(path)).status_code == 200
    ok = await enforcing.client.post("/fhir/Patient", json=using(definition))
    assert ok.status_code == 201


async def test_the_order_of_a_transaction_does_not_matter(enforcing):
    """A profile before the extension that it uses; their uses only after both."""
    url = f"http://e.x/{fresh()}"
    extension = profile(
        "Extension",
        element("Extension.url", fixedUri=url),
        element("Extension.value[x]", min=1, type=[{"code": "string"}]),
        id=fresh(),
        url=url,
        kind="complex-type",
    )
    extension["differential"]["element"][0]["max"] = "1"
    use = element(
        "Patient.extension:tribe", slice="tribe", min=1,
        type=[{"code": "Extension", "profile": [url]}],
    )  # fmt: skip
    definition = profile("Patient", use, id=fresh())
    bundle = transaction(
        *(entry("POST", "StructureDefinition", one) for one in (definition, extension))
    )
    answer = await enforcing.client.post("/fhir", json=bundle)
    assert answer.status_code == 200, answer.text
    body = using(definition, extension=[{"url": url, "valueString": "Oaks"}])
    made = await enforcing.client.post("/fhir/Patient", json=body)
    assert made.status_code == 201, made.text
    stored = (await enforcing.client.get(f"/Patient/{made.json()['id']}")).json()
    assert stored["tribe"] == "Oaks"
    outcome(await enforcing.client.post("/fhir/Patient", json=using(definition)), 422)


async def test_a_definition_that_cannot_be_converted_is_not_stored_then(enforcing):
    definition = gendered(baseDefinition="http://e.x/unknown")
    path = f"/fhir/StructureDefinition/{definition['id']}"
    outcome(await enforcing.client.put(path, json=definition), 422)
    assert (await enforcing.client.get(path)).status_code == 404
    answer = await enforcing.client.post(
        "/fhir", json=batch(entry("POST", "StructureDefinition", definition))
    )
    assert answer.json()["entry"][0]["response"]["status"] == "422"


async def test_types_and_models_are_stored_as_ever(enforcing):
    body = {**gendered(), "derivation": "specialization"}
    answer = await enforcing.client.post("/fhir/StructureDefinition", json=body)
    assert answer.status_code == 201, answer.text


async def test_who_may_not_govern_cannot_store_definitions_then(enforcing):
    secret = "s3cret"
    await enforcing.client.put("/Client/writer", json={"secret": secret, "grant_types": ["basic"]})
    links = [{"resourceType": "Operation", "id": id_} for id_ in ("FhirCreate", "FhirTransaction")]
    await enforcing.client.put("/AccessPolicy/writer", json={"engine": "allow", "link": links})
    writer = enforcing.client_of(("writer", secret))
    outcome(await writer.post("/fhir/StructureDefinition", json=gendered()), 403)
    body = transaction(entry("POST", "StructureDefinition", gendered()))
    outcome(await writer.post("/fhir", json=body), 403)
    assert (await writer.post("/fhir/Patient", json={})).status_code == 201
    await enforcing.client.delete("/AccessPolicy/writer")
