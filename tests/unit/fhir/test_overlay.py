"""Live Entity and Attribute resources over the base. Source: core specification, "Metadata"."""

from __future__ import annotations

import pytest

from boxruntime.fhir.base_rows import base_rows
from boxruntime.fhir.definitions_file import read_definitions
from boxruntime.fhir.formats import accept_aidbox, to_aidbox
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.validation import validate

METADATA = base_metadata("4.0.1")


def attribute(owner, *path, **facts):
    return {
        "id": ".".join((owner, *path)),
        "resource": {"resourceType": "Entity", "id": owner},
        "path": list(path),
        **facts,
    }


def ref(name):
    return {"resourceType": "Entity", "id": name}


def test_a_custom_type_is_a_resource_type_at_once():
    metadata = METADATA.with_records([{"id": "VisitNote", "type": "resource"}], [])
    assert "VisitNote" in metadata.resource_types
    assert "VisitNote" not in METADATA.resource_types
    subject = attribute("VisitNote", "subject", type=ref("Reference"), refers=["VisitNote"])
    metadata = metadata.with_records([], [subject])
    converted = to_aidbox(metadata, "VisitNote", {"subject": {"reference": "VisitNote/v"}})
    assert converted.resource["subject"] == {"resourceType": "VisitNote", "id": "v"}
    assert converted.references[0].refers == {"VisitNote"}


def test_a_reference_to_a_custom_type_is_one_everywhere():
    metadata = METADATA.with_records([{"id": "VisitNote", "type": "resource"}], [])
    document = {"focus": [{"reference": "VisitNote/v"}]}
    assert to_aidbox(METADATA, "Observation", document).references == []
    assert to_aidbox(metadata, "Observation", document).references[0].resource_type == "VisitNote"


def test_choices_and_groups_work_in_custom_types():
    metadata = METADATA.with_records(
        [{"id": "VisitNote", "type": "resource"}],
        [
            attribute("VisitNote", "part", isCollection=True),
            attribute("VisitNote", "part", "value", union=[ref("string"), ref("Reference")]),
            attribute("VisitNote", "part", "part", contentRef=["part"], isCollection=True),
        ],
    )
    fhir = {"part": [{"part": [{"valueReference": {"reference": "Patient/p"}}]}]}
    expected = {"part": [{"value": {"Reference": {"resourceType": "Patient", "id": "p"}}}]}
    converted = to_aidbox(metadata, "VisitNote", fhir)
    assert converted.resource["part"] == [expected]
    assert validate(metadata, "VisitNote", converted.resource, Dialect.FHIR) == []
    assert metadata.find_element("VisitNote", ("part", 0, "part", "value", "string"))


def test_a_group_has_room_for_extensions_that_have_no_attribute():
    metadata = METADATA.with_records(
        [],
        [
            attribute("Patient", "origin", extensionUrl="urn:origin"),
            attribute("Patient", "origin", "village", type=ref("string"), extensionUrl="village"),
        ],
    )
    raw = {"url": "other", "valueString": "x"}
    known = {"url": "village", "valueString": "Alma"}
    document = {
        "resourceType": "Patient",
        "extension": [{"url": "urn:origin", "extension": [raw, known]}],
    }
    converted = to_aidbox(metadata, "Patient", document)
    assert converted.resource["origin"] == {"village": "Alma", "extension": [raw]}
    assert converted.issues == []
    assert validate(metadata, "Patient", converted.resource, Dialect.FHIR) == []


def test_an_override_keeps_what_stands_below_and_beside():
    metadata = METADATA.with_records(
        [], [attribute("Patient", "contact", isCollection=True, isRequired=True)]
    )
    element = metadata.find_element("Patient", ("contact",))
    assert element.required
    before = METADATA.find_element("Patient", ("contact",))
    assert element.children == before.children
    assert metadata.types["Observation"] is METADATA.types["Observation"]
    assert validate(metadata, "Patient", {"resourceType": "Patient"}, Dialect.AIDBOX)[0].message


def test_an_attribute_of_an_abstract_type_reaches_every_heir():
    metadata = METADATA.with_records([], [attribute("Resource", "tenant", type=ref("string"))])
    for type_name in ("Patient", "Binary", "Client"):
        assert metadata.find_element(type_name, ("tenant",)).type == "string"
    assert metadata.find_element("HumanName", ("tenant",)) is None


