"""StructureDefinitions -> element tables, on small definitions."""

from __future__ import annotations

import pytest

from infra.definitions.structures import (
    compile_element,
    compile_types,
    extension_datatypes,
    shorten,
)

SD = "http://hl7.org/fhir/StructureDefinition/"
TARGETS = {f"{SD}Patient": "Patient", f"{SD}bmi": "Observation", f"{SD}Resource": "Resource"}


def element(path="Test.x", **facts):
    return {"path": path, "min": 0, "max": "1", "base": {"path": path}} | facts


def structure(name, elements=(), **facts):
    root = {"path": name, "short": f"About {name}", "min": 0, "max": "*", "base": {"path": name}}
    return {
        "url": SD + name,
        "type": name,
        "kind": "resource",
        "abstract": False,
        "derivation": "specialization",
        "baseDefinition": f"{SD}DomainResource",
        "snapshot": {"element": [root, *elements]},
    } | facts


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"type": [{"code": "string"}]}, {"type": "string"}),
        ({"type": [{"code": "string"}], "max": "*"}, {"type": "string", "array": True}),
        ({"type": [{"code": "string"}], "max": "3"}, {"type": "string", "array": True, "max": "3"}),
        ({"type": [{"code": "string"}], "min": 1}, {"type": "string", "required": True}),
        (
            {"type": [{"code": "code"}], "isSummary": True, "isModifier": True},
            {"type": "code", "summary": True, "modifier": True},
        ),
        ({"type": [{"code": "BackboneElement"}]}, {"group": "BackboneElement"}),
        ({"contentReference": "#Test.item.part"}, {"contentRef": "item.part"}),
        (
            {"type": [{"code": "Reference", "targetProfile": [f"{SD}Patient", f"{SD}bmi"]}]},
            {"type": "Reference", "refers": ["Observation", "Patient"]},
        ),
        (
            {"type": [{"code": "Reference", "targetProfile": [f"{SD}Resource"]}]},
            {"type": "Reference"},
        ),
        ({"type": [{"code": "Reference"}]}, {"type": "Reference"}),
        (
            {
                "type": [{"code": "code"}],
                "binding": {"strength": "required", "valueSet": "urn:vs|4.0.1"},
            },
            {"type": "code", "valueSet": "urn:vs", "strength": "required"},
        ),
    ],
)
def test_elements_keep_the_facts_that_are_set(source, expected):
    assert compile_element(element(**source), TARGETS) == expected


def test_a_choice_is_a_union_under_its_bare_name():
    types = [{"code": "string"}, {"code": "Reference", "targetProfile": [f"{SD}Patient"]}]
    patient = structure("Patient", [element("Patient.value[x]", type=types)])
    (compiled,) = compile_types([patient]).values()
    assert compiled["elements"] == {
        "value": {"union": ["string", "Reference"], "refers": ["Patient"]}
    }


def test_inherited_elements_come_through_the_base():
    test = structure(
        "Test",
        [
            element("Test.id", base={"path": "Resource.id"}, type=[{"code": "string"}]),
            element("Test.item", type=[{"code": "BackboneElement"}]),
            element("Test.item.id", base={"path": "Element.id"}, type=[{"code": "string"}]),
            element("Test.item.text", type=[{"code": "string"}]),
        ],
    )
    (compiled,) = compile_types([test]).values()
    assert compiled["base"] == "DomainResource"
    assert list(compiled["elements"]) == ["item", "item.text"]


def test_profiles_and_logical_models_are_no_types():
    definitions = [
        structure("Test"),
        structure("Test", derivation="constraint", url=SD + "profile"),
        structure("Pattern", kind="logical"),
    ]
    assert list(compile_types(definitions)) == ["Test"]


def test_kinds_follow_the_definition():
    definitions = [
        structure("boolean", kind="primitive-type"),
        structure("Period", kind="complex-type"),
        structure("Element", kind="complex-type", abstract=True),
        structure("Patient"),
    ]
    kinds = {name: each["kind"] for name, each in compile_types(definitions).items()}
    assert kinds == {
        "Element": "abstract",
        "Patient": "resource",
        "Period": "type",
        "boolean": "primitive",
    }


def test_system_types_are_read_from_their_extension():
    fhir_type = f"{SD}structuredefinition-fhir-type"
    kind = {
        "code": "http://hl7.org/fhirpath/System.String",
        "extension": [{"url": fhir_type, "valueUrl": "uri"}],
    }
    assert compile_element(element("Extension.url", type=[kind]), {}) == {"type": "uri"}
    assert compile_element(element("Resource.id", type=[kind]), {}) == {"type": "id"}


def test_simple_extensions_name_their_datatypes():
    value = element("Extension.value[x]", type=[{"code": "code"}, {"code": "string"}])
    nested = element("Extension.value[x]", type=[{"code": "code"}], max="0")
    definitions = [
        structure("Extension", [value], url="urn:simple"),
        structure("Extension", [nested], url="urn:nested"),
        structure("Patient"),
    ]
    assert extension_datatypes(definitions) == {"urn:simple": ["code", "string"]}


def test_texts_are_one_short_line():
    assert shorten("a\n  b") == "a b"
    assert shorten("x" * 80) == "x" * 80
    long = shorten("word " * 40)
    assert len(long) <= 80
    assert long.endswith("word…")
