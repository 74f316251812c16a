"""The official R4 examples: both formats carry them whole, and they are valid.

Source: core specification, "Requirement"; data and licence in tests/data/README.md.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import msgspec
import pytest

from boxruntime.fhir.expression import render_expression
from boxruntime.fhir.extension_schema import are_extensions_right
from boxruntime.fhir.formats import accept_aidbox, to_aidbox, to_fhir
from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.references import wrong_targets
from boxruntime.fhir.shape import check_shape
from boxruntime.fhir.validation import validate, validate_converted

METADATA = base_metadata("4.0.1")
FILE = Path(__file__).parents[2] / "data" / "examples-r4.ndjson.gz"

FAULTY = {
    # Published with a target that the definition does not allow (parent is a Device).
    ("DeviceMetric", "example"): {"DeviceMetric.parent"},
    # Published with an Encounter as performer.
    ("Observation", "clinical-gender"): {"Observation.performer[0]"},
}
"""Examples that break the definitions they belong to, and where."""


@cache
def examples():
    lines = gzip.decompress(FILE.read_bytes()).splitlines()
    return [decode_json(line) for line in lines]


def type_of(document):
    return METADATA.fhir_type(document["resourceType"])


def canonical(value):
    """The same content as text, keys sorted: numbers compare as they are written."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    return [canonical(item) for item in value] if isinstance(value, list) else value


def test_the_file_is_complete():
    assert len(examples()) == 368
    assert len({document["resourceType"] for document in examples()}) == 110


def test_every_example_survives_both_conversions_with_its_number_text():
    for document in examples():
        type_name = type_of(document)
        before = encode_json(document)
        aidbox = to_aidbox(METADATA, type_name, document, keep_meta=True).resource
        again = to_fhir(METADATA, aidbox, type_name=type_name)
        assert encode_json(canonical(again)) == encode_json(canonical(document))
        assert encode_json(document) == before, "the document was changed"


def test_every_example_in_aidbox_format_is_accepted_at_root_as_it_is():
    for document in examples():
        type_name = type_of(document)
        aidbox = to_aidbox(METADATA, type_name, document).resource
        before = encode_json(aidbox)
        accepted = accept_aidbox(METADATA, type_name, aidbox)
        assert accepted.resource == aidbox
        assert encode_json(aidbox) == before
        assert validate(METADATA, type_name, accepted.resource, Dialect.AIDBOX) == validate(
            METADATA, type_name, aidbox, Dialect.AIDBOX
        )


def test_both_ways_in_find_the_same_references():
    for document in examples():
        type_name = type_of(document)
        converted = to_aidbox(METADATA, type_name, document)
        accepted = accept_aidbox(METADATA, type_name, converted.resource)

        def found(references):
            return sorted((str(r.path), r.resource_type, r.id) for r in references)

        assert found(converted.references) == found(accepted.references)


def findings(document):
    type_name = type_of(document)
    converted = to_aidbox(METADATA, type_name, document)
    issues = validate_converted(METADATA, type_name, converted, Dialect.FHIR)
    issues += [
        msgspec.structs.replace(
            issue, expression=render_expression(METADATA, issue, Dialect.FHIR, document)
        )
        for issue in wrong_targets(document["resourceType"], converted.references)
    ]
    return {issue.expression: issue.message for issue in issues}


def test_the_examples_are_valid_but_for_those_that_are_not():
    for document in examples():
        key = document["resourceType"], document["id"]
        found = findings(document)
        if key == ("Questionnaire", "qs1"):
            # Its display items have no linkId, which is required.
            assert len(found) == 32
            assert set(found.values()) == {"Property linkId is required"}
        else:
            assert found.keys() == FAULTY.get(key, set()), key


def test_the_quick_look_at_extensions_agrees_with_the_thorough_one():
    for document in examples():
        assert are_extensions_right(METADATA, document)
        found = check_shape(METADATA, type_of(document), document)
        assert {issue.message for issue in found} <= {"Property linkId is required"}


def with_primitives(value, path=()):
    """Yield (holder, key, value) of every scalar, with the FHIR path of each."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from with_primitives(item, (*path, (value, key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from with_primitives(item, (*path, (value, index)))
    else:
        yield path


@pytest.mark.parametrize("start", range(8))
def test_an_unknown_member_is_found_where_it_was_put(start):
    """Put one into every object of an example, one after another."""
    for document in examples()[start::8]:
        if (document["resourceType"], document["id"]) in {*FAULTY, ("Questionnaire", "qs1")}:
            continue
        places = list(objects(document, document["resourceType"]))
        for holder, expected in places[:: max(1, len(places) // 3)]:
            holder["nothingLikeThis"] = 1
            found = findings(document)
            del holder["nothingLikeThis"]
            assert found == {f"{expected}.nothingLikeThis": "extra property"}, expected


def objects(value, expression):
    """Yield each object with its FHIRPath, as a reader of FHIR JSON would write it."""
    yield value, expression
    for key, item in value.items():
        if key.startswith("_") or key in {"resourceType", "contentString"}:
            continue
        if isinstance(item, dict) and (choice := choices().get(key, key)) is not None:
            yield from objects(item, f"{expression}.{choice}")
        elif isinstance(item, list):
            for index, each in enumerate(item):
                if isinstance(each, dict):
                    yield from objects(each, f"{expression}.{key}[{index}]")


@cache
def choices():
    """Every alias of every choice, from the definitions: valueQuantity -> value.ofType(Quantity).

    None for a name that is an alias in one place and an element of its own in another.
    """
    found = {}
    literal = set()

    def walk(elements):
        for name, element in elements.items():
            literal.add(name)
            for alternative in element.union:
                alias = name + alternative[0].upper() + alternative[1:]
                found[alias] = f"{name}.ofType({alternative})"
            if not element.union:
                walk(element.children)

    for type_def in METADATA.types.values():
        walk(type_def.elements)
    return {alias: None if alias in literal else choice for alias, choice in found.items()}


@pytest.mark.parametrize("start", range(4))
def test_a_value_of_the_wrong_kind_is_found(start):
    """Replace one scalar after another by one of another JSON type."""
    for document in examples()[start::4]:
        scalars = [
            path
            for path in with_primitives(document)
            if path[-1][1] not in {"resourceType", "versionId", "lastUpdated", "div"}
            and not isinstance(path[-1][0][path[-1][1]], bool)
            and not any(isinstance(key, str) and key.startswith("_") for _, key in path)
        ]
        for path in scalars[:: max(1, len(scalars) // 4)]:
            holder, key = path[-1]
            kept = holder[key]
            holder[key] = True
            found = findings(document)
            holder[key] = kept
            assert found, [step for _, step in path]
