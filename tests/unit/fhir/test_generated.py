"""Generated resources of every type: what the metadata allows is valid and survives.

Source: core specification, "Requirement".
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from boxruntime.fhir.formats import accept_aidbox, to_aidbox, to_fhir
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.fhir.shape import check_shape
from boxruntime.fhir.validation import validate
from tests.unit.fhir.generating import documents

METADATA = base_metadata("4.0.1")
TYPES = sorted(name for name, t in METADATA.types.items() if t.kind in {"resource", "shadow"})


def attribute(owner, *path, **facts):
    for member in ("type", "union"):
        if member in facts:
            facts[member] = (
                {"id": facts[member]}
                if isinstance(facts[member], str)
                else [{"id": name} for name in facts[member]]
            )
    return {
        "id": ".".join((owner, *path)),
        "resource": {"id": owner},
        "path": list(path),
        **facts,
    }


RICHER = METADATA.with_records(
    [{"id": "VisitNote", "type": "resource"}, {"id": "Dose", "type": "type"}],
    [
        attribute("DomainResource", "tribe", type="code", extensionUrl="urn:tribe"),
        attribute("DomainResource", "origin", extensionUrl="urn:origin", isCollection=True),
        attribute("DomainResource", "origin", "village", type="string", extensionUrl="village"),
        attribute("DomainResource", "origin", "keeper", type="Reference", extensionUrl="keeper"),
        attribute("DomainResource", "origin", "more", extensionUrl="urn:more"),
        attribute(
            "DomainResource", "origin", "more", "amounts", type="Quantity", extensionUrl="amount",
            isCollection=True,
        ),
        attribute("DomainResource", "voided", type="boolean", extensionUrl="urn:v", isModifier=True),
        attribute("DomainResource", "plain", union=["string", "Reference"]),
        attribute("HumanName", "called", type="keyword", extensionUrl="urn:called", isCollection=True),
        attribute("Identifier", "owner", type="Reference", extensionUrl="urn:owner"),
        attribute("Observation", "component", "grade", type="number", extensionUrl="urn:grade"),
        attribute("Questionnaire", "item", "help", type="Annotation", extensionUrl="urn:help"),
        attribute("Dose", "amount", union=["Quantity", "Range"]),
        attribute("Dose", "by", type="Reference"),
        attribute("VisitNote", "dose", type="Dose", isCollection=True),
        attribute("VisitNote", "given", union=["Dose", "string", "dateTime"]),
        attribute("VisitNote", "part", isCollection=True),
        attribute("VisitNote", "part", "value", union=["Dose", "Reference"]),
        attribute("VisitNote", "part", "mail", type="email", extensionUrl="urn:mail"),
        attribute("VisitNote", "part", "part", contentRef=["part"], isCollection=True),
        attribute("VisitNote", "free", isOpen=True),
    ],
)  # fmt: skip
FEW = settings(
    max_examples=4,
    phases=[Phase.generate],  # shrinking takes a minute, and what is found is small enough
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def check_both_ways(metadata, type_name, document):
    """What is valid is found valid, and both formats carry the same."""
    converted = to_aidbox(metadata, type_name, document)
    assert converted.issues == []
    found = check_shape(metadata, type_name, document)
    found += validate(metadata, type_name, converted.resource, Dialect.FHIR)
    # A required element that could only have been empty was left out; nothing else is wrong.
    assert {i.message for i in found if not i.message.startswith("Property ")} == set()
    assert to_fhir(metadata, converted.resource, type_name=type_name) == document
    accepted = accept_aidbox(metadata, type_name, converted.resource)
    assert accepted.resource == converted.resource
    assert accepted.issues == []
    assert paths_of(accepted) == paths_of(converted)


def paths_of(converted):
    return sorted(str(one.path) for one in converted.references)


@pytest.mark.parametrize("type_name", TYPES)
def test_a_generated_resource_is_valid_and_survives_both_ways(type_name):
    FEW(
        given(documents(METADATA, type_name))(lambda it: check_both_ways(METADATA, type_name, it))
    )()


@pytest.mark.parametrize(
    "type_name", sorted(name for name in RICHER.changed if RICHER.types[name].kind == "resource")
)
def test_a_generated_resource_survives_with_elements_of_ones_own(type_name):
    FEW(given(documents(RICHER, type_name))(lambda it: check_both_ways(RICHER, type_name, it)))()


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
