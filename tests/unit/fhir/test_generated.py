"""Generated resources of every type: what the metadata allows is valid and survives.

Source: core specification, "Requirement".
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.formats import accept_aidbox, to_aidbox, to_fhir
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.fhir.validation import validate

METADATA = base_metadata("4.0.1")
FHIR_TYPES = sorted(
    name for name, t in METADATA.types.items() if t.kind == "resource" and t.base is not None
)

VALUES = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "positiveInt": st.integers(1, 2**31 - 1),
    "unsignedInt": st.integers(0, 2**31 - 1),
    "decimal": st.sampled_from([Decimal("1.00"), Decimal("0.1"), 3]),
    "base64Binary": st.sampled_from(["AAAA", "AA=="]),
    "date": st.sampled_from(["2000", "2000-02", "2000-02-29"]),
    "dateTime": st.sampled_from(["2000", "2000-02-29T23:59:59.123Z"]),
    "instant": st.just("2000-02-29T23:59:59+14:00"),
    "time": st.just("23:59:59"),
    "oid": st.just("urn:oid:1.2.3"),
    "uuid": st.just("urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
    "id": st.just("x"),
    "xhtml": st.just('<div xmlns="http://www.w3.org/1999/xhtml">x</div>'),
}
TEXT = st.sampled_from(["a", "b.c", "Patient/p1", "value"])


@st.composite
def objects(draw, elements, owner, depth):
    """A FHIR object with all required and some optional members."""
    result = {}
    for name, element in elements.items():
        if name in {"id", "meta", "contained", "modifierExtension"}:
            continue
        wanted = element.required or (depth > 0 and draw(st.integers(0, 5)) == 0)
        if not wanted:
            continue
        if element.union:
            alternative = draw(st.sampled_from(element.union))
            key, member = choice_key(name, alternative), element.children[alternative]
        else:
            key, member = name, element
        value = draw(values(member, owner, depth - 1))
        if value is not None:
            result[key] = [value] if member.array else value
    return result


@st.composite
def values(draw, element, owner, depth):
    if element.type == "Reference":
        target = draw(st.sampled_from(sorted(element.refers or {"Patient"})))
        texts = [f"{target}/x", "urn:uuid:1", "http://e.x/y"]
        kind = draw(st.integers(0, 3))
        return {"reference": texts[kind]} if kind < 3 else {"display": "D"}
    if element.type == "Extension":
        return {"url": "u", "valueString": "x"}
    if element.type == "Resource":
        return {"resourceType": "Basic", "code": {"text": "t"}} if depth > 0 else None
    if element.codes:
        return draw(st.sampled_from(sorted(element.codes)))
    type_def = METADATA.find_type(element.type) if element.type else None
    if type_def is not None and type_def.kind == "primitive":
        return draw(VALUES.get(element.type, TEXT))
    below, children = METADATA.children_of(owner, element)
    return draw(objects(children, below, depth)) or None


@st.composite
def resources(draw):
    type_name = draw(st.sampled_from(FHIR_TYPES))
    elements = METADATA.types[type_name].elements
    return {"resourceType": type_name, **draw(objects(elements, type_name, 3))}


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(resources())
def test_a_generated_resource_is_valid_and_survives_both_ways(document):
    type_name = document["resourceType"]
    converted = to_aidbox(METADATA, type_name, document)
    assert converted.issues == []
    found = validate(METADATA, type_name, converted.resource, Dialect.FHIR)
    # A required element that could only have been empty was left out; nothing else is wrong.
    assert {i.message for i in found if not i.message.startswith("Property ")} == set()
    assert to_fhir(METADATA, converted.resource) == document
    accepted = accept_aidbox(METADATA, type_name, converted.resource)
    assert accepted.resource == converted.resource
    assert accepted.issues == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "given",
                    "_given",
                    "extension",
                    "url",
                    "value",
                    "valueReference",
                    "reference",
                    "contained",
                    "resourceType",
                    "subject",
                    "deceasedBoolean",
                    "_deceasedBoolean",
                    "id",
                    "link",
                    "other",
                    "meta",
                    "text",
                    "div",
                    "identifier",
                    "assigner",
                    "resource",
                    "entry",
                    "parameter",
                    "part",
                    "request",
                    "item",
                    "answer",
                    "_birthDate",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(
    st.sampled_from(["Patient", "Bundle", "Parameters", "QuestionnaireResponse", "Observation"]),
    st.dictionaries(
        st.sampled_from(
            [
                "name",
                "contact",
                "link",
                "extension",
                "entry",
                "parameter",
                "item",
                "contained",
                "subject",
                "valueReference",
                "_birthDate",
                "meta",
                "text",
                "identifier",
            ]
        ),
        JSON,
    ),
)
def test_no_shape_makes_a_conversion_fail(type_name, document):
    for convert, dialect in ((to_aidbox, Dialect.FHIR), (accept_aidbox, Dialect.AIDBOX)):
        converted = convert(METADATA, type_name, document, rewrite={"a": "Patient/x"})
        validate(METADATA, type_name, converted.resource, dialect)
        to_fhir(METADATA, converted.resource)


@pytest.mark.parametrize("convert", [to_aidbox, accept_aidbox])
def test_a_document_nested_too_deeply_is_refused(convert):
    document = {}
    for _ in range(800):
        document = {"item": [document]}
    with pytest.raises(OutcomeError) as refused:
        convert(METADATA, "Questionnaire", document)
    assert refused.value.fault is Fault.UNPROCESSABLE
