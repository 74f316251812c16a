"""What stands in for definitions that no package has: classes, modules, neighbours."""

from __future__ import annotations

import sys

import pytest

from infra.definitions.class_enums import read_code_lists
from infra.definitions.derived_compartments import derive_compartments
from infra.definitions.fetch import FetchError, fetch
from infra.definitions.parameter_modules import read_parameters
from infra.definitions.pins import Source
from infra.definitions.value_sets import expand_required

CLASSES = """
class Form(base.Base):
    item: typing.List[fhirtypes.FormItemType] | None = Field(default=None, alias="item")
    status: fhirtypes.CodeType | None = Field(
        default=None, alias="status", json_schema_extra={"enum_values": ["draft", "+"]}
    )


class FormItem(parent.Parent):
    class_fhir: fhirtypes.CodeType | None = Field(
        default=None, alias="class", json_schema_extra={"enum_values": ["a", "b"]}
    )


class Parent(base.Base):
    kind: fhirtypes.CodeType | None = Field(
        default=None, alias="kind", json_schema_extra={"enum_values": ["x"]}
    )
"""


def coded(path, url):
    return {
        "path": path,
        "base": {"path": path},
        "type": [{"code": "code"}],
        "binding": {"strength": "required", "valueSet": f"{url}|5.0.0"},
    }


def form(*elements):
    return {"kind": "resource", "type": "Form", "snapshot": {"element": list(elements)}}


def test_codes_are_found_through_classes_and_their_parents():
    structure = form(
        coded("Form.item.class", "urn:class"),
        coded("Form.item.kind", "urn:kind"),
        coded("Form.status", "urn:status"),
        coded("Form.other", "urn:other"),
    )
    found, missing = read_code_lists([CLASSES], [structure])
    assert found == {"urn:class": ["a", "b"], "urn:kind": ["x"]}
    assert missing == {
        "urn:status": "the codes are listed in part only",
        "urn:other": "no package lists its codes",
    }


def test_elements_that_share_a_binding_allow_all_codes_listed():
    structure = form(coded("Form.item.class", "urn:one"), coded("Form.item.kind", "urn:one"))
    assert read_code_lists([CLASSES], [structure])[0] == {"urn:one": ["a", "b", "x"]}


def test_listed_codes_need_no_definition():
    types = {
        "Form": {"elements": {"a": {"valueSet": "urn:a", "strength": "required"}}},
        "Other": {"elements": {"b": {"valueSet": "urn:b", "strength": "required"}}},
    }
    expanded, missing = expand_required(
        types, {}, {}, code_lists={"urn:a": ["1"]}, unlisted={"urn:b": "only in part"}
    )
    assert expanded == {"urn:a": {"codes": ["1"]}}
    assert missing == {"urn:b": "only in part"}


MODULE = """
module.exports = {
  'value-quantity': {
    type: 'quantity',
    xpath: 'Form.item.valueQuantity',
    definition: 'http://hl7.org/fhir/SearchParameter/Form-value-quantity',
    description: "The form's value"
  },
  when: {
    type: 'date',
    xpath: 'Form.item.valueDateTime',
    definition: 'http://hl7.org/fhir/SearchParameter/Form-when'
  },
  phone: {
    type: 'token',
    xpath: "Form.telecom[system/@value='phone']",
    definition: 'http://hl7.org/fhir/SearchParameter/Form-phone'
  },
  race: {
    type: 'token',
    xpath: "Form.extension[@url='http://example.org/a.b']",
    definition: 'http://hl7.org/fhir/SearchParameter/us-core-Form-race'
  }
};
"""


def test_paths_of_the_modules_become_expressions():
    structure = form(
        {"path": "Form.item", "type": [{"code": "BackboneElement"}]},
        {
            "path": "Form.item.value[x]",
            "type": [{"code": "Quantity"}, {"code": "dateTime"}, {"code": "Period"}],
        },
        {"path": "Form.telecom", "type": [{"code": "ContactPoint"}]},
        {"path": "Form.extension", "type": [{"code": "Extension"}]},
    )
    found = {each["code"]: each for each in read_parameters([MODULE], [structure])}
    assert {code: each["expression"] for code, each in found.items()} == {
        "value-quantity": "Form.item.value.as(Quantity)",
        "when": "Form.item.value",
        "phone": "Form.telecom.where(system='phone')",
        "race": "Form.extension('http://example.org/a.b')",
    }
    assert found["race"]["base"] == ["Form"]
    assert found["value-quantity"]["description"] == "The form's value"


def test_compartments_keep_what_the_version_has_and_gain_its_own_types():
    neighbour = [
        {
            "id": "patient",
            "code": "Patient",
            "url": "urn:c",
            "resource": [
                {"code": "Patient", "param": ["link", "{def}"]},
                {"code": "Gone", "param": ["subject"]},
                {"code": "Observation", "param": ["subject", "gone"]},
            ],
        },
        {"id": "example", "code": "Device", "url": "urn:x", "resource": []},
    ]
    types = {key: {"kind": "resource"} for key in ("New", "Observation", "Other", "Patient")}
    parameters = {
        "Patient.link": {},
        "Observation.subject": {"target": ["Patient"]},
        "New.patient": {"target": ["Patient"]},
        "Other.subject": {"target": ["Group"]},
    }
    assert derive_compartments(neighbour, types, parameters) == {
        "Patient": {
            "url": "urn:c",
            "resource": [
                {"code": "New", "param": ["patient"]},
                {"code": "Observation", "param": ["subject"]},
                {"code": "Other"},
                {"code": "Patient", "param": ["link", "{def}"]},
            ],
        }
    }


def test_a_package_client_that_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    source = Source(name="@scope/some", version="1.0.0", sha256="00", registry="npm")
    with pytest.raises(FetchError, match="needs npm, which is not installed"):
        fetch(source, tmp_path)


def test_a_file_that_is_there_is_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    place = tmp_path / "some-1.0.0" / "some.whl"
    place.parent.mkdir()
    place.touch()
    assert fetch(Source(name="some", version="1.0.0", sha256=empty), tmp_path) == place
