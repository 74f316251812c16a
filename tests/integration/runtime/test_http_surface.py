"""Routes, methods, headers and error shapes, sentence by sentence, under both bases.

Source: core specification, "HTTP surface".
"""

from __future__ import annotations

import json

import pytest

from tests.integration.runtime.making import (
    BASES,
    OAK,
    batch,
    encounter,
    entry,
    fresh,
    outcome,
    stored_patient,
)

JSON = {"content-type": "application/json"}


# Two APIs, one store


@pytest.mark.parametrize(
    "accept", ["application/fhir+json", "application/json", "*/*", "application/json+fhir"]
)
async def test_the_path_alone_chooses_the_format(box, accept):
    visit = (await box.client.post("/fhir/Encounter", json=encounter("/fhir", "urn:x"))).json()
    for base, subject, media in (
        ("", {"uri": "urn:x"}, "application/json"),
        ("/fhir", {"reference": "urn:x"}, "application/fhir+json"),
    ):
        read = await box.client.get(f"{base}/Encounter/{visit['id']}", headers={"Accept": accept})
        assert read.json()["subject"] == subject
        assert read.headers["content-type"] == f"{media}; charset=utf-8"


@pytest.mark.parametrize(
    ("method", "path", "root", "fhir"),
    [
        ("GET", "/_history?_count=1", 404, 200), ("GET", "/?_count=0", 404, 200), ("GET", "/?_type=Patient", 404, 200),
        ("POST", "/_search", 404, 200), ("GET", "/metadata", 200, 200), ("PUT", "/", 200, 405), ("GET", "/Nothing", 404, 404),
        ("GET", "/nothing/at/all/here/to/see", 404, 404), ("POST", "/patient", 404, 404), ("DELETE", "/", 405, 405),
        ("GET", "", 404, 200), ("PATCH", "/metadata", 405, 405), ("GET", "/Patient/x/Nothing", 404, 404),
    ],
)  # fmt: skip
async def test_which_routes_are_where(box, method, path, root, fhir):
    for base, status in (("", root), ("/fhir", fhir)):
        more = {"json": []} if method == "PUT" else {}
        answer = await box.client.request(method, f"{base}{path}" or "/", **more)
        assert answer.status_code == status, answer.text[:300]
        if status >= 400:
            outcome(answer, status)
        if status == 405:
            allowed = answer.headers["allow"].split(", ")
            assert method not in allowed
            assert ("HEAD" in allowed) == ("GET" in allowed)


@pytest.mark.parametrize("base", ["", "/fhir", "/%66hir"])
async def test_trailing_slashes_bare_question_marks_and_encoded_segments_change_nothing(box, base):
    id_, _ = await stored_patient(box)
    read = await box.client.get(f"{base}/Patient/{id_}")
    encoded = "".join(f"%{ord(letter):02x}" for letter in id_)
    for target in (
        f"/Patient/{id_}/", f"/Patient/{id_}?", f"/Patient/{id_}/?", f"/Patient/{id_}?&", f"/%50atient/{id_}",
        f"/Patient/{encoded}", f"/%50%61tient/{encoded}/?",
    ):  # fmt: skip
        status, _, body = await box.raw("GET", f"{base}{target}".encode())
        assert (status, json.loads(body)) == (200, read.json())
    for target in (f"/Patient/{id_}?", f"/Patient/{id_}/", f"/Patient/{id_}/?&"):
        body = json.dumps(OAK).encode()
        status, _, answer = await box.raw("PUT", f"{base}{target}".encode(), JSON, body)
        assert (status, json.loads(answer)["id"]) == (200, id_)
    for target in ("/Patient/?", "/Patient?", "/Patient/"):
        status, _, _ = await box.raw("POST", f"{base}{target}".encode(), JSON, b"{}")
        assert status == 201
    assert (await box.raw("DELETE", f"{base}/Patient?".encode()))[0] == 400
    assert (await box.raw("PUT", f"{base}/Patient/?".encode(), JSON, b"{}"))[0] == 400
    status, _, _ = await box.raw("GET", f"{base}/Patient/%5fhistory/?_count=0".encode())
    assert status == 200
    form = {"content-type": "application/x-www-form-urlencoded"}
    status, _, body = await box.raw(
        "POST", f"{base}/Patient/%5Fsearch/?".encode(), form, b"_count=0"
    )
    assert (status, json.loads(body)["type"]) == (200, "searchset")


