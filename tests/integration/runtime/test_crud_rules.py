"""The finer rules of create, read, update and delete, at both bases.

Source: core specification, "CRUD", "Headers", "Response headers"; FHIR R4, "RESTful API", "Binary".
"""

from __future__ import annotations

import json

import pytest

from tests.integration.runtime.making import BASES, OAK, batch, entry, fresh, outcome, transaction

MISMATCH = pytest.mark.parametrize(
    ("base", "mismatch"), [("", 409), ("/fhir", 412)], ids=["root", "fhir"]
)
DIV = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Oak</div>'}


@BASES
async def test_a_deleted_id_may_be_created_again(box, base):
    id_ = fresh()
    first = await box.client.post(f"{base}/Patient", json={**OAK, "id": id_})
    await box.client.delete(f"{base}/Patient/{id_}")
    again = await box.client.post(f"{base}/Patient", json={**OAK, "id": id_})
    assert (first.status_code, again.status_code) == (201, 201)
    (row,) = await box.sql("SELECT status, cts = ts AS fresh FROM patient WHERE id = $1", id_)
    assert (row["status"], row["fresh"]) == ("recreated", True)
    assert (await box.client.get(f"{base}/Patient/{id_}")).json() == again.json()


@BASES
async def test_a_found_resource_is_answered_as_it_is(box, base):
    mrn = fresh()
    body = {**OAK, "identifier": [{"system": "http://x.test/a?b=c", "value": mrn}]}
    query = f"identifier=http://x.test/a?b=c|{mrn}"
    made = await box.client.post(f"{base}/Patient?{query}", json=body)
    assert made.status_code == 201
    for spelling in (
        query,
        f"?{query}",
        f"Patient?{query}",
        f"http://box.test/fhir/Patient?{query}",
    ):
        found = await box.client.post(
            f"{base}/Patient", json={"spam": 1}, headers={"If-None-Exist": spelling}
        )
        assert (found.status_code, found.json()) == (200, made.json())
        assert found.headers["location"] == made.headers["location"]
        assert found.headers["etag"] == made.headers["etag"]
    for wrong in ("spam=1", "identifier=", "birthdate=soon", "name=%ff"):
        headers = {"If-None-Exist": wrong}
        outcome(await box.client.post(f"{base}/Patient", json=OAK, headers=headers), 400)


@BASES
@pytest.mark.parametrize("body", [[], [OAK], "x", 5, True])
async def test_a_body_that_is_no_resource(box, base, body):
    path = f"{base}/Patient/{fresh()}"
    outcome(await box.client.post(f"{base}/Patient", json=body), 400)
    outcome(await box.client.put(path, json=body), 400)
    assert (await box.client.get(path)).status_code == 404


@BASES
async def test_ids_of_urls_follow_the_pattern_too(box, base):
    for id_ in ("a%20b", "x" * 256, "%C3%BC", "%7B%7Bx%7D%7D"):
        body = outcome(await box.client.put(f"{base}/Patient/{id_}", json=OAK), 422)
        assert body["issue"][0]["expression"] == ["Patient.id"]
        outcome(await box.client.get(f"{base}/Patient/{id_}"), 404)
    longest = "y" * 243 + fresh()[2:]
    assert (await box.client.put(f"{base}/Patient/{longest}", json=OAK)).status_code == 201


@BASES
async def test_a_version_has_one_spelling(box, base):
    made = (await box.client.post(f"{base}/Patient", json=OAK)).json()
    path, version = f"{base}/Patient/{made['id']}/_history", made["meta"]["versionId"]
    assert (await box.client.get(f"{path}/{version}")).json() == made
    for other in (f"0{version}", f"+{version}", f"{version}.0", "²"):
        outcome(await box.client.get(f"{path}/{other}"), 404)


@BASES
async def test_versions_know_preconditions_parts_and_head(box, base):
    made = (await box.client.post(f"{base}/Patient", json={**OAK, "text": DIV})).json()
    path = f"{base}/Patient/{made['id']}"
    version = made["meta"]["versionId"]
    await box.client.put(path, json=OAK)
    old = f"{path}/_history/{version}"
    read = await box.client.get(old)
    assert read.headers["etag"] == (f'W/"{version}"' if base else version)
    same = await box.client.get(old, headers={"If-None-Match": f'W/"{version}"'})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == read.headers["etag"]
    head = await box.client.head(old)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == read.headers["etag"]
    assert "text" not in (await box.client.get(f"{old}?_summary=data")).json()
    assert "name" not in (await box.client.get(f"{old}?_elements=text")).json()
    moved = await box.client.get(path, headers={"If-None-Match": f'W/"{version}"'})
    assert moved.status_code == 200


