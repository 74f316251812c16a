"""Routes, Operation resources and the CapabilityStatement say the same."""

from __future__ import annotations

from collections import Counter

import pytest

from boxruntime.api.call import Interaction
from boxruntime.api.routes import ROUTES, operations
from boxruntime.api.routing import RouteTable
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect

TYPES = base_metadata("4.0.1").resource_types
OF_TYPES = {
    Interaction.READ, Interaction.VREAD, Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE,
    Interaction.CREATE, Interaction.SEARCH, Interaction.HISTORY_INSTANCE, Interaction.HISTORY_TYPE,
}  # fmt: skip
OF_THE_SYSTEM = {Interaction.BUNDLE, Interaction.HISTORY_SYSTEM, Interaction.SEARCH_SYSTEM}


def test_operation_ids_are_unique():
    counts = Counter(id_ for route in ROUTES for id_ in (route.root, route.fhir) if id_)
    assert max(counts.values()) == 1
    assert {id_ for id_, _ in operations()} == counts.keys()


def test_the_documented_ids_are_there():
    ids = {id_ for id_, _ in operations()}
    for name in ("Read", "Search", "Create", "Update", "Patch", "Delete", "Transaction"):
        assert {name, f"Fhir{name}"} <= ids
    assert {"FhirVread", "FhirHistory"} <= ids


def test_an_operation_says_method_and_path_of_its_route():
    found = dict(operations())
    assert found["FhirRead"]["request"] == [
        "get", "fhir", {"name": "resource/type"}, {"name": "resource/id"},
    ]  # fmt: skip
    assert found["Transaction"]["request"] == ["post"]
    for route in ROUTES:
        for id_, prefix in ((route.root, []), (route.fhir, ["fhir"])):
            if id_ is not None:
                method, *steps = found[id_]["request"]
                names = [
                    step if isinstance(step, str) else "{" + step["name"].partition("/")[2] + "}"
                    for step in steps
                ]
                assert method == route.method.lower()
                assert names == [*prefix, *(s for s in route.template.split("/") if s)]


@pytest.mark.parametrize("dialect", Dialect)
def test_every_route_is_found_by_its_own_path(dialect):
    table = RouteTable(ROUTES, TYPES)
    values = {"{type}": "Patient", "{target}": "Observation", "{id}": "p1", "{vid}": "7"}
    for route in ROUTES:
        if route.operation_id(dialect) is not None:
            segments = tuple(
                values.get(step, step) for step in route.template.strip("/").split("/") if step
            )
            found = table.find(dialect, route.method, segments)
            assert found is not None
            assert found[0] is route


def test_public_routes_are_those_of_the_specification():
    public = {route.template for route in ROUTES if route.public}
    assert public == {"/metadata", "/health", "/__healthcheck", "/__sudo"}


async def test_the_operations_are_stored(box):
    for id_, resource in operations():
        stored = (await box.client.get(f"/Operation/{id_}")).json()
        assert stored["request"] == resource["request"]
        assert stored["meta"]["versionId"] == "0"


async def test_the_capability_statement_offers_what_is_routed(box):
    statement = (await box.client.get("/fhir/metadata")).json()
    (rest,) = statement["rest"]
    routed = {route.interaction for route in ROUTES if route.fhir}
    assert {item["type"] for item in rest["resource"]} >= TYPES
    for item in rest["resource"]:
        codes = [each["code"] for each in item["interaction"]]
        assert sorted(codes) == sorted(each.value for each in routed & OF_TYPES)
    system = {each["code"] for each in rest["interaction"]}
    assert system == {each.value for each in routed & OF_THE_SYSTEM} | {"batch"}


async def test_the_facts_of_the_capability_statement(box):
    statement = (await box.client.get("/metadata")).json()
    assert statement["resourceType"] == "CapabilityStatement"
    assert (statement["status"], statement["kind"]) == ("active", "instance")
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["patchFormat"] == ["json-patch", "merge-patch"]
    assert statement["implementation"]["url"] == "http://box.test/fhir"
    patient = next(r for r in statement["rest"][0]["resource"] if r["type"] == "Patient")
    facts = {
        "versioning": "versioned-update", "readHistory": True, "updateCreate": True,
        "conditionalCreate": True, "conditionalRead": "full-support", "conditionalUpdate": True,
        "conditionalDelete": "single", "referencePolicy": ["local"],
        "searchInclude": ["all"], "searchRevInclude": ["all"],
    }  # fmt: skip
    assert {key: patient[key] for key in facts} == facts
    names = {parameter["name"] for parameter in patient["searchParam"]}
    assert {"name", "birthdate", "_id", "_lastUpdated"} <= names
    assert (await box.client.get("/fhir/metadata?mode=normative")).status_code == 200
    assert (await box.client.get("/fhir/metadata?mode=zzz")).status_code == 400


