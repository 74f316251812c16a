"""Create, read, update, delete under both bases.

Source: core specification, "CRUD", "Headers", "Response headers".
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest

from tests.integration.runtime.making import BASES, OAK, entry, fresh, outcome

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@BASES
async def test_create_answers_the_stored_resource_and_where_it_is(box, base):
    response = await box.client.post(f"{base}/Patient", json=OAK)
    assert response.status_code == 201
    body = response.json()
    assert UUID4.fullmatch(body["id"])
    version = body["meta"]["versionId"]
    tag = f'W/"{version}"' if base else version
    assert response.headers["etag"] == tag
    assert (
        response.headers["location"]
        == f"http://box.test{base}/Patient/{body['id']}/_history/{version}"
    )
    updated = datetime.fromisoformat(body["meta"]["lastUpdated"])
    assert parsedate_to_datetime(response.headers["last-modified"]) == updated.replace(
        microsecond=0
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", body["meta"]["lastUpdated"])
    media = "application/fhir+json" if base else "application/json"
    assert response.headers["content-type"].startswith(media)
    assert body["name"] == [{"family": "Oak"}]
    created = (
        body["meta"]["extension"]
        == [{"url": "ex:createdAt", "valueInstant": body["meta"]["lastUpdated"]}]
        if base
        else body["meta"]["createdAt"] == body["meta"]["lastUpdated"]
    )
    assert created


@BASES
async def test_an_empty_post_succeeds(box, base):
    response = await box.client.post(f"{base}/Patient")
    assert response.status_code == 201


@BASES
async def test_a_body_id_is_honoured_and_taken_only_once(box, base):
    id_ = "bundle_patient_" + uuid.uuid4().hex
    first = await box.client.post(f"{base}/Patient", json={**OAK, "id": id_})
    assert (first.status_code, first.json()["id"]) == (201, id_)
    again = await box.client.post(f"{base}/Patient", json={**OAK, "id": id_})
    assert again.status_code == 409
    assert outcome(again)["id"] == "conflict"


@pytest.mark.parametrize("id_", ["a b", "ü", "a/b", "", "x" * 256, "..", "_history", 5, "a\nb"])
async def test_an_id_outside_the_pattern_is_refused(box, id_):
    response = await box.client.post("/fhir/Patient", json={**OAK, "id": id_})
    assert response.status_code == 422
    assert outcome(response)["issue"][0]["expression"] == ["Patient.id"]


async def test_a_long_id_with_dots_and_underscores_is_fine(box):
    id_ = "A_b.c-" + "x" * 249
    assert (await box.client.put(f"/Patient/{id_}", json=OAK)).status_code == 201
    assert (await box.client.get(f"/Patient/{id_}")).json()["id"] == id_


async def test_create_ignores_the_id_at_fhir_when_told_so(make_box):
    async with make_box(BOX_FHIR_CREATE_IGNORE_ID="true") as box:
        a, b, c = fresh(), fresh(), fresh()
        assert (await box.client.post("/fhir/Patient", json={**OAK, "id": a})).json()["id"] != a
        assert (await box.client.post("/Patient", json={**OAK, "id": a})).json()["id"] == a
        for kind in ("batch", "transaction"):
            bundle = {
                "resourceType": "Bundle",
                "type": kind,
                "entry": [entry("POST", "Patient", {**OAK, "id": b})],
            }
            answer = (await box.client.post("/fhir", json=bundle)).json()
            assert answer["entry"][0]["resource"]["id"] == b
            await box.client.delete(f"/fhir/Patient/{b}")
        put = await box.client.put("/fhir/Patient?family=Nobody", json={**OAK, "id": c})
        assert (put.status_code, put.json()["id"]) == (201, c)


@BASES
async def test_read_and_its_preconditions(box, base):
    created = await box.client.post(f"{base}/Patient", json=OAK)
    path = f"{base}/Patient/{created.json()['id']}"
    read = await box.client.get(path)
    assert read.status_code == 200
    assert read.json() == created.json()
    assert read.headers["etag"] == created.headers["etag"]
    assert read.headers["last-modified"] == created.headers["last-modified"]
    version = created.json()["meta"]["versionId"]
    for tag in (version, f'"{version}"', f'W/"{version}"', f'"1", W/"{version}"', "*"):
        same = await box.client.get(path, headers={"If-None-Match": tag})
        assert (same.status_code, same.content) == (304, b"")
        assert "content-type" not in same.headers
    assert (await box.client.get(path, headers={"If-None-Match": "1"})).status_code == 200
    modified = {"If-Modified-Since": created.headers["last-modified"]}
    assert (await box.client.get(path, headers=modified)).status_code == 304
    earlier = {"If-Modified-Since": "Sun, 05 Jan 2020 10:11:12 GMT"}
    assert (await box.client.get(path, headers=earlier)).status_code == 200
    assert (await box.client.get(path, headers={"If-Modified-Since": "soon"})).status_code == 200


@BASES
async def test_head_is_get_without_a_body(box, base):
    created = await box.client.post(f"{base}/Patient", json=OAK)
    path = f"{base}/Patient/{created.json()['id']}"
    head = await box.client.head(path)
    assert head.status_code == 200
    assert head.headers["etag"] == created.headers["etag"]
    assert head.content == b""
    assert (await box.client.head(f"{base}/Patient/{fresh()}")).status_code == 404


@BASES
async def test_unknown_deleted_and_gone(box, base):
    unknown = await box.client.get(f"{base}/Patient/{fresh()}")
    assert unknown.status_code == 404
    assert outcome(unknown)["id"] == "not-found"
    created = (await box.client.post(f"{base}/Patient", json=OAK)).json()
    path = f"{base}/Patient/{created['id']}"
    deleted = await box.client.delete(path)
    assert deleted.status_code == 200
    body = deleted.json()
    assert body["name"] == OAK["name"]
    assert int(body["meta"]["versionId"]) > int(created["meta"]["versionId"])
    assert body["meta"]["lastUpdated"] > created["meta"]["lastUpdated"]
    gone = await box.client.get(path)
    assert gone.status_code == 410
    assert outcome(gone)["id"] == "deleted"
    assert gone.json()["issue"][0]["code"] == "deleted"
    again = await box.client.delete(path)
    assert (again.status_code, again.content) == (204, b"")


async def test_deleting_what_never_existed(box):
    assert (await box.client.delete(f"/Patient/{fresh()}")).status_code == 404
    assert (await box.client.delete(f"/fhir/Patient/{fresh()}")).status_code == 204
    assert (await box.client.delete("/Patient/%7B%7Bx%7D%7D")).status_code == 404
    assert (await box.client.delete("/fhir/Patient/%7B%7Bx%7D%7D")).status_code == 204
    assert (await box.client.delete("/fhir/Nothing/x")).status_code == 404


@BASES
async def test_recreation_restarts_created_at(box, base):
    id_ = fresh()
    first = (await box.client.put(f"{base}/Patient/{id_}", json=OAK)).json()
    await box.client.delete(f"{base}/Patient/{id_}")
    again = await box.client.put(f"{base}/Patient/{id_}", json=OAK)
    assert again.status_code == 201
    assert again.json()["meta"]["versionId"] > first["meta"]["versionId"]
    (row,) = await box.sql("SELECT status, cts = ts AS restarted FROM patient WHERE id = $1", id_)
    assert (row["status"], row["restarted"]) == ("recreated", True)


@BASES
async def test_update_makes_a_version_even_without_a_change(box, base):
    id_ = fresh()
    first = await box.client.put(f"{base}/Patient/{id_}", json=OAK)
    second = await box.client.put(f"{base}/Patient/{id_}", json=first.json())
    assert (first.status_code, second.status_code) == (201, 200)
    assert int(second.json()["meta"]["versionId"]) > int(first.json()["meta"]["versionId"])
    (row,) = await box.sql("SELECT cts < ts AS kept, status FROM patient WHERE id = $1", id_)
    assert (row["kept"], row["status"]) == (True, "updated")


@BASES
async def test_meta_is_replaced_and_its_server_part_ignored(box, base):
    id_ = fresh()
    mine = {"versionId": "999999", "lastUpdated": "2001-01-01T00:00:00Z", "tag": [{"code": "a"}]}
    await box.client.put(f"{base}/Patient/{id_}", json={**OAK, "meta": mine})
    second = await box.client.put(
        f"{base}/Patient/{id_}", json={**OAK, "meta": {"profile": ["http://x.test/p"]}}
    )
    meta = second.json()["meta"]
    assert "tag" not in meta
    assert meta["profile"] == ["http://x.test/p"]
    assert meta["versionId"] != "999999"
    (row,) = await box.sql("SELECT resource->'meta' AS meta FROM patient WHERE id = $1", id_)
    assert row["meta"] == '{"profile": ["http://x.test/p"]}'


async def test_another_id_in_the_body(box):
    id_ = fresh()
    root = await box.client.put(f"/Patient/{id_}", json={**OAK, "id": "other"})
    assert (root.status_code, root.json()["id"]) == (201, id_)
    fhir = await box.client.put(f"/fhir/Patient/{id_}", json={**OAK, "id": "other"})
    assert fhir.status_code == 400
    assert outcome(fhir)["id"] == "invalid"


@pytest.mark.parametrize(("base", "mismatch"), [("", 409), ("/fhir", 412)])
async def test_versioned_update(box, base, mismatch):
    id_ = fresh()
    path = f"{base}/Patient/{id_}"
    for tag in ("30", 'W/"30"', "99999999999999999999", "abc"):
        missing = await box.client.put(path, json=OAK, headers={"If-Match": tag})
        assert missing.status_code == mismatch
    assert (await box.client.put(path, json=OAK, headers={"If-Match": "*"})).status_code == 412
    version = (await box.client.put(path, json=OAK)).json()["meta"]["versionId"]
    wrong = await box.client.put(path, json=OAK, headers={"If-Match": "1"})
    assert wrong.status_code == mismatch
    body = outcome(wrong)
    assert body["id"] == "conflict"
    assert body["issue"][0]["code"] == "conflict"
    assert body["issue"][0]["diagnostics"] == "Version Id mismatch"
    right = await box.client.put(path, json=OAK, headers={"If-Match": f'"1", "{version}"'})
    assert right.status_code == 200
    assert (await box.client.put(path, json=OAK, headers={"If-Match": "*"})).status_code == 200
    taken = await box.client.put(path, json=OAK, headers={"If-None-Match": "*"})
    assert taken.status_code == 412
    new = await box.client.put(
        f"{base}/Patient/{fresh()}", json=OAK, headers={"If-None-Match": "*"}
    )
    assert new.status_code == 201
    assert (await box.client.delete(path, headers={"If-Match": "1"})).status_code == mismatch
    current = (await box.client.get(path)).json()["meta"]["versionId"]
    assert (await box.client.delete(path, headers={"If-Match": current})).status_code == 200
    assert (await box.client.delete(path, headers={"If-Match": "*"})).status_code == 412


@BASES
async def test_vread(box, base):
    id_ = fresh()
    first = (await box.client.put(f"{base}/Patient/{id_}", json=OAK)).json()
    second = (await box.client.put(f"{base}/Patient/{id_}", json={**OAK, "active": True})).json()
    deletion = (await box.client.delete(f"{base}/Patient/{id_}")).json()
    path = f"{base}/Patient/{id_}/_history/"
    for version in (first, second):
        read = await box.client.get(path + version["meta"]["versionId"])
        assert (read.status_code, read.json()) == (200, version)
    assert (await box.client.get(path + deletion["meta"]["versionId"])).status_code == 410
    for unknown in ("1", "0", "abc", "-1", "99999999999999999999"):
        assert (await box.client.get(path + unknown)).status_code == 404


@BASES
async def test_prefer_and_no_content(box, base):
    for preference, check in (
        ("return=minimal", lambda r: r.content == b"" and "content-type" not in r.headers),
        ("return=representation", lambda r: r.json()["resourceType"] == "Patient"),
        ("return=OperationOutcome", lambda r: r.json()["id"] == "allok"),
        ("respond-async, return=minimal", lambda r: r.content == b""),
    ):
        made = await box.client.post(f"{base}/Patient", json=OAK, headers={"Prefer": preference})
        assert made.status_code == 201
        assert "location" in made.headers
        assert "etag" in made.headers
        assert check(made)
    path = f"{base}/Patient/{fresh()}?_no-content=true"
    for method in ("PUT", "PUT", "DELETE"):
        quiet = await box.client.request(method, path, json=OAK)
        assert (quiet.status_code, quiet.content) == (204, b"")
        assert "content-type" not in quiet.headers
    bundle = {"type": "batch", "entry": []}
    assert (await box.client.post(f"{base}/?_no-content=true", json=bundle)).status_code == 204


async def test_method_override(box):
    id_ = fresh()
    put = await box.client.post(
        f"/fhir/Patient/{id_}", json=OAK, headers={"X-HTTP-Method-Override": "PUT"}
    )
    assert put.status_code == 201
    bad = await box.client.post(
        "/fhir/Patient", json=OAK, headers={"X-HTTP-Method-Override": "TRACE"}
    )
    assert bad.status_code == 400


async def test_the_request_id_is_echoed_or_made(box):
    given = await box.client.get("/fhir/metadata", headers={"X-Request-Id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    assert (await box.client.get("/fhir/metadata")).headers["x-request-id"]


@pytest.mark.parametrize("target", ["/fhir/Patient/", "/fhir/Patient/?", "/fhir/Patient?"])
async def test_a_trailing_slash_and_a_bare_question_mark_change_nothing(box, target):
    response = await box.client.post(target, json=OAK)
    assert response.status_code == 201


async def test_root_keeps_its_format_whatever_accept_says(box):
    body = {"resourceType": "Patient", "deceased": {"boolean": False}}
    made = await box.client.post("/Patient", json=body, headers={"Accept": "application/fhir+json"})
    assert made.json()["deceased"] == {"boolean": False}
    fhir = await box.client.get(f"/fhir/Patient/{made.json()['id']}")
    assert fhir.json()["deceasedBoolean"] is False


async def test_the_type_of_the_body_must_be_that_of_the_url(box):
    wrong = await box.client.post("/fhir/Patient", json={"resourceType": "Goal"})
    assert wrong.status_code == 422
    assert outcome(wrong)["id"] == "validationfail"


async def test_elements_and_summary_of_a_read(box):
    made = (
        await box.client.post(
            "/fhir/Patient",
            json={
                **OAK,
                "gender": "male",
                "text": {
                    "status": "generated",
                    "div": '<div xmlns="http://www.w3.org/1999/xhtml">Oak</div>',
                },
            },
        )
    ).json()
    path = f"/fhir/Patient/{made['id']}"
    some = (await box.client.get(f"{path}?_elements=gender")).json()
    assert some["gender"] == "male"
    assert "name" not in some
    short = (await box.client.get(f"{path}?_summary=true")).json()
    assert "text" not in short
    assert "SUBSETTED" in {tag["code"] for tag in short["meta"]["tag"]}
    text = (await box.client.get(f"{path}?_summary=text")).json()
    assert "text" in text
    assert "gender" not in text
