"""The rules that only `$validate` needs, as the generator makes them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from infra.definitions.generate import DATA, project_root
from infra.definitions.package import Package
from infra.definitions.rules import (
    MISWRITTEN,
    compile_constraints,
    compile_extensions,
    compile_rules,
)


@pytest.fixture(scope="module")
def rules():
    return json.loads((project_root() / DATA / "fhir-4.0.1-rules.json").read_text(encoding="utf-8"))


def constraint(key, expression="x.exists()"):
    return {"key": key, "severity": "error", "human": "H", "expression": expression}


def structure(name, elements, **more):
    return {
        "url": f"http://x/{name}",
        "type": name,
        "kind": "resource",
        "differential": {"element": elements},
        **more,
    }


def test_a_constraint_stands_at_its_context_without_the_choice_mark():
    found = compile_constraints(
        [
            structure(
                "Thing",
                [
                    {"path": "Thing", "constraint": [constraint("t-1")]},
                    {"path": "Thing.part.value[x]", "constraint": [constraint("t-2")]},
                    {"path": "Thing.note"},
                ],
            )
        ]
    )
    assert [(each["path"], each["key"]) for each in found["Thing"]] == [
        ("", "t-1"),
        ("part.value", "t-2"),
    ]


def test_an_expression_that_is_published_with_an_error_is_repaired():
    miswritten, repaired = next(iter(MISWRITTEN.items()))
    row = {"path": "A", "constraint": [constraint("t-1", miswritten)]}
    (found,) = compile_constraints([structure("A", [row])])["A"]
    assert found["expression"] == repaired


def test_systems_that_are_those_of_an_older_version_are_left_out():
    systems = {
        url: {"url": url, "content": "complete", "concept": [{"code": "a"}]}
        for url in ("urn:old", "urn:own")
    }
    package = replace(Package.of(()), code_systems=systems, outdated_systems=frozenset({"urn:old"}))
    assert set(compile_rules(package, {})["codeSystems"]) == {"urn:own"}


def test_profiles_and_constraints_without_an_expression_are_left_out():
    no_expression = {"key": "t-3", "severity": "error", "human": "H"}
    assert (
        compile_constraints([structure("A", [{"path": "A", "constraint": [no_expression]}])]) == {}
    )
    profile = structure(
        "A", [{"path": "A", "constraint": [constraint("t-4")]}], derivation="constraint"
    )
    assert compile_constraints([profile]) == {}


def test_an_extension_has_a_value_or_parts():
    elements = [
        {"id": "Extension"},
        {"id": "Extension.extension:code", "max": "1"},
        {"id": "Extension.extension:code.url", "fixedUri": "code"},
        {"id": "Extension.extension:code.value[x]", "max": "1", "type": [{"code": "Coding"}]},
        {"id": "Extension.url", "fixedUri": "http://x/e"},
        {"id": "Extension.value[x]", "max": "0"},
    ]
    for element in elements:
        element["path"] = element["id"].replace(":code", "")
    definition = {
        "url": "http://x/e",
        "type": "Extension",
        "derivation": "constraint",
        "snapshot": {"element": elements},
    }
    assert compile_extensions([definition]) == {
        "http://x/e": {"parts": {"code": {"value": ["Coding"]}}}
    }
    elements[:] = [{"path": "Extension.value[x]", "max": "1", "type": [{"code": "t"}] * 50}]
    assert compile_extensions([definition]) == {"http://x/e": {"value": ["t"]}}


def test_the_constraints_of_r4_are_there(rules):
    keys = {each["key"] for rows in rules["constraints"].values() for each in rows}
    assert len(keys) == 237
    assert {"dom-3", "bdl-7", "ras-2", "sdf-20", "pat-1", "ext-1", "per-1"} <= keys
    (contact,) = rules["constraints"]["Patient"]
    assert (contact["path"], contact["key"], contact["severity"]) == ("contact", "pat-1", "error")


def test_codes_of_complete_systems_are_lines_of_a_text(rules):
    assert len(rules["codeSystems"]) > 1000
    gender = rules["codeSystems"]["http://hl7.org/fhir/administrative-gender"]
    assert gender["codes"] == "\nmale\nfemale\nother\nunknown\n"
    assert "http://snomed.info/sct" not in rules["codeSystems"]


def test_the_value_sets_are_those_that_codings_must_come_from(rules):
    clinical = rules["valueSets"]["http://hl7.org/fhir/ValueSet/condition-clinical"]
    (codes,) = clinical.values()
    assert {"active", "resolved"} <= set(codes)
    assert len(rules["valueSets"]) == 9


def test_extensions_of_r4(rules):
    assert len(rules["extensions"]) == 393
    base = "http://hl7.org/fhir/StructureDefinition/"
    assert rules["extensions"][base + "patient-birthPlace"] == {"value": ["Address"]}
    assert rules["extensions"][base + "patient-nationality"]["parts"].keys() == {"code", "period"}


def test_vital_signs_of_r4(rules):
    assert len(rules["vitalSigns"]) == 9
    base = "http://hl7.org/fhir/StructureDefinition/"
    assert rules["vitalSigns"][base + "bodytemp"] == {"code": "8310-5", "units": ["Cel", "[degF]"]}
    assert rules["vitalSigns"][base + "bp"] == {
        "code": "85354-9",
        "components": {"8480-6": ["mm[Hg]"], "8462-4": ["mm[Hg]"]},
    }