@pytest.mark.parametrize("base", ["", "/fhir"])
async def test_the_statement_is_the_same_in_every_format_and_on_repeat(box, base):
    path = f"{base}/metadata"
    first, again = [(await box.client.get(path)) for _ in range(2)]
    assert first.content == again.content
    pretty = (await box.client.get(f"{path}?_pretty=true")).json()
    assert pretty == first.json()
    media = "application/fhir+json" if base else "application/json"
    assert first.headers["content-type"] == f"{media}; charset=utf-8"
    yaml = await box.client.get(f"{path}?_format=yaml")
    assert yaml.headers["content-type"].startswith("text/yaml")
    assert "searchParam" in yaml.text


async def test_a_search_parameter_is_named_by_canonical_at_fhir_and_by_resource_at_root(box):
    for path, wanted in (
        ("/metadata", "/SearchParameter/Patient.name"),
        ("/fhir/metadata", "http://hl7.org/fhir/SearchParameter/Patient-name"),
    ):
        statement = (await box.client.get(path)).json()
        patient = next(r for r in statement["rest"][0]["resource"] if r["type"] == "Patient")
        (name,) = [p for p in patient["searchParam"] if p["name"] == "name"]
        assert name == {"name": "name", "definition": wanted, "type": "string"}
    assert (await box.client.get("/SearchParameter/Patient.name")).status_code == 200


async def test_operations_of_ones_own_are_shown_while_they_are_there(box):
    operation = {
        "request": ["post", "fhir", "Patient", "$tell"], "action": "x/y", "fhirCode": "tell",
        "fhirUrl": "urn:tell", "fhirResource": ["Patient", "Group"],
    }  # fmt: skip
    shown = {"name": "tell", "definition": "urn:tell"}

    async def found():
        (rest,) = (await box.client.get("/fhir/metadata")).json()["rest"]
        of = {r["type"] for r in rest["resource"] if shown in r.get("operation", ())}
        return shown in rest["operation"], of

    assert await found() == (False, set())
    assert (await box.client.put("/Operation/tell", json=operation)).status_code == 201
    assert await found() == (True, {"Patient", "Group"})
    assert (await box.client.delete("/Operation/tell")).status_code < 300
    assert await found() == (False, set())


async def test_lastn_is_shown_where_fhir_defines_it(box):
    (rest,) = (await box.client.get("/fhir/metadata")).json()["rest"]
    lastn = {
        "name": "lastn",
        "definition": "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
    }
    assert lastn in rest["operation"]
    assert [r["type"] for r in rest["resource"] if lastn in r.get("operation", ())] == [
        "Observation"
    ]


async def test_the_terminology_capabilities(box):
    system = {"resourceType": "CodeSystem", "status": "active", "content": "not-present",
              "url": "urn:x:colours", "version": "3"}  # fmt: skip
    assert (await box.client.put("/fhir/CodeSystem/colours", json=system)).status_code < 300
    found = (await box.client.get("/fhir/metadata?mode=terminology")).json()
    assert found["resourceType"] == "TerminologyCapabilities"
    assert (found["status"], found["kind"]) == ("active", "capability")
    assert {"uri": "urn:x:colours", "version": [{"code": "3"}]} in found["codeSystem"]


async def test_aidbox_config_overrides_names_and_security(box):
    config = {
        "metadata": {
            "name": "mine",
            "title": "My box",
            "service": [{"text": "x"}],
            "security": {"cors": True},
        }
    }
    assert (await box.client.put("/AidboxConfig/box", json=config)).status_code < 300
    try:
        statement = (await box.client.get("/fhir/metadata")).json()
        assert (statement["name"], statement["title"]) == ("mine", "My box")
        assert statement["rest"][0]["security"] == {"cors": True, "service": [{"text": "x"}]}
    finally:
        await box.client.delete("/AidboxConfig/box")


async def test_health(box):
    body = (await box.client.get("/health")).json()
    assert body["status"] == "pass"
    assert body["checks"].keys() == {"uptime", "memory:utilization", "db:responseTime"}
    for (check,) in body["checks"].values():
        assert {"componentType", "observedValue", "observedUnit", "status"} <= check.keys()
