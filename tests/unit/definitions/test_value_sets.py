"""Expansion of value sets, and refusal where the codes are not all known."""

from __future__ import annotations

import pytest

from infra.definitions.value_sets import (
    NotExpandableError,
    expand_required,
    expand_value_set,
    read_concepts,
)

COLOURS = {
    "url": "urn:colour",
    "content": "complete",
    "concept": [
        {
            "code": "red",
            "display": "Red",
            "concept": [
                {"code": "crimson", "property": [{"code": "status", "valueCode": "old"}]},
                {"code": "scarlet", "concept": [{"code": "vermilion"}]},
            ],
        },
        {"code": "blue", "property": [{"code": "status", "valueCode": "new"}]},
        {"code": "pink", "property": [{"code": "subsumedBy", "valueCode": "red"}]},
    ],
}
SYSTEMS = {
    "urn:colour": COLOURS,
    "urn:part": {"url": "urn:part", "content": "fragment", "concept": [{"code": "a"}]},
}


def expand(*include, exclude=(), others=None):
    definition = {"compose": {"include": list(include), "exclude": list(exclude)}}
    sets = {"urn:vs": definition} | (others or {})
    return expand_value_set("urn:vs|1.0", sets, SYSTEMS)


def filtered(name, op, value):
    entry = {"system": "urn:colour", "filter": [{"property": name, "op": op, "value": value}]}
    return expand(entry)["urn:colour"]


def test_a_whole_system_comes_in_its_order():
    assert expand({"system": "urn:colour"}) == {
        "urn:colour": ["red", "crimson", "scarlet", "vermilion", "blue", "pink"]
    }


def test_enumerated_concepts_need_no_code_system():
    listed = {"system": "urn:unknown", "concept": [{"code": "b"}, {"code": "a"}]}
    assert expand(listed) == {"urn:unknown": ["b", "a"]}


@pytest.mark.parametrize(
    ("name", "op", "value", "expected"),
    [
        ("concept", "is-a", "red", ["red", "crimson", "scarlet", "vermilion", "pink"]),
        ("concept", "descendent-of", "scarlet", ["vermilion"]),
        ("concept", "is-not-a", "red", ["blue"]),
        ("status", "=", "old", ["crimson"]),
        ("status", "exists", "true", ["crimson", "blue"]),
        ("code", "in", "red, blue", ["red", "blue"]),
        ("code", "not-in", "red,blue", ["crimson", "scarlet", "vermilion", "pink"]),
        ("code", "regex", "[rb].*", ["red", "blue"]),
        ("display", "=", "Red", ["red"]),
    ],
)
def test_filters_select_concepts(name, op, value, expected):
    assert filtered(name, op, value) == expected


def test_an_import_intersects_and_an_exclude_removes():
    others = {
        "urn:reds": {
            "compose": {
                "include": [
                    {
                        "system": "urn:colour",
                        "filter": [{"property": "concept", "op": "is-a", "value": "red"}],
                    }
                ]
            }
        },
        "urn:two": {
            "compose": {
                "include": [
                    {"system": "urn:colour", "concept": [{"code": "pink"}, {"code": "blue"}]}
                ]
            }
        },
    }
    assert expand({"valueSet": ["urn:reds", "urn:two"]}, others=others) == {"urn:colour": ["pink"]}
    assert expand(
        {"valueSet": ["urn:reds"]}, exclude=[{"valueSet": ["urn:two"]}], others=others
    ) == {"urn:colour": ["red", "crimson", "scarlet", "vermilion"]}


@pytest.mark.parametrize(
    "include",
    [
        {"system": "urn:part"},
        {"system": "urn:nobody"},
        {"valueSet": ["urn:nobody"]},
        {"valueSet": ["urn:vs"]},
        {"system": "urn:colour", "filter": [{"property": "concept", "op": "is-a", "value": "x"}]},
        {
            "system": "urn:colour",
            "filter": [{"property": "code", "op": "generalizes", "value": "x"}],
        },
        {"system": "urn:colour", "filter": [{"property": "code", "op": "=", "value": "none"}]},
    ],
)
def test_codes_that_are_not_all_known_have_no_expansion(include):
    with pytest.raises(NotExpandableError):
        expand(include)


def test_ancestors_are_transitive_and_survive_cycles():
    concepts = read_concepts(COLOURS)
    assert concepts["vermilion"].ancestors == {"scarlet", "red"}
    cyclic = {
        "concept": [
            {"code": "a", "property": [{"code": "parent", "valueCode": "b"}]},
            {"code": "b", "property": [{"code": "parent", "valueCode": "a"}]},
        ]
    }
    assert read_concepts(cyclic)["a"].ancestors == {"b"}


def test_only_required_bindings_are_expanded_with_their_systems():
    types = {
        "Test": {
            "elements": {
                "a": {"valueSet": "urn:one", "strength": "required"},
                "b": {"valueSet": "urn:both", "strength": "required"},
                "c": {"valueSet": "urn:other", "strength": "extensible"},
                "d": {"valueSet": "urn:gone", "strength": "required"},
            }
        }
    }
    one = {"system": "urn:1", "concept": [{"code": "x"}]}
    two = {"system": "urn:2", "concept": [{"code": "x"}, {"code": "y"}]}
    sets = {
        "urn:one": {"compose": {"include": [one]}},
        "urn:both": {"compose": {"include": [one, two]}},
        "urn:other": {"compose": {"include": [one]}},
    }
    expanded, missing = expand_required(types, sets, {})
    assert expanded == {
        "urn:both": {"codes": ["x", "y"], "systems": {"urn:1": ["x"], "urn:2": ["x", "y"]}},
        "urn:one": {"codes": ["x"], "system": "urn:1"},
    }
    assert missing == {"urn:gone": "no value set urn:gone"}
