"""Conversion on request. Source: core specification, "$to-format"."""

from __future__ import annotations

import pytest

from tests.integration.runtime.defining import attribute, define, entity, new_type
from tests.integration.runtime.making import outcome

FHIR = {
    "resourceType": "Observation",
    "id": "o",
    "meta": {
        "versionId": "3",
        "extension": [{"url": "ex:createdAt", "valueInstant": "2020-01-01T00:00:00Z"}],
    },
    "status": "final",
    "subject": {"reference": "Patient/nobody"},
    "performer": [{"reference": "#p"}],
    "valueBoolean": False,
    "component": [{"valueQuantity": {"value": 1}}],
}
AIDBOX = {
    "resourceType": "Observation",
    "id": "o",
    "meta": {"versionId": "3", "createdAt": "2020-01-01T00:00:00Z"},
    "status": "final",
    "subject": {"resourceType": "Patient", "id": "nobody"},
    "performer": [{"localRef": "p"}],
    "value": {"boolean": False},
    "component": [{"value": {"Quantity": {"value": 1}}}],
}


@pytest.mark.parametrize("prefix", ["/$to-format", "/to-format", "/%24to-format"])
async def test_both_directions_without_checks_and_without_storing(box, prefix):
    for format_, given, wanted in (("aidbox", FHIR, AIDBOX), ("fhir", AIDBOX, FHIR)):
        answer = await box.client.post(f"{prefix}/{format_}", json=given)
        assert answer.status_code == 200
        assert answer.json()["resource"] == wanted
    assert (await box.client.get("/Observation/o")).status_code == 404


async def test_the_rules_stand_beside_the_resource_unless_not_wanted(box):
    answer = (await box.client.post("/$to-format/aidbox", json=FHIR)).json()
    rules = answer["transform"]
    assert rules["subject"] == {"tr/reference": True, "tr/ref": "Reference"}
    assert rules["performer"] == {
        "tr/reference": True,
        "tr/ref": "Reference",
        "tr/isCollection": True,
    }
    assert rules["value"]["tr/union"]["boolean"] == {}
    assert rules["component"]["tr/isCollection"] is True
    assert "Quantity" in rules["component"]["value"]["tr/union"]
    assert rules["identifier"]["tr/ref"] == "Identifier"
    assert "status" not in rules
    bare = await box.client.post("/$to-format/aidbox?include-transform=false", json=FHIR)
    assert bare.json().keys() == {"resource"}
    item = (
        await box.client.post("/$to-format/fhir", json={"resourceType": "Questionnaire"})
    ).json()
    assert item["transform"]["item"]["item"]["tr/ref"] == "Questionnaire.item"


async def test_elements_of_ones_own_are_rules_too(box):
    name = new_type()
    await define(
        box,
        entity(name),
        attribute(name, "origin", extensionUrl="urn:origin"),
        attribute(name, "origin", "village", type="string", extensionUrl="village"),
    )
    body = {
        "resourceType": name,
        "extension": [
            {"url": "urn:origin", "extension": [{"url": "village", "valueString": "Alma"}]}
        ],
    }
    answer = (await box.client.post("/$to-format/aidbox", json=body)).json()
    assert answer["resource"] == {"resourceType": name, "origin": {"village": "Alma"}}
    assert answer["transform"]["origin"] == {
        "tr/ext": "urn:origin",
        "village": {"tr/ext": "village"},
    }


@pytest.mark.parametrize("body", [{}, {"resourceType": "Nothing"}, {"resourceType": 5}])
async def test_a_resource_without_a_known_type(box, body):
    for format_ in ("aidbox", "fhir"):
        outcome(await box.client.post(f"/$to-format/{format_}", json=body), 422)


async def test_what_is_no_resource_and_no_format(box):
    outcome(await box.client.post("/$to-format/fhir", json=[]), 400)
    outcome(await box.client.post("/$to-format/xml", json=FHIR), 404)
    outcome(await box.client.post("/fhir/$to-format/aidbox", json=FHIR), 404)
    # Whatever stands in it, there is an answer.
    for odd in (5, [], {}, "x", [5], {"reference": 5}):
        body = {"resourceType": "Observation", "subject": odd, "value": odd, "valueQuantity": odd}
        for format_ in ("aidbox", "fhir"):
            assert (await box.client.post(f"/to-format/{format_}", json=body)).status_code == 200
