"""Facts about the committed data files, against counts of the FHIR R4 publication."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from infra.definitions.generate import DATA, REPORTS, project_root
from infra.definitions.model import Node, TypeModel
from infra.definitions.paths import DATATYPES


@pytest.fixture(scope="module")
def r4():
    return json.loads((project_root() / DATA / "fhir-4.0.1.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def aidbox():
    return json.loads((project_root() / DATA / "aidbox.json").read_text(encoding="utf-8"))


def test_every_type_of_r4_is_there(r4):
    kinds = Counter(each["kind"] for each in r4["types"].values())
    assert kinds == {"resource": 146, "type": 39, "primitive": 20, "abstract": 4}


def test_extension_values_have_the_fifty_open_types(r4):
    assert len(r4["types"]["Extension"]["elements"]["value"]["union"]) == 50


def test_every_named_type_exists(r4, aidbox):
    types = r4["types"] | aidbox["types"]
    unknown = {
        f"{owner}.{path}: {name}"
        for owner, definition in types.items()
        for path, element in definition.get("elements", {}).items()
        for name in [
            *element.get("union", ()),
            *element.get("refers", ()),
            *([element["type"]] if "type" in element else ()),
            *([element["group"]] if "group" in element else ()),
        ]
        if name not in types
    }
    assert unknown == set()


def test_content_references_lead_to_groups(r4):
    for definition in r4["types"].values():
        for element in definition.get("elements", {}).values():
            if "contentRef" in element:
                assert "group" in definition["elements"][element["contentRef"]]


def test_elements_come_after_their_group(r4, aidbox):
    for definition in (r4["types"] | aidbox["types"]).values():
        seen = set()
        for path in definition.get("elements", {}):
            parent = path.rpartition(".")[0]
            assert not parent or parent in seen
            seen.add(path)


def test_required_codes_are_listed_except_where_r4_cannot_list_them(r4):
    bound = {
        element["valueSet"]
        for definition in r4["types"].values()
        for element in definition.get("elements", {}).values()
        if element.get("strength") == "required"
    }
    # ISO 4217, media types and UCUM units are not enumerable; LOINC owns the fourth.
    assert bound - set(r4["valueSets"]) == {
        "http://hl7.org/fhir/ValueSet/currencies",
        "http://hl7.org/fhir/ValueSet/mimetypes",
        "http://hl7.org/fhir/ValueSet/ucum-units",
        "http://loinc.org/vs/LL379-9",
    }
    gender = r4["valueSets"]["http://hl7.org/fhir/ValueSet/administrative-gender"]
    assert gender == {
        "codes": ["male", "female", "other", "unknown"],
        "system": "http://hl7.org/fhir/administrative-gender",
    }


def test_every_published_search_parameter_with_an_expression_is_compiled(r4):
    # The package has 1,719 distinct (base, code) pairs. Patient.part-agree is only an example,
    # and Patient.age has no expression.
    assert len(r4["searchParameters"]) == 1717
    report = (project_root() / REPORTS / "fhir-4.0.1.txt").read_text(encoding="utf-8")
    reasons = Counter(
        line.rpartition(": ")[2]
        for line in report.splitlines()
        if line.startswith("  http://hl7.org/fhir/SearchParameter/")
    )
    assert reasons == {
        "the definition names no base type": 10,
        "the definition has no expression": 1,
    }


def test_search_paths_end_on_datatypes_their_parameter_can_search(r4):
    model = TypeModel(r4["types"])
    odd = set()
    for key, parameter in r4["searchParameters"].items():
        guards = parameter.get("guards") or [None] * len(parameter["expression"])
        assert len(guards) == len(parameter["expression"])
        if parameter["type"] == "composite" or parameter.get("exists"):
            continue
        for path, guard in zip(parameter["expression"], guards, strict=True):
            node = Node(parameter["resource"])
            if guard and ("raw" in guard or "inline" in guard):
                continue
            for step in path:
                if isinstance(step, str):
                    found = (
                        Node(step)
                        if step in model.alternatives(node)
                        else model.find_member(node, step)
                    )
                    assert found is not None, key
                    node = found
            if model.type_of(node) not in DATATYPES.get(parameter["type"], ()):
                odd.add(key)
    assert odd == {"Location.near"}


@pytest.mark.parametrize(
    ("key", "expression"),
    [
        ("Observation.value-quantity", [["value", "Quantity"], ["value", "SampledData"]]),
        ("Patient.phone", [["telecom", {"system": "phone"}]]),
        ("MedicationRequest.medication", [["medication", "Reference"]]),
        ("Library.depends-on", [["relatedArtifact", {"type": "depends-on"}, "resource"]]),
        ("InsurancePlan.name", [["name"], ["alias"]]),
        ("Bundle.message", [["entry", 0, "resource"]]),
        ("Resource._lastUpdated", [["meta", "lastUpdated"]]),
        ("Patient.death-date", [["deceased", "dateTime"]]),
    ],
)
def test_known_parameters(r4, key, expression):
    assert r4["searchParameters"][key]["expression"] == expression


def test_the_swapped_components_of_r4_are_repaired(r4):
    components = r4["searchParameters"]["DocumentReference.relationship"]["components"]
    assert [(each["name"], each["type"]) for each in components] == [
        ("relation", "token"),
        ("relatesto", "reference"),
    ]


def test_the_five_compartments_name_known_types_and_parameters(r4):
    assert set(r4["compartments"]) == {
        "Device",
        "Encounter",
        "Patient",
        "Practitioner",
        "RelatedPerson",
    }
    for compartment in r4["compartments"].values():
        assert len(compartment["resource"]) >= 140
        for entry in compartment["resource"]:
            assert r4["types"][entry["code"]]["kind"] == "resource"
            unknown = {
                name for name in entry.get("param", ()) if not _known(r4, entry["code"], name)
            }
            assert unknown == set(), entry


def _known(r4, resource, name):
    return name == "{def}" or f"{resource}.{name.partition('.')[0]}" in r4["searchParameters"]
