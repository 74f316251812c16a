"""All extensions that FHIR R4 defines, made first-class, on its own example resources."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import pytest

from boxruntime.fhir.formats import to_aidbox, to_fhir
from boxruntime.fhir.json_text import decode_json
from tests.unit.fhir.profiles.making import (
    BASE,
    CANONICAL,
    Rules,
    declaring,
    definitions,
    element,
    profile,
)

EXAMPLES = Path(__file__).parents[3] / "data" / "examples-r4.ndjson.gz"


@cache
def rules():
    return Rules(*definitions("fhir-extensions"), *definitions("vital-signs"))


@cache
def examples():
    with gzip.open(EXAMPLES) as lines:
        return [decode_json(line) for line in lines]


def in_any_order(value):
    """Return the value with its extensions sorted: first-class ones come after raw ones."""
    if isinstance(value, list):
        return [in_any_order(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: in_any_order(item) for key, item in value.items()}
    return {
        key: sorted(item, key=str) if key.endswith("xtension") and isinstance(item, list) else item
        for key, item in found.items()
    }


def test_the_examples_come_back_as_they_were():
    changed = 0
    for example in examples():
        stored = rules().stored(example)
        plain = to_aidbox(BASE, example["resourceType"], example).resource
        changed += stored != plain
        back = to_fhir(rules().metadata, stored)
        assert in_any_order(back) == in_any_order(to_fhir(BASE, plain)), example["id"]
    assert changed > 15


def test_the_examples_are_as_right_as_they_were():
    base = Rules()
    for example in examples():
        assert rules().found(example) == base.found(example), example["id"]


def test_a_type_that_an_extension_would_make_contain_itself_keeps_it_raw():
    """Of the 393 some stand on Coding and hold a Coding; converters would never end."""

    def on(owner, value, id_):
        context = [{"type": "element", "expression": owner}]
        kind = element("Extension.value[x]", type=[{"code": value}])
        return profile("Extension", kind, id=id_, kind="complex-type", context=context)

    direct = Rules(on("Coding", "Coding", "x"))
    assert direct.conversion.attributes == []
    around = Rules(on("Coding", "Period", "x"), on("Period", "CodeableConcept", "y"))
    assert [one["id"] for one in around.conversion.attributes] == ["Coding.x"]
    held = Rules(on("Identifier", "Reference", "x"))
    assert [one["id"] for one in held.conversion.attributes] == ["Identifier.x"]
    url = f"{CANONICAL}x"
    body = declaring(
        {
            "resourceType": "Patient",
            "identifier": [
                {"extension": [{"url": url, "valueReference": {"reference": "Patient/p"}}]}
            ],
        }
    )
    assert held.round_trip(body) == body


@pytest.mark.parametrize("name", ["Patient", "Coding", "Identifier"])
def test_there_are_extensions_on_resources_and_on_types(name):
    owners = {one["resource"]["id"] for one in rules().conversion.attributes}
    assert name in owners
