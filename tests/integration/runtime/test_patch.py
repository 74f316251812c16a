"""Patch under both bases: formats, dialects, statuses, preconditions.

Source: core specification, "Patch"; FHIR R4, "patch".
"""

from __future__ import annotations

import json

import pytest

from boxruntime.fhir.json_text import decode_json
from tests.integration.runtime.making import BASES, OAK, fresh, made, outcome

JSON_PATCH = {"content-type": "application/json-patch+json"}
MERGE_PATCH = {"content-type": "application/merge-patch+json"}
FHIR_JSON = {"content-type": "application/fhir+json"}


def delete_operation(path):
    return {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "delete"},
                    {"name": "path", "valueString": path},
                ],
            }
        ],
    }


@BASES
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ([{"op": "add", "path": "/gender", "value": "female"}], JSON_PATCH),
        ([{"op": "add", "path": "/gender", "value": "female"}], {}),
        ({"gender": "female"}, MERGE_PATCH),
        ({"gender": "female"}, {}),
        ({"gender": "female"}, FHIR_JSON),
    ],
)
async def test_a_patch_changes_what_it_names_and_makes_a_version(box, base, body, headers):
    path, before = await made(box, base, active=True)
    answer = await box.client.patch(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert after == {**before, "gender": "female", "meta": after["meta"]}
    assert int(after["meta"]["versionId"]) > int(before["meta"]["versionId"])
    version = after["meta"]["versionId"]
    assert answer.headers["etag"] == (f'W/"{version}"' if base else version)
    assert answer.headers["location"] == f"http://box.test{path}/_history/{version}"
    search = (await box.client.get(f"{base}/Patient?_id={after['id']}")).json()
    history = (await box.client.get(f"{path}/_history")).json()
    reads = [(await box.client.get(url)).json() for url in (path, f"{path}/_history/{version}")]
    for read in (*reads, search["entry"][0]["resource"], history["entry"][0]["resource"]):
        assert read == after
    assert [item["request"]["method"] for item in history["entry"]] == ["PUT", "POST"]
    (row,) = await box.sql(
        "SELECT status, cts < ts AS kept FROM patient WHERE id = $1", after["id"]
    )
    assert (row["status"], row["kept"]) == ("updated", True)


@BASES
async def test_an_empty_patch_makes_a_version_too(box, base):
    path, before = await made(box, base)
    for body in ([], {}):
        answer = await box.client.patch(path, json=body)
        assert answer.status_code == 200
        assert int(answer.json()["meta"]["versionId"]) > int(before["meta"]["versionId"])


async def test_the_patch_speaks_the_dialect_of_its_base(box):
    id_ = fresh()
    observation = {"status": "final", "code": {"text": "x"}, "valueQuantity": {"value": 1, "unit": "mg"}}  # fmt: skip
    await box.client.put(f"/fhir/Observation/{id_}", json=observation)
    fhir = [{"op": "replace", "path": "/valueQuantity/value", "value": 2}]
    root = [{"op": "replace", "path": "/value/Quantity/value", "value": 3}]
    assert (await box.client.patch(f"/fhir/Observation/{id_}", json=fhir)).status_code == 200
    outcome(await box.client.patch(f"/fhir/Observation/{id_}", json=root), 400)
    assert (await box.client.patch(f"/Observation/{id_}", json=root)).status_code == 200
    outcome(await box.client.patch(f"/Observation/{id_}", json=fhir), 400)
    read = (await box.client.get(f"/fhir/Observation/{id_}")).json()
    assert read["valueQuantity"] == {"value": 3, "unit": "mg"}


@pytest.mark.parametrize(
    ("base", "one", "two"),
    [
        ("", {"value": {"integer": 4}}, {"value": {"string": None, "integer": 4}}),
        ("/fhir", {"valueInteger": 4}, {"valueString": None, "valueInteger": 4}),
    ],
)
async def test_switching_a_choice_needs_the_old_one_to_go(box, base, one, two):
    path = f"/fhir/Observation/{fresh()}"
    observation = {"status": "final", "code": {"text": "x"}, "valueString": "a"}
    await box.client.put(path, json=observation)
    target = base + path.removeprefix("/fhir")
    outcome(await box.client.patch(target, json=one), 422)
    assert (await box.client.patch(target, json=two)).status_code == 200
    read = (await box.client.get(path)).json()
    assert read["valueInteger"] == 4
    assert "valueString" not in read


async def test_references_convert_on_the_way(box):
    organization = fresh()
    await box.client.put(f"/Organization/{organization}", json={"name": "A"})
    path, _ = await made(box, "/fhir")
    link = {"managingOrganization": {"reference": f"Organization/{organization}"}}
    assert (await box.client.patch(path, json=link)).json()["managingOrganization"] == link[
        "managingOrganization"
    ]
    (row,) = await box.sql(
        "SELECT resource->'managingOrganization' AS it FROM patient WHERE id = $1",
        path.rsplit("/", 1)[1],
    )
    assert json.loads(row["it"]) == {"id": organization, "resourceType": "Organization"}
    dangling = {"managingOrganization": {"reference": "Organization/none-such"}}
    body = outcome(await box.client.patch(path, json=dangling), 422)
    assert body["issue"][0]["expression"] == ["Patient.managingOrganization"]


@BASES
async def test_what_the_server_says_is_not_the_patchs_to_change(box, base):
    path, before = await made(box, base)
    for body in (
        {"id": "other", "resourceType": "Goal", "meta": {"versionId": "1", "tag": [{"code": "a"}]}},
        {"id": None, "resourceType": None, "meta": {"lastUpdated": None}},
        [
            {"op": "test", "path": "/id", "value": before["id"]},
            {"op": "replace", "path": "/id", "value": 5},
            {"op": "remove", "path": "/resourceType"},
            {"op": "replace", "path": "/meta/versionId", "value": "7"},
        ],
    ):
        answer = await box.client.patch(path, json=body)
        assert answer.status_code == 200, answer.text
        after = answer.json()
        assert (after["id"], after["resourceType"]) == (before["id"], "Patient")
        assert int(after["meta"]["versionId"]) > int(before["meta"]["versionId"])
        assert after["meta"]["tag"] == [{"code": "a"}]
    gone = await box.client.patch(path, json=[{"op": "remove", "path": "/meta"}])
    assert "tag" not in gone.json()["meta"]
    assert gone.json()["meta"]["versionId"]


@BASES
async def test_decimals_keep_their_text(box, base):
    path = f"{base}/Observation/{fresh()}"
    value = '"value":{"Quantity":' if not base else '"valueQuantity":'
    end = "}" if not base else ""
    text = f'{{"status":"final","code":{{"text":"x"}},{value}{{"value":1.00,"unit":"g"}}{end}}}'
    await box.client.put(path, content=text, headers={"content-type": "application/json"})
    pointer = "/valueQuantity" if base else "/value/Quantity"
    patch = (
        f'[{{"op":"test","path":"{pointer}/value","value":1}},'
        f'{{"op":"add","path":"/referenceRange","value":[{{"low":{{"value":0.50}}}}]}}]'
    )
    answer = await box.client.patch(path, content=patch, headers=JSON_PATCH)
    assert answer.status_code == 200, answer.text
    for content in (answer.content, (await box.client.get(path)).content):
        decoded = decode_json(content)
        quantity = decoded["valueQuantity"] if base else decoded["value"]["Quantity"]
        assert str(quantity["value"]) == "1.00"
        assert str(decoded["referenceRange"][0]["low"]["value"]) == "0.50"


@BASES
@pytest.mark.parametrize(
    ("body", "headers", "query"),
    [
        ("", {}, ""), ("{", {}, ""), ("[1]", {}, ""), ("5", {}, ""), ('"x"', JSON_PATCH, ""),
        ('{"gender":"male"}', JSON_PATCH, ""), ("[]", MERGE_PATCH, ""),
        ('[{"op":"spam","path":"/gender"}]', {}, ""), ('[{"op":"add","path":"gender","value":1}]', {}, ""),
        ('[{"op":"replace","path":"/gender","value":"male"}]', {}, ""),
        ('[{"op":"remove","path":"/name/5"}]', {}, ""), ('[{"op":"remove","path":""}]', {}, ""),
        ('{"gender":"male"}', {}, "?_method=json-patch"), ("[]", {}, "?_method=merge-patch"),
        ("{}", {}, "?_method=spam"), ("{}", {}, "?_method=fhirpath-patch"),
    ],
)  # fmt: skip
async def test_what_is_no_patch_or_does_not_fit_changes_nothing(box, base, body, headers, query):
    path, before = await made(box, base)
    answer = await box.client.patch(path + query, content=body, headers=headers)
    assert outcome(answer, 400)["id"] == "invalid"
    assert (await box.client.get(path)).json() == before


@BASES
async def test_other_media_types_are_refused(box, base):
    path, _ = await made(box, base)
    for media in ("text/plain", "application/xml-patch+xml", "application/x-www-form-urlencoded"):
        outcome(await box.client.patch(path, content="{}", headers={"content-type": media}), 415)
    outcome(await box.client.put(path, content="{}", headers=MERGE_PATCH), 415)
    outcome(await box.client.post(f"{base}/Patient", content="[]", headers=JSON_PATCH), 415)


@BASES
async def test_the_parameter_beats_the_media_type_and_others_mean_nothing(box, base):
    path, _ = await made(box, base)
    body = {"gender": "male"}
    query = "?_method=merge-patch&_type=x&_pretty=true&spam=1"
    answer = await box.client.patch(path + query, json=body, headers=JSON_PATCH)
    assert (answer.status_code, answer.json()["gender"]) == (200, "male")
    yaml = await box.client.patch(
        path, content="gender: female\nactive: null\n", headers={"content-type": "text/yaml"}
    )
    assert yaml.json()["gender"] == "female"
    yaml = await box.client.patch(
        path,
        content="- {op: remove, path: /gender}\n",
        headers={"content-type": "text/yaml"},
    )
    assert "gender" not in yaml.json()


async def test_parameters_are_a_fhirpath_patch_at_fhir_only(box):
    path, _ = await made(box, "/fhir", gender="male", birthDate="1990-01-01")
    for headers, query in (({}, ""), (FHIR_JSON, ""), (JSON_PATCH, "?_method=fhirpath-patch")):
        await box.client.patch(path, json={"gender": "male"})
        body = delete_operation("Patient.gender")
        answer = await box.client.patch(path + query, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert "gender" not in answer.json()
        assert answer.json()["birthDate"] == "1990-01-01"
    root = path.removeprefix("/fhir")
    outcome(await box.client.patch(root, json=delete_operation("Patient.birthDate")), 422)
    outcome(await box.client.patch(path, json=delete_operation("Patient.spam")), 400)
    outcome(await box.client.patch(path, json={**OAK}, params={"_method": "fhirpath-patch"}), 400)


@BASES
async def test_the_whole_result_is_validated(box, base):
    path, before = await made(box, base)
    for body, place in (
        ({"gender": "none-such"}, "Patient.gender"),
        ({"spam": 1}, "Patient.spam"),
        ({"name": {"family": "x"}}, "Patient.name"),
        ({"name": "x"}, "Patient.name"),
        ({"active": ""}, "Patient.active"),
        ({"text": {"div": "\u0000"}}, None),
    ):
        body_ = outcome(await box.client.patch(path, json=body), 422)
        assert place is None or body_["issue"][0]["expression"] == [place]
    assert (await box.client.get(path)).json() == before


@BASES
async def test_a_failed_test_is_a_conflict(box, base):
    path, before = await made(box, base, gender="male")
    patch = [
        {"op": "replace", "path": "/gender", "value": "other"},
        {"op": "test", "path": "/gender", "value": "male"},
    ]
    body = outcome(await box.client.patch(path, json=patch), 409)
    assert body["issue"][0]["code"] == "conflict"
    assert (await box.client.get(path)).json() == before


@BASES
async def test_prefer_no_content_and_method_override(box, base):
    path, _ = await made(box, base)
    minimal = await box.client.patch(path, json={}, headers={"Prefer": "return=minimal"})
    assert (minimal.status_code, minimal.content) == (200, b"")
    report = await box.client.patch(path, json={}, headers={"Prefer": "return=OperationOutcome"})
    assert report.json()["id"] == "allok"
    quiet = await box.client.patch(f"{path}?_no-content=true", json={"gender": "male"})
    assert (quiet.status_code, quiet.content) == (204, b"")
    assert "content-type" not in quiet.headers
    override = {"X-HTTP-Method-Override": "PATCH"}
    answer = await box.client.post(path, json={"gender": "other"}, headers=override)
    assert (answer.status_code, answer.json()["gender"]) == (200, "other")
    answer = await box.client.post(path, json=[], headers={**override, **JSON_PATCH})
    assert answer.status_code == 200


@BASES
async def test_copies_without_end_are_stopped(box, base):
    path, before = await made(box, base)
    bomb = [{"op": "copy", "from": "/name", "path": "/name/-"}] * 60
    outcome(await box.client.patch(path, json=bomb), 413)
    assert (await box.client.get(path)).json() == before


async def test_metadata_takes_effect_at_once(own_box):
    made = await own_box.client.put("/Entity/PatchNote", json={"type": "resource", "isOpen": True})
    assert made.status_code == 201
    note = f"/PatchNote/{fresh()}"
    assert (await own_box.client.put(note, json={"mood": "calm"})).status_code == 201
    closed = await own_box.client.patch("/Entity/PatchNote", json={"isOpen": False})
    assert closed.status_code == 200, closed.text
    outcome(await own_box.client.patch(note, json={"mood": "tense"}), 422)
    primitive = await own_box.client.patch("/Entity/PatchNote", json={"type": "primitive"})
    outcome(primitive, 422)
    mended = await own_box.client.patch("/Entity/PatchNote", json={"isOpen": True})
    assert mended.status_code == 200
    assert (await own_box.client.patch(note, json={"mood": "tense"})).status_code == 200


async def test_a_type_without_history_is_patched_too(own_box):
    entity = {"type": "resource", "isOpen": True, "history": "none"}
    await own_box.client.put("/Entity/PatchBrief", json=entity)
    path = f"/PatchBrief/{fresh()}"
    await own_box.client.put(path, json={"n": 1})
    answer = await own_box.client.patch(path, json=[{"op": "replace", "path": "/n", "value": 2}])
    assert (answer.status_code, answer.json()["n"]) == (200, 2)
    assert (await own_box.client.get(f"{path}/_history")).json()["total"] == 1


async def test_rows_that_people_wrote_are_patched(box):
    id_ = fresh()
    await box.sql(
        "INSERT INTO patient (id, txid, status, resource) VALUES ($1, "
        "nextval('transaction_id_seq'), 'created', $2::text::jsonb)",
        id_,
        '{"id": "wrong", "resourceType": "Wrong", "name": [{"family": "Sql"}]}',
    )
    answer = await box.client.patch(f"/fhir/Patient/{id_}", json={"active": True})
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == [{"family": "Sql"}]
    assert answer.json()["id"] == id_


async def test_a_binary_is_patched_as_a_resource(box):
    path = f"/fhir/Binary/{fresh()}"
    await box.client.put(path, content=b"hello", headers={"content-type": "text/plain"})
    patch = [{"op": "replace", "path": "/contentType", "value": "text/markdown"}]
    answer = await box.client.patch(path, json=patch, headers=JSON_PATCH)
    assert answer.status_code == 200, answer.text
    read = await box.client.get(path)
    assert (read.content, read.headers["content-type"]) == (b"hello", "text/markdown")


@BASES
async def test_secrets_stay_hashed_and_new_ones_are(box, base):
    id_ = fresh()
    client = {"secret": "first", "grant_types": ["basic"]}
    await box.client.put(f"/Client/{id_}", json=client)

    async def signs_in(secret):
        return (await box.client.get("/Patient/none-such", auth=(id_, secret))).status_code == 403

    patched = await box.client.patch(f"{base}/Client/{id_}", json={"description": "x"})
    assert patched.status_code == 200, patched.text
    assert await signs_in("first")
    patched = await box.client.patch(f"{base}/Client/{id_}", json={"secret": "second"})
    assert patched.status_code == 200
    assert "second" not in patched.text
    assert await signs_in("second")
    assert not await signs_in("first")


async def test_first_class_extensions_are_extensions_to_a_patch_at_fhir(own_box):
    attribute = {
        "path": ["patchTribe"], "type": {"id": "code", "resourceType": "Entity"},
        "extensionUrl": "http://ex.test/tribe",
        "resource": {"id": "Patient", "resourceType": "Entity"},
    }  # fmt: skip
    added = await own_box.client.put("/Attribute/Patient.patchTribe", json=attribute)
    assert added.status_code == 201, added.text
    path, _ = await made(own_box, "", patchTribe="a")
    patch = delete_operation("Patient.extension('http://ex.test/tribe').value")
    parts = patch["parameter"][0]["part"]
    parts[0]["valueCode"] = "replace"
    parts.append({"name": "value", "valueCode": "b"})
    answer = await own_box.client.patch(f"/fhir{path}", json=patch)
    assert answer.status_code == 200, answer.text
    assert answer.json()["extension"] == [{"url": "http://ex.test/tribe", "valueCode": "b"}]
    assert (await own_box.client.get(path)).json()["patchTribe"] == "b"
    pointer = [{"op": "replace", "path": "/extension/0/valueCode", "value": "c"}]
    assert (await own_box.client.patch(f"/fhir{path}", json=pointer)).status_code == 200
    assert (await own_box.client.get(path)).json()["patchTribe"] == "c"
    pointer = [{"op": "remove", "path": "/patchTribe"}]
    outcome(await own_box.client.patch(f"/fhir{path}", json=pointer), 400)
    assert (await own_box.client.patch(path, json=pointer)).status_code == 200
    assert "extension" not in (await own_box.client.get(f"/fhir{path}")).json()
