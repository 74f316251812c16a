"""Where the secrets of a resource are."""

from __future__ import annotations

import copy

from boxruntime.fhir.formats import to_aidbox
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.secrets import change_secrets, secret_types

BASE = base_metadata("4.0.1")


def attribute(owner, path, **more):
    return {"id": ".".join((owner, *path)), "resource": {"id": owner}, "path": path, **more}


SECRET = {"id": "secret"}
METADATA = BASE.with_records(
    [],
    [
        attribute("Patient", ["badge"], type=SECRET, extensionUrl="urn:badge"),
        attribute("Patient", ["contact", "pin"], type=SECRET),
        attribute("Identifier", ["key"], type=SECRET, isCollection=True),
        attribute("Patient", ["proof"], union=[SECRET, {"id": "string"}]),
    ],
)


def changed(resource):
    found = []

    def note(secret, path):
        found.append(path)
        return secret.upper()

    return change_secrets(METADATA, resource["resourceType"], resource, note), found


def test_the_base_metadata_has_none_so_that_plain_boxes_look_nowhere():
    assert secret_types(BASE) == frozenset()
    patient = {"resourceType": "Patient"}
    assert change_secrets(BASE, "Patient", patient, lambda *_: "") is patient


def test_types_that_use_a_type_with_a_secret_have_one():
    assert {"Patient", "Identifier", "Reference", "Observation"} <= secret_types(METADATA)
    assert "HumanName" not in secret_types(METADATA)


def test_secrets_are_found_in_groups_types_arrays_choices_and_contained_resources():
    before = {
        "resourceType": "Patient",
        "contact": [{"pin": "a", "name": {"family": "a"}}],
        "identifier": [{"value": "a"}, {"key": ["a", "b"]}],
        "managingOrganization": {"identifier": {"key": ["a"]}},
        "proof": {"secret": "a"},
        "contained": [{"resourceType": "Patient", "badge": "a"}, {"resourceType": "No", "pin": "a"}],
    }  # fmt: skip
    kept = copy.deepcopy(before)
    after, found = changed(before)
    assert sorted(map(str, found)) == sorted(
        map(
            str,
            [
                ("contact", 0, "pin"), ("identifier", 1, "key", 0), ("identifier", 1, "key", 1),
                ("managingOrganization", "identifier", "key", 0), ("proof", "secret"),
                ("contained", 0, "badge"),
            ],
        )
    )  # fmt: skip
    assert before == kept
    assert after["identifier"] == [{"value": "a"}, {"key": ["A", "B"]}]
    assert after["contact"] == [{"pin": "A", "name": {"family": "a"}}]
    assert after["contained"][1] == {"resourceType": "No", "pin": "a"}


def test_another_alternative_of_a_choice_and_wrong_shapes_stay():
    resource = {"resourceType": "Patient", "proof": {"string": "a"}, "badge": 7, "contact": "a"}
    after, found = changed(resource)
    assert after is resource
    assert found == []


def test_a_secret_that_is_an_extension_in_fhir_is_found():
    document = {
        "resourceType": "Patient",
        "extension": [{"url": "urn:badge", "valueString": "a"}],
    }
    after, _ = changed(to_aidbox(METADATA, "Patient", document).resource)
    assert after["badge"] == "A"