# Headers


TAGS = [
    "{v}",
    '"{v}"',
    'W/"{v}"',
    "*",
    '1, "{v}"',
    'W/"1", W/"{v}"',
    " {v} ",
    '"1","{v}"',
    "0, {v}, 1",
]
OTHERS = ["1", '"1"', 'W/"1"', "x", "{v}x", "1, 2", '"{v}', "", "-{v}", "1{v}"]


@BASES
@pytest.mark.parametrize("form", TAGS)
async def test_forms_of_version_tags(box, base, form):
    id_, version = await stored_patient(box)
    path = f"{base}/Patient/{id_}"
    tag = form.replace("{v}", version)
    for more in ("", f"/_history/{version}"):
        answer = await box.client.get(path + more, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == (f'W/"{version}"' if base else version)
    assert (await box.client.put(path, json=OAK, headers={"If-Match": tag})).status_code == 200
    id_, version = await stored_patient(box)
    tag = form.replace("{v}", version)
    answer = await box.client.delete(f"{base}/Patient/{id_}", headers={"If-Match": tag})
    assert answer.status_code == 200


@BASES
@pytest.mark.parametrize("form", OTHERS)
async def test_tags_of_other_versions(box, base, form):
    id_, version = await stored_patient(box)
    path, tag = f"{base}/Patient/{id_}", form.replace("{v}", version)
    mismatch = 412 if base else 409
    if form != '"{v}':
        assert (await box.client.get(path, headers={"If-None-Match": tag})).status_code == 200
        for method in ("PUT", "DELETE"):
            body = {"json": OAK} if method == "PUT" else {}
            answer = await box.client.request(method, path, headers={"If-Match": tag}, **body)
            found = outcome(answer, mismatch)
            assert found["id"] == "conflict"
            assert found["issue"] == [
                {"severity": "fatal", "code": "conflict", "diagnostics": "Version Id mismatch"}
            ]
    assert (await box.client.get(path)).json()["meta"]["versionId"] == version


@BASES
async def test_preconditions_of_what_does_not_exist(box, base):
    mismatch = 412 if base else 409
    for query in (f"/{fresh()}", f"?_id={fresh()}"):
        path = f"{base}/Patient{query}"
        for header, tag, status in (("If-Match", "1", mismatch), ("If-Match", "*", 412)):
            outcome(await box.client.put(path, json=OAK, headers={header: tag}), status)
        outcome(
            await box.client.get(f"{base}/Patient/{fresh()}", headers={"If-None-Match": "*"}), 404
        )
    id_, _ = await stored_patient(box)
    for path in (f"{base}/Patient/{id_}", f"{base}/Patient?_id={id_}"):
        outcome(await box.client.put(path, json=OAK, headers={"If-None-Match": "*"}), 412)
    new = fresh()
    put = await box.client.put(f"{base}/Patient/{new}", json=OAK, headers={"If-None-Match": "*"})
    assert put.status_code == 201


@BASES
@pytest.mark.parametrize("method", ["PUT", "put", " Put ", "DELETE", "GET", "HEAD"])
async def test_a_post_may_stand_for_another_method(box, base, method):
    id_, _ = await stored_patient(box)
    answer = await box.client.post(
        f"{base}/Patient/{id_}", json=OAK, headers={"X-HTTP-Method-Override": method}
    )
    assert answer.status_code == 200
    assert bool(answer.content) == (method != "HEAD")
    left = await box.client.get(f"{base}/Patient/{id_}")
    assert left.status_code == (410 if method == "DELETE" else 200)


@BASES
async def test_only_a_post_may_stand_for_another_method(box, base):
    id_, _ = await stored_patient(box)
    override = {"X-HTTP-Method-Override": "DELETE"}
    assert (await box.client.get(f"{base}/Patient/{id_}", headers=override)).status_code == 200
    put = await box.client.put(f"{base}/Patient/{id_}", json=OAK, headers=override)
    assert put.status_code == 200
    for method in ("CONNECT", "OPTIONS", "", "x"):
        override = {"X-HTTP-Method-Override": method}
        outcome(await box.client.post(f"{base}/Patient/{id_}", json=OAK, headers=override), 400)


async def test_the_overriding_method_is_judged(box):
    """Whoever may only POST does not delete by saying so in a header."""
    id_, _ = await stored_patient(box)
    async with box.client_of() as anonymous:
        for method in ("PUT", "DELETE", "GET"):
            override = {"X-HTTP-Method-Override": method}
            answer = await anonymous.post(f"/fhir/Patient/{id_}", json=OAK, headers=override)
            outcome(answer, 403)
    assert (await box.client.get(f"/fhir/Patient/{id_}")).status_code == 200


@BASES
@pytest.mark.parametrize(
    ("prefer", "form"),
    [
        ("return=minimal", "none"), ('return="minimal"', "none"), ("RETURN=minimal", "none"), ("return=minimal; x=y", "none"),
        ("respond-async, return=minimal", "none"), ("return=OperationOutcome", "outcome"), ("return=representation", "whole"),
        ("return=zzz", "whole"), ("handling=strict", "whole"), ("", "whole"),
    ],
)  # fmt: skip
async def test_prefer(box, base, prefer, form):
    headers = {"Prefer": prefer}
    created = await box.client.post(f"{base}/Patient", json=OAK, headers=headers)
    path = f"{base}/Patient/{created.headers['location'].split('/')[-3]}"
    answers = [created, await box.client.put(path, json=OAK, headers=headers)]
    answers.append(await box.client.delete(path, headers=headers))
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    for answer in answers:
        assert {"etag", "last-modified", "location"} <= set(answer.headers)
        if form == "none":
            assert answer.content == b""
            assert "content-type" not in answer.headers
        else:
            wanted = "OperationOutcome" if form == "outcome" else "Patient"
            assert answer.json()["resourceType"] == wanted
    if form == "outcome":
        assert created.json()["issue"][0]["severity"] == "information"


@BASES
async def test_no_content_is_204_for_every_mutation(box, base):
    id_, mrn = fresh(), fresh()
    patient = {**OAK, "identifier": [{"value": mrn}]}
    for method, path, body in (
        ("PUT", f"/Patient/{id_}", patient),
        ("PUT", f"/Patient/{id_}", patient),
        ("PUT", f"/Patient?identifier={mrn}", patient),
        ("POST", "/Patient", OAK),
        ("POST", f"/Patient?identifier={mrn}", patient),
        ("POST", "/", batch(entry("POST", "Patient", OAK))),
        ("DELETE", f"/Patient?identifier={mrn}", None),
        ("PUT", f"/Patient/{id_}", patient),
        ("DELETE", f"/Patient/{id_}", None),
        *([] if base else [("PUT", "/", [{**OAK, "id": id_}])]),
    ):
        glue = "&" if "?" in path else "?"
        more = {} if body is None else {"json": body}
        answer = await box.client.request(method, f"{base}{path}{glue}_no-content=true", **more)
        assert (answer.status_code, answer.content) == (204, b""), (method, path)
    for value in ("false", "", "1"):
        kept = await box.client.post(f"{base}/Patient?_no-content={value}", json=OAK)
        assert kept.status_code == 201
    read = await box.client.get(f"{base}/Patient?_no-content=true&_count=0")
    assert read.status_code == 200


@BASES
@pytest.mark.parametrize("host", ["box.test", "BOX.test", "127.0.0.1:8080", "localhost:8080"])
async def test_locations_are_absolute_under_the_base_that_was_asked(box, base, host):
    body = json.dumps(OAK).encode()
    status, headers, answer = await box.raw(
        "POST", f"{base}/Patient".encode(), {**JSON, "host": host}, body
    )
    resource = json.loads(answer)
    version = resource["meta"]["versionId"]
    own = f"http://{host.lower()}{base}/Patient/{resource['id']}/_history/{version}"
    assert (status, headers["location"]) == (201, own)
    assert headers["etag"] == (f'W/"{version}"' if base else version)
    assert headers["last-modified"].endswith(" GMT")


async def test_a_foreign_host_does_not_get_into_links(box):
    body = json.dumps(OAK).encode()
    _, headers, _ = await box.raw("POST", b"/fhir/Patient", {**JSON, "host": "evil.test"}, body)
    assert headers["location"].startswith("http://box.test/fhir/")


@pytest.mark.parametrize("value", ["abc-123", "x" * 500, "ü\xff", 'a"b', "  "])
async def test_request_ids_are_echoed_and_harmless(box, value):
    _, headers, _ = await box.raw("GET", b"/fhir/Patient?_count=0", {"x-request-id": value})
    assert headers["x-request-id"][:100] == value[:100]
    assert len(headers["x-request-id"]) <= 128


# Errors


@BASES
async def test_expressions_of_findings(box, base):
    bad = {"resourceType": "Patient", "name": [{"family": "a"}, {"given": ["x", 5]}], "zzz": 1}
    found = outcome(await box.client.post(f"{base}/Patient", json=bad), 422)
    expressions = {issue["expression"][0] for issue in found["issue"]}
    index = "Patient.name[1].given[1]" if base else "Patient.name.1.given.1"
    assert expressions == {index, "Patient.zzz"}
    if not base:
        assert {"path": ["name", 1, "given", 1], "message": "expected type of string"} in found[
            "errors"
        ]
        assert found["warnings"] == []
        assert found["text"] == {"status": "generated", "div": "Invalid resource"}


@BASES
async def test_ids_and_codes_of_outcomes(box, base):
    id_, gone, mrn = fresh(), fresh(), fresh()
    patient = {**OAK, "identifier": [{"value": mrn}]}
    await box.client.put(f"/Patient/{id_}", json=patient)
    await box.client.post("/Patient", json=patient)
    await box.client.put(f"/Patient/{gone}", json=OAK)
    await box.client.delete(f"/Patient/{gone}")
    async with box.client_of() as anonymous, box.client_of(("root", "no")) as wrong:
        for answer, status, outcome_id, code in (
            (await box.client.get(f"{base}/Patient/{fresh()}"), 404, "not-found", "not-found"),
            (await box.client.get(f"{base}/Patient/{gone}"), 410, "deleted", "deleted"),
            (await box.client.post(f"{base}/Patient", json={**OAK, "id": id_}), 409, "conflict", "conflict"),
            (await box.client.delete(f"{base}/Patient?identifier={mrn}"), 412, "multiple-matches", "multiple-matches"),
            (await anonymous.get(f"{base}/Patient/{id_}"), 403, "forbidden", "forbidden"),
            (await box.client.post(f"{base}/Patient", content=b"{"), 400, "invalid", "invalid"),
            (await box.client.post(f"{base}/Patient", json={"zzz": 1}), 422, "validationfail", "invalid"),
            (await wrong.get(f"{base}/Patient/{id_}"), 401, "login", "login"),
        ):  # fmt: skip
            found = outcome(answer, status)
            assert (found["id"], found["issue"][0]["code"]) == (outcome_id, code)
            media = "application/fhir+json" if base else "application/json"
            assert answer.headers["content-type"] == f"{media}; charset=utf-8"
            if base:
                assert set(found) == {"resourceType", "id", "text", "issue"}
                assert found["text"]["div"].startswith('<div xmlns="http://www.w3.org/1999/xhtml">')


# Other origins


@BASES
async def test_pages_of_other_origins_are_told_what_they_may_send(box, base):
    client, origin = fresh(), f"https://{fresh()}.test"
    asking = {
        "origin": origin,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "authorization, content-type, if-match",
    }
    id_, _ = await stored_patient(box)
    path = f"{base}/Patient/{id_}".encode()
    status, headers, _ = await box.raw("OPTIONS", path, asking)
    assert "access-control-allow-origin" not in headers
    await box.client.put(
        f"/Client/{client}", json={"grant_types": ["basic"], "allowed_origins": [origin]}
    )
    try:
        status, headers, body = await box.raw("OPTIONS", path, asking)
        assert (status, body) == (204, b"")
        assert headers["access-control-allow-origin"] == origin
        assert "PUT" in headers["access-control-allow-methods"]
        assert {"authorization", "content-type", "if-match"} <= set(
            headers["access-control-allow-headers"].split(", ")
        )
        status, headers, _ = await box.raw("GET", path, {"origin": origin})
        assert (status, headers["access-control-allow-origin"]) == (200, origin)
        assert "etag" in headers["access-control-expose-headers"]
        status, headers, _ = await box.raw("GET", f"{base}/Nothing".encode(), {"origin": origin})
        assert (status, headers["access-control-allow-origin"]) == (404, origin)
        _, headers, _ = await box.raw("GET", path, {"origin": "https://evil.test"})
        assert "access-control-allow-origin" not in headers
        assert headers["vary"] == "origin"
    finally:
        await box.client.delete(f"/Client/{client}")
