"""FHIRPath of search parameters -> paths over the Aidbox format."""

from __future__ import annotations

import pytest

from infra.definitions.expressions import Binary, ExpressionError, Name, parse_expression
from infra.definitions.model import Node, TypeModel
from infra.definitions.paths import PathCompiler, existence_subject

TYPES = {
    "string": {"kind": "primitive"},
    "Reference": {"kind": "type", "elements": {"display": {"type": "string"}}},
    "Quantity": {"kind": "type", "elements": {"value": {"type": "decimal"}}},
    "dateTime": {"kind": "primitive"},
    "Coding": {"kind": "type", "elements": {"code": {"type": "code"}}},
    "CodeableConcept": {
        "kind": "type",
        "elements": {"text": {"type": "string"}, "coding": {"type": "Coding", "array": True}},
    },
    "BackboneElement": {"kind": "abstract", "elements": {"id": {"type": "string"}}},
    "Base": {"kind": "abstract", "elements": {"id": {"type": "string"}}},
    "Other": {"kind": "resource", "base": "Base", "elements": {"name": {"type": "string"}}},
    "Test": {
        "kind": "resource",
        "base": "Base",
        "elements": {
            "code": {"type": "CodeableConcept"},
            "subject": {"type": "Reference", "refers": ["Group", "Patient"]},
            "value": {"union": ["Quantity", "CodeableConcept", "dateTime", "Reference"]},
            "telecom": {"type": "Coding", "array": True},
            "item": {"group": "BackboneElement", "array": True},
            "item.code": {"type": "CodeableConcept"},
            "item.value": {"union": ["Quantity", "CodeableConcept", "dateTime"]},
            "item.item": {"contentRef": "item", "array": True},
        },
    },
}
MODEL = TypeModel(TYPES)


def routes(text, base="Test", contexts=()):
    return PathCompiler(MODEL, base).routes(parse_expression(text), contexts)


def paths(text, **more):
    return [list(route.steps) for route in routes(text, **more)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Test.code", [["code"]]),
        ("Test.id", [["id"]]),
        ("Test.item.code.coding.code", [["item", "code", "coding", "code"]]),
        ("Test.item.item.code", [["item", "item", "code"]]),
        ("Test.item.item.item.id", [["item", "item", "item", "id"]]),
        ("(Test.value as Quantity)", [["value", "Quantity"]]),
        ("Test.value as Quantity", [["value", "Quantity"]]),
        ("Test.value.as(Quantity)", [["value", "Quantity"]]),
        ("Test.value.ofType(Quantity)", [["value", "Quantity"]]),
        ("Test.value.as(DateTime)", [["value", "dateTime"]]),
        ("(Test.value as CodeableConcept).text", [["value", "CodeableConcept", "text"]]),
        ("Test.value.text", [["value", "CodeableConcept", "text"]]),
        ("Test.code as CodeableConcept", [["code"]]),
        ("Test.telecom.where(code='phone')", [["telecom", {"code": "phone"}]]),
        ("Test.telecom.where(code = 'p').code", [["telecom", {"code": "p"}, "code"]]),
        ("Test.item[0].code", [["item", 0, "code"]]),
        (
            "Test.item.where(hasExtension('urn:x')).code",
            [["item", {"extension": [{"url": "urn:x"}]}, "code"]],
        ),
        ("Test.code | Test.item.code", [["code"], ["item", "code"]]),
        ("Test.value as Quantity | Test.code", [["value", "Quantity"], ["code"]]),
        ("Other.name | Test.code", [["code"]]),
        ("Other.name", []),
        ("code | subject", [["code"], ["subject"]]),
        ("Test.extension('urn:x')", [["extension", {"url": "urn:x"}]]),
    ],
)
def test_expressions_become_paths(expression, expected):
    assert paths(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "Test.nothing",
        "nothing",
        "Test.code as Quantity",
        "Test.value as Period",
        "Test.code.first()",
        "Test.subject.where(display.exists())",
        "Test.code +",
        "Test.code Test.code",
        "Test.",
        "Test.item['a']",
        "(Test.code",
        "Test.extension('urn:x').system",
        "",
    ],
)
def test_what_cannot_be_compiled_is_an_error(expression):
    with pytest.raises(ExpressionError):
        routes(expression)


def test_a_resolved_type_becomes_a_guard():
    (route,) = routes("Test.subject.where(resolve() is Patient)")
    assert route.steps == ("subject",)
    assert route.types == {"Patient"}


def test_a_choice_spreads_over_its_alternatives_and_remembers_the_element():
    compiler = PathCompiler(MODEL, "Test")
    (route,) = compiler.routes(parse_expression("Test.value"))
    spread = compiler.spread(route)
    assert [each.steps[-1] for each in spread] == TYPES["Test"]["elements"]["value"]["union"]
    assert {each.choice for each in spread} == {Node("Test", "value")}


def test_component_paths_are_relative_to_every_base_node():
    contexts = (Node("Test"), Node("Test", "item"))
    assert paths("value.as(Quantity)", contexts=contexts) == [["value", "Quantity"]]
    with pytest.raises(ExpressionError):
        routes("subject", contexts=contexts)


def test_the_resource_variable_starts_at_the_resource():
    (route,) = routes("%resource.code", contexts=(Node("Test", "item"),))
    assert route.from_root
    assert route.steps == ("code",)


def test_existence_is_recognised_in_both_spellings():
    subject = Name("deceased", Name("Patient"))
    both = "Patient.deceased.exists() and Patient.deceased != false"
    assert existence_subject(parse_expression(both)) == subject
    assert existence_subject(parse_expression("Patient.deceased.exists()")) == subject
    other = "Patient.deceased.exists() and Patient.active != false"
    assert existence_subject(parse_expression(other)) is None


def test_operators_bind_as_in_fhirpath():
    tree = parse_expression("a as B | c = 'x'")
    assert isinstance(tree, Binary)
    assert tree.operator == "="
    assert isinstance(tree.left, Binary)
    assert tree.left.operator == "|"