def test_types_of_ones_own_inherit_from_domain_resource():
    note = {"id": "VisitNote", "type": "resource"}
    tenant = attribute("DomainResource", "tenant", type=ref("string"))
    language = attribute("DomainResource", "language", type=ref("code"), isRequired=True)
    metadata = METADATA.with_records([note], [tenant, language])
    assert metadata.find_element("VisitNote", ("tenant",)).type == "string"
    assert metadata.find_element("Binary", ("tenant",)) is None
    assert metadata.find_element("VisitNote", ("language",)) is None
    assert metadata.find_element("Patient", ("language",)).required


def test_an_attribute_waits_for_its_entity():
    mood = attribute("VisitNote", "mood", type=ref("string"))
    assert METADATA.with_records([], [mood]) is METADATA
    metadata = METADATA.with_records([{"id": "VisitNote", "type": "resource"}], [mood])
    assert metadata.find_element("VisitNote", ("mood",))


def test_custom_primitives_cannot_be_made():
    assert METADATA.with_records([{"id": "mine", "type": "primitive"}], []) is METADATA


def test_a_patched_entity_keeps_its_elements():
    metadata = METADATA.with_records(
        [{"id": "Patient", "type": "resource", "isOpen": True, "history": "none"}], []
    )
    patient = metadata.types["Patient"]
    assert patient.is_open
    assert not patient.history
    assert patient.elements == METADATA.types["Patient"].elements


def test_the_base_rows_laid_over_the_base_change_nothing():
    rows = list(base_rows(METADATA))
    entities = [row for type_name, _, row in rows if type_name == "Entity"]
    attributes = [row for type_name, _, row in rows if type_name == "Attribute"]
    assert METADATA.with_records(entities, attributes).types == METADATA.types


def test_the_base_rows_are_valid_unique_and_stable():
    rows = list(base_rows(METADATA))
    assert len({(type_name, row_id) for type_name, row_id, _ in rows}) == len(rows)
    assert rows == list(base_rows(read_definitions("4.0.1")))
    for type_name, row_id, row in rows:
        assert (row["resourceType"], row["id"]) == (type_name, row_id)
        accepted = accept_aidbox(METADATA, type_name, row)
        assert accepted.issues == []
        assert accepted.resource == row
        assert validate(METADATA, type_name, row, Dialect.AIDBOX) == []


def test_the_base_rows_have_the_shape_of_the_specification():
    rows = {(type_name, row_id): row for type_name, row_id, row in base_rows(METADATA)}
    assert rows["Entity", "Patient"]["type"] == "resource"
    assert rows["Entity", "HumanName"]["type"] == "type"
    assert rows["Entity", "keyword"]["type"] == "primitive"
    gender = rows["Attribute", "Patient.gender"]
    assert gender["resource"] == {"resourceType": "Entity", "id": "Patient"}
    assert gender["path"] == ["gender"]
    assert gender["type"] == {"resourceType": "Entity", "id": "code"}
    assert gender["enum"] == ["female", "male", "other", "unknown"]
    value = rows["Attribute", "Observation.value"]
    assert "type" not in value
    assert {"resourceType": "Entity", "id": "Quantity"} in value["union"]
    assert rows["Attribute", "Observation.value.Quantity"]["path"] == ["value", "Quantity"]
    assert rows["Attribute", "Questionnaire.item.item"]["contentRef"] == ["item"]
    assert rows["Attribute", "Patient.contact"]["isCollection"] is True
    parameter = rows["SearchParameter", "Patient.birthdate"]
    assert parameter["expression"] == [["birthDate"]]
    assert parameter["resource"] == {"resourceType": "Entity", "id": "Patient"}
    assert rows["CompartmentDefinition", "patient"]["code"] == "Patient"
    assert not any(row_id.startswith("fhir:") for _, row_id in rows)


def test_an_unknown_fhir_version_is_refused():
    with pytest.raises(ValueError, match="no definitions"):
        base_metadata("9.9.9")


def test_elements_are_found_through_types_choices_and_recursion():
    assert METADATA.find_element("Patient", ("name", 0, "given", 1)).type == "string"
    assert METADATA.find_element("Observation", ("value", "Quantity", "value")).type == "decimal"
    assert METADATA.find_element("Observation", ("component", "referenceRange", "low", "unit"))
    item = METADATA.find_element("Questionnaire", ("item", "item", "item", "item", "linkId"))
    assert item.type == "string"
    assert METADATA.find_element("Patient", ("managingOrganization", "id")).type == "string"
    assert METADATA.find_element("Patient", ("nothing",)) is None
    assert METADATA.find_element("Patient", ("birthDate", "nothing")) is None
    assert METADATA.find_element("Nothing", ("id",)) is None
    assert METADATA.find_type("Nothing") is None