@BASES
async def test_head_fails_like_get(box, base):
    path = f"{base}/Patient/{fresh()}"
    missing = await box.client.head(path)
    assert (missing.status_code, missing.content) == (404, b"")
    await box.client.put(path, json=OAK)
    version = (await box.client.delete(path)).json()["meta"]["versionId"]
    for gone in (path, f"{path}/_history/{version}"):
        head = await box.client.head(gone)
        assert (head.status_code, head.content) == (410, b"")
        got = await box.client.get(gone, headers={"If-None-Match": "*"})
        assert outcome(got, 410)["id"] == "deleted"


@BASES
async def test_if_none_match_beats_if_modified_since(box, base):
    made = await box.client.post(f"{base}/Patient", json=OAK)
    path = f"{base}/Patient/{made.json()['id']}"
    future = {"If-Modified-Since": "Sun, 05 Jan 2099 10:11:12 GMT"}
    assert (await box.client.get(path, headers=future)).status_code == 304
    assert (await box.client.get(path, headers={**future, "If-None-Match": "1"})).status_code == 200
    past = {"If-Modified-Since": "Sun, 05 Jan 2020 10:11:12 GMT"}
    tag = {"If-None-Match": made.headers["etag"]}
    assert (await box.client.get(path, headers={**past, **tag})).status_code == 304
    for nonsense in ("Sun, 05 Jan 99999 10:11:12 GMT", "0", "Sun, 05 Jan 2099 10:11:12 +9999"):
        read = await box.client.get(path, headers={"If-Modified-Since": nonsense})
        assert read.status_code == 200


@MISMATCH
async def test_preconditions_of_conditional_writes(box, base, mismatch):
    id_ = fresh()
    path, query = f"{base}/Patient/{id_}", f"{base}/Patient?_id={id_}"
    for method in ("PUT", "DELETE"):
        for value, status in (("4", mismatch), ("*", 412)):
            answer = await box.client.request(
                method, query, json={**OAK, "id": id_}, headers={"If-Match": value}
            )
            outcome(answer, status)
    assert (await box.client.get(path)).status_code == 404
    absent = {"If-None-Match": "*"}
    created = await box.client.put(query, json={**OAK, "id": id_}, headers=absent)
    assert created.status_code == 201
    outcome(await box.client.put(query, json=OAK, headers=absent), 412)
    outcome(await box.client.put(f"{base}/Patient", json={**OAK, "id": id_}, headers=absent), 412)
    for method in ("PUT", "DELETE"):
        outcome(
            await box.client.request(method, query, json=OAK, headers={"If-Match": "4"}), mismatch
        )
    version = created.json()["meta"]["versionId"]
    right = {"If-Match": f'"4", W/"{version}"'}
    updated = await box.client.put(query, json=OAK, headers=right)
    assert updated.status_code == 200
    right = {"If-Match": updated.headers["etag"]}
    assert (await box.client.delete(query, headers=right)).status_code == 200
    assert (await box.client.get(path)).status_code == 410


@MISMATCH
async def test_preconditions_of_what_is_gone(box, base, mismatch):
    path = f"{base}/Patient/{fresh()}"
    made = (await box.client.put(path, json=OAK)).json()
    await box.client.delete(path)
    for method in ("PUT", "DELETE"):
        for value, status in ((made["meta"]["versionId"], mismatch), ("*", 412)):
            answer = await box.client.request(method, path, json=OAK, headers={"If-Match": value})
            outcome(answer, status)
    assert (await box.client.get(path)).status_code == 410
    again = await box.client.put(path, json=OAK, headers={"If-None-Match": "*"})
    assert again.status_code == 201


@BASES
async def test_what_a_delete_answers(box, base):
    path = f"{base}/Patient/{fresh()}"
    for headers, query, check in (
        ({}, "", lambda answer: answer.json()["name"] == OAK["name"]),
        ({"Prefer": "return=minimal"}, "", lambda answer: answer.content == b""),
        ({"Prefer": "return=OperationOutcome"}, "", lambda answer: answer.json()["id"] == "allok"),
        ({}, "?_no-content=true", lambda answer: answer.content == b""),
    ):
        put = await box.client.put(path, json=OAK)
        deleted = await box.client.delete(path + query, headers=headers)
        assert deleted.status_code == (204 if query else 200)
        assert check(deleted)
        assert deleted.headers["etag"] != put.headers["etag"]
        again = await box.client.delete(path + query, headers=headers)
        assert (again.status_code, again.content) == (204, b"")
        assert "content-type" not in again.headers


@BASES
async def test_nothing_minds_that_others_refer_to_what_is_deleted(box, base):
    organization, patient = fresh(), fresh()
    await box.client.put(f"/Organization/{organization}", json={"name": "A"})
    link = {"resourceType": "Organization", "id": organization}
    await box.client.put(f"/Patient/{patient}", json={**OAK, "managingOrganization": link})
    assert (await box.client.delete(f"{base}/Organization/{organization}")).status_code == 200
    assert (await box.client.get(f"{base}/Patient/{patient}")).status_code == 200


