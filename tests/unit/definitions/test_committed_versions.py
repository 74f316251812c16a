"""Facts about the committed data files of FHIR versions beside R4."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from boxruntime.contract import FHIR_VERSIONS
from infra.definitions.generate import DATA, project_root
from infra.definitions.model import Node, TypeModel
from infra.definitions.paths import DATATYPES
from infra.definitions.pins import VERSIONS

# resources, types, primitives, abstract types
PUBLISHED = {
    "1.0.2": (94, 20, 18, 4),
    "3.0.2": (117, 33, 18, 4),
    "4.3.0": (141, 40, 20, 4),
    "5.0.0": (158, 42, 21, 8),
}
# Parameters of a type that no datatype at their path is listed for, as published.
ODD = {
    "1.0.2": {"Coverage.dependent", "Coverage.sequence"},
    "3.0.2": {"Device.udi-carrier"},
    "4.3.0": set(),
    "5.0.0": {
        "Device.serial-number",
        "MedicinalProductDefinition.characteristic",
        "MessageHeader.event",
        "Resource._in",
    },
}


@pytest.fixture(scope="module", params=sorted(PUBLISHED))
def committed(request):
    path = project_root() / DATA / f"fhir-{request.param}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_each_offered_version_has_its_row_of_pins():
    assert {pins.fhir_version for pins in VERSIONS} == set(FHIR_VERSIONS)


def test_every_published_type_is_there(committed):
    kinds = Counter(each["kind"] for each in committed["types"].values())
    found = tuple(kinds[kind] for kind in ("resource", "type", "primitive", "abstract"))
    assert found == PUBLISHED[committed["fhirVersion"]]
    assert committed["module"] == f"fhir-{committed['fhirVersion']}"


def test_every_named_type_exists(committed):
    types = committed["types"]
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


def test_inherited_elements_stand_at_their_origin_only(committed):
    types = committed["types"]
    for name, definition in types.items():
        elements = definition.get("elements", {})
        if name not in ("Resource", "DomainResource", "Element", "Extension", "Reference"):
            assert not {"meta", "implicitRules"} & set(elements), name
        assert not {
            path for path in elements if path.rpartition(".")[2] == "extension"
        } or name in (
            "Element",
            "DomainResource",
        ), name


def test_content_references_lead_to_groups(committed):
    for definition in committed["types"].values():
        for element in definition.get("elements", {}).values():
            if "contentRef" in element:
                assert "group" in definition["elements"][element["contentRef"]]


def test_search_paths_end_on_datatypes_their_parameter_can_search(committed):
    model = TypeModel(committed["types"])
    odd = set()
    for key, parameter in committed["searchParameters"].items():
        guards = parameter.get("guards") or [None] * len(parameter["expression"])
        if parameter["type"] in ("composite", "special") or parameter.get("exists"):
            continue
        for path, guard in zip(parameter["expression"], guards, strict=True):
            node = Node(parameter["resource"])
            if guard and ("raw" in guard or "inline" in guard):
                continue
            for step in path:
                if isinstance(step, str):
                    is_choice = step in model.alternatives(node)
                    node = Node(step) if is_choice else model.find_member(node, step)
                    assert node is not None, key
            if model.type_of(node) not in DATATYPES.get(parameter["type"], ()):
                odd.add(key)
    assert odd == ODD[committed["fhirVersion"]]


def test_the_five_compartments_name_known_types_and_parameters(committed):
    expected = {"Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"}
    assert set(committed["compartments"]) == expected
    for compartment in committed["compartments"].values():
        for entry in compartment["resource"]:
            assert committed["types"][entry["code"]]["kind"] == "resource"
    patient = {entry["code"]: entry for entry in committed["compartments"]["Patient"]["resource"]}
    assert patient["Patient"]["param"][-1] in {"link", "{def}"}
    assert "subject" in patient["Observation"]["param"]
    assert "param" not in patient["Organization"]


EXPECTED = {
    "1.0.2": [
        ("Observation.value-quantity", [["value", "Quantity"]]),
        ("Observation.date", [["effective", "dateTime"], ["effective", "Period"]]),
        ("Patient.phone", [["telecom", {"system": "phone"}]]),
        ("Bundle.message", [["entry", 0, "resource"]]),
        ("MedicationOrder.medication", [["medication", "Reference"]]),
    ],
    "3.0.2": [
        ("MedicationRequest.patient", [["subject"]]),
        ("Observation.value-quantity", [["value", "Quantity"]]),
        ("Patient.animal-breed", [["animal", "breed"]]),
    ],
    "4.3.0": [
        ("Observation.value-quantity", [["value", "Quantity"], ["value", "SampledData"]]),
        ("Ingredient.role", [["role"]]),
    ],
    "5.0.0": [
        ("MedicationRequest.code", [["medication", "concept"]]),
        ("Observation.value-markdown", [["value", "string"], ["value", "CodeableConcept", "text"]]),
        ("Bundle.composition", [["entry", 0, "resource"]]),
        ("Appointment.date", [["start"], ["requestedPeriod", "start"]]),
    ],
}


def test_known_parameters(committed):
    for key, expression in EXPECTED[committed["fhirVersion"]]:
        assert committed["searchParameters"][key]["expression"] == expression, key


def test_required_codes_are_those_of_the_version(committed):
    def codes(type_name, path):
        element = committed["types"][type_name]["elements"][path]
        return set(committed["valueSets"][element["valueSet"]]["codes"])

    assert codes("Patient", "gender") == {"male", "female", "other", "unknown"}
    has_completed = {"1.0.2": False, "3.0.2": False, "4.3.0": False, "5.0.0": True}
    statuses = codes("Encounter", "status")
    assert ("completed" in statuses) is has_completed[committed["fhirVersion"]]
    assert ("finished" in statuses) is not has_completed[committed["fhirVersion"]]
