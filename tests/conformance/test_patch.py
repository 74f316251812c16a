"""The published patch cases, against a box.

Source: core specification, "Patch"; tests/data/patch/README.md.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET

import pytest

from boxruntime.fhir.empties import strip_empty
from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.patch.json_patch import apply_json_patch, parse_json_patch
from tests.conformance.data import DATA, text_of, without_server_meta
from tests.conformance.fhir_xml import resource_from
from tests.integration.runtime.making import fresh, outcome

FHIRPATH = list(ET.parse(DATA / "patch" / "fhir-patch-tests.xml").getroot())
JSON = decode_json((DATA / "patch" / "json-patch-tests.json").read_bytes())
JSON_TYPE = "PatchedThing"
HEADERS = {"content-type": "application/fhir+json"}


def test_all_cases_are_there():
    assert (len(FHIRPATH), len(JSON)) == (33, 16)


@pytest.mark.parametrize("case", FHIRPATH, ids=[case.attrib["name"] for case in FHIRPATH])
async def test_fhirpath_patch(box, case):
    given, diff = (resource_from(case.find(part)[0]) for part in ("input", "diff"))
    await box.client.put("/fhir/Organization/1", json={"resourceType": "Organization", "name": "A"})
    id_ = given["id"] = fresh()
    path = f"/fhir/Patient/{id_}"
    made = await box.client.put(path, json=given)
    assert made.status_code == 201, made.text
    answer = await box.client.patch(path, content=encode_json(diff), headers=HEADERS)
    read = (await box.client.get(path)).json()
    error = case.find("error")
    if error is not None:
        outcome(answer, 400)
        assert read == made.json()
        return
    assert answer.status_code == 200, answer.text
    wanted = {**resource_from(case.find("output")[0]), "id": id_}
    for found in (answer.json(), read):
        assert _comparable(found) == _comparable(wanted)
    assert int(read["meta"]["versionId"]) > int(made.json()["meta"]["versionId"])


def _comparable(resource):
    found = without_server_meta(resource)
    if "text" in found:
        found["text"] = {**found["text"], "div": ET.canonicalize(found["text"]["div"])}
    return text_of(found)


@pytest.fixture(scope="module")
async def open_type(box):
    """A type that takes any document, so that the cases are resources of it."""
    entity = {"type": "resource", "isOpen": True}
    made = await box.client.put(f"/Entity/{JSON_TYPE}", json=entity)
    assert made.status_code in {200, 201}
    yield box
    assert (await box.client.delete(f"/Entity/{JSON_TYPE}")).status_code == 200


@pytest.mark.parametrize("case", JSON, ids=[case["comment"] for case in JSON])
async def test_json_patch(open_type, case):
    path = f"/{JSON_TYPE}/{fresh()}"
    made = await open_type.client.put(path, json=case["doc"])
    assert made.status_code == 201, made.text
    answer = await open_type.client.patch(
        path, json=case["patch"], headers={"content-type": "application/json-patch+json"}
    )
    read = (await open_type.client.get(path)).json()
    if "error" in case:
        outcome(answer, 409 if case["patch"][0]["op"] == "test" else 400)
        assert read == made.json()
        return
    assert answer.status_code == 200, answer.text
    assert answer.json() == read
    content = {key: read[key] for key in read.keys() - {"resourceType", "id", "meta"}}
    assert content == strip_empty(case["expected"])  # a box keeps no {}: docs/spec-notes.md


@pytest.mark.parametrize("case", JSON, ids=[case["comment"] for case in JSON])
def test_json_patch_by_itself(case):
    document = copy.deepcopy(case["doc"])
    operations = parse_json_patch(case["patch"])
    if "error" in case:
        with pytest.raises(OutcomeError) as failure:
            apply_json_patch(document, operations)
        is_test = case["patch"][0]["op"] == "test"
        assert failure.value.fault is (Fault.CONFLICT if is_test else Fault.INVALID)
    else:
        assert apply_json_patch(document, operations) == case["expected"]
