"""The short notation of aidbox.yaml, and what the committed file promises."""

from __future__ import annotations

import pytest

from infra.definitions.aidbox import (
    AidboxSourceError,
    compile_aidbox,
    compile_element,
    compile_parameter,
    compile_type,
    read_source,
)
from infra.definitions.generate import AIDBOX_SOURCE


@pytest.fixture(scope="module")
def aidbox():
    return compile_aidbox(read_source(AIDBOX_SOURCE))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("string", {"type": "string"}),
        ("string*", {"type": "string", "array": True}),
        ("string*!", {"type": "string", "array": True, "required": True}),
        ("code(a|b)", {"type": "code", "enum": ["a", "b"]}),
        ("Reference", {"type": "Reference"}),
        ("Reference(User|App)", {"type": "Reference", "refers": ["App", "User"]}),
        ("union(string|code)!", {"union": ["string", "code"], "required": True}),
        ("union(string\n  |code)", {"union": ["string", "code"]}),
        ("ref(a.b)", {"contentRef": "a.b"}),
        ("group", {"group": "Element"}),
        ("object", {"group": "Element", "isOpen": True}),
        ("any*", {"isOpen": True, "array": True}),
        ({"is": "integer", "schema": {"const": 1}}, {"type": "integer", "schema": {"const": 1}}),
    ],
)
def test_the_short_notation(written, expected):
    assert compile_element("Test.x", written) == expected


@pytest.mark.parametrize("written", ["", "string(a)(b)", "integer(1|2)", "string!*", "a b()"])
def test_a_wrong_notation_names_its_place(written):
    with pytest.raises(AidboxSourceError, match=r"Test\.x"):
        compile_element("Test.x", written)


def test_like_repeats_the_shared_elements():
    row = {"elements": {"a": {"is": "group", "like": "flow"}}}
    compiled = compile_type("Test", row, {"flow": {"x": "string"}})
    assert list(compiled["elements"]) == ["a", "a.x"]


def test_a_path_must_lie_inside_a_group():
    with pytest.raises(AidboxSourceError, match=r"Test\.a\.b"):
        compile_type("Test", {"elements": {"a": "string", "a.b": "string"}}, {})


def test_a_parameter_takes_its_targets_from_the_elements():
    definition = compile_type("Test", {"elements": {"u": "Reference(User)", "o": "object"}}, {})
    assert compile_parameter("Test", "user", "reference u", definition) == {
        "name": "user",
        "resource": "Test",
        "type": "reference",
        "expression": [["u"]],
        "target": ["User"],
    }
    found = compile_parameter("Test", "x", "token o.x, u.id", definition)
    assert found["expression"] == [["o", "x"], ["u", "id"]]
    with pytest.raises(AidboxSourceError, match=r"Test\.gone"):
        compile_parameter("Test", "gone", "token gone", definition)


def test_the_primitives_of_aidbox_are_defined(aidbox):
    kinds = {name for name, each in aidbox["types"].items() if each["kind"] == "primitive"}
    assert kinds == {"email", "keyword", "number", "password", "secret"}


def test_secrets_are_passwords(aidbox):
    assert aidbox["types"]["Client"]["elements"]["secret"] == {"type": "password"}
    assert aidbox["types"]["User"]["elements"]["password"] == {"type": "password"}


def test_the_searches_that_clients_send_are_known(aidbox):
    parameters = aidbox["searchParameters"]
    assert parameters["Entity.type"]["expression"] == [["type"]]
    assert parameters["Attribute.entity"]["expression"] == [["resource"]]
    user = {name for name in parameters if name.startswith("User.")}
    assert user == {
        f"User.{name}"
        for name in (
            "email",
            "identifier",
            "inactive",
            "name",
            "organization",
            "phoneNumber",
            "userName",
        )
    }