@BASES
@pytest.mark.parametrize("bundle", [batch, transaction])
async def test_an_entry_may_ask_for_no_content(box, base, bundle):
    id_ = fresh()
    answer = await box.client.post(
        f"{base}/",
        json=bundle(entry("PUT", f"Patient/{id_}?_no-content=true", {**OAK, "id": id_})),
    )
    (item,) = answer.json()["entry"]
    assert item["response"]["status"] == "204"
    assert "resource" not in item
    assert (await box.client.get(f"{base}/Patient/{id_}")).status_code == 200


@BASES
async def test_the_id_of_the_body_follows_the_url_in_bundles_too(box, base):
    id_ = fresh()
    bundle = batch(entry("PUT", f"Patient/{id_}", {**OAK, "id": "other"}))
    (item,) = (await box.client.post(f"{base}/", json=bundle)).json()["entry"]
    if base:
        assert item["response"]["status"] == "400"
    else:
        assert (item["response"]["status"], item["resource"]["id"]) == ("201", id_)


@BASES
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "GET", "HEAD", " put "])
async def test_the_method_of_a_post_may_be_another(box, base, method):
    path = f"{base}/Patient/{fresh()}"
    await box.client.put(path, json=OAK)
    body = None if method in {"GET", "HEAD", "DELETE"} else {"active": True}
    answer = await box.client.post(path, json=body, headers={"X-HTTP-Method-Override": method})
    assert answer.status_code == 200
    assert (answer.content == b"") is (method == "HEAD")
    read = await box.client.get(path, headers={"X-HTTP-Method-Override": "DELETE"})
    assert read.status_code == (410 if method == "DELETE" else 200)


async def test_a_binary_without_a_byte(box):
    made = await box.client.post("/fhir/Binary", headers={"content-type": "image/png"})
    assert made.status_code == 201, made.text
    assert (made.json()["contentType"], "data" in made.json()) == ("image/png", False)
    path = f"/fhir/Binary/{made.json()['id']}"
    read = await box.client.get(path, headers={"accept": "image/png"})
    assert (read.status_code, read.content) == (204, b"")


async def test_forms_of_a_binary(box):
    path = f"/fhir/Binary/{fresh()}"
    text = {"content-type": "text/plain;charset=utf-8"}
    put = await box.client.put(path, content=b"abc", headers=text)
    assert put.status_code == 201
    version = put.json()["meta"]["versionId"]
    for accept in (
        "application/json",
        "application/fhir+json",
        "text/yaml",
        "text/plain, text/yaml",
    ):
        read = await box.client.get(path, headers={"accept": accept})
        assert b"contentType" in read.content
    for accept in ("text/plain", "*/*", "image/png", "application/fhir+xml, text/plain"):
        for url in (path, f"{path}/_history/{version}"):
            read = await box.client.get(url, headers={"accept": accept})
            assert (read.content, read.headers["content-type"]) == (b"abc", text["content-type"])
            assert read.headers["etag"] == f'W/"{version}"'
    for accept in ("application/fhir+xml", "application/xml+fhir"):
        outcome(await box.client.get(path, headers={"accept": accept}), 406)
    same = await box.client.get(path, headers={"accept": "text/plain", "If-None-Match": version})
    assert (same.status_code, same.content) == (304, b"")
    head = await box.client.head(path, headers={"accept": "text/plain"})
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "3")
    other = await box.client.put(f"/fhir/Binary?_id={path.rsplit('/', 1)[1]}", content=b"x", headers=text)  # fmt: skip
    assert other.status_code == 200
    outcome(await box.client.get("/fhir/Binary/none-such", headers={"accept": "text/plain"}), 404)
    outcome(await box.client.post("/Binary", content=b"abc", headers=text), 415)
    outcome(await box.client.post("/fhir/Patient", content=b"abc", headers=text), 415)


async def test_a_binary_belongs_to_its_security_context(box):
    patient = fresh()
    await box.client.put(f"/fhir/Patient/{patient}", json=OAK)
    headers = {"content-type": "text/plain", "X-Security-Context": f"Patient/{patient}"}
    made = await box.client.post("/fhir/Binary", content=b"abc", headers=headers)
    assert made.json()["securityContext"] == {"reference": f"Patient/{patient}"}
    path = f"/fhir/Binary/{made.json()['id']}"
    read = await box.client.get(path, headers={"accept": "text/plain"})
    assert read.headers["x-security-context"] == f"Patient/{patient}"
    wrong = {**headers, "X-Security-Context": "Patient/none-such"}
    outcome(await box.client.post("/fhir/Binary", content=b"abc", headers=wrong), 422)
    evil = {"uri": "urn:x\r\nset-cookie: a=b"}
    body = json.dumps({"contentType": "text/plain", "data": "YWJj", "securityContext": evil})
    made = await box.client.post(
        "/Binary", content=body, headers={"content-type": "application/json"}
    )
    if made.status_code == 201:
        read = await box.client.get(
            f"/fhir/Binary/{made.json()['id']}", headers={"accept": "text/plain"}
        )
        assert read.content == b"abc"
        assert "x-security-context" not in read.headers
        assert "set-cookie" not in read.headers
