"""What existing clients rely on, point by point.

Source: core specification, "Wire expectations of existing clients"; the numbers are its own. Points 6
and 7 need migrations and SQL over HTTP.
"""

from __future__ import annotations

import pytest

from tests.integration.runtime.making import (
    BASES,
    OAK,
    batch,
    encounter,
    entry,
    fresh,
    outcome,
    post,
    transaction,
)

AIDBOX_REFERENCE = {
    "resourceType", "id", "_id", "resource", "display", "uri", "localRef", "identifier", "extension",
}  # fmt: skip
FHIR_REFERENCE = {"reference", "display", "type", "identifier", "extension"}


@BASES
async def test_1_a_bundle_is_saved_by_post_to_the_base_with_a_bare_question_mark(box, base):
    bundle = {**transaction(entry("POST", "Patient", OAK)), "id": "client-made"}
    headers = {"Accept": "application/fhir+json", "Content-Type": "application/json"}
    for target in (f"{base}/?", f"{base}/"):
        answer = await box.client.post(target, json=bundle, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["resourceType"] == "Bundle"
        assert answer.json()["type"] == "transaction-response"
        media = "application/fhir+json" if base else "application/json"
        assert answer.headers["content-type"] == f"{media}; charset=utf-8"


@BASES
async def test_2_saving_with_an_id_is_put_and_without_is_post(box, base):
    id_ = fresh()
    put = await box.client.put(f"{base}/Patient/{id_}", json={**OAK, "id": id_})
    assert (put.status_code, put.json()["id"]) == (201, id_)
    posted = await box.client.post(f"{base}/Patient", json=OAK)
    assert posted.status_code == 201
    assert posted.json()["id"] not in {id_, None}


@BASES
async def test_3_every_failure_is_an_outcome_with_diagnostics(box, base):
    id_, mrn, gone = fresh(), fresh(), fresh()
    patient = {**OAK, "identifier": [{"value": mrn}]}
    await box.client.put(f"{base}/Patient/{id_}", json=patient)
    await box.client.post(f"{base}/Patient", json=patient)
    await box.client.put(f"{base}/Patient/{gone}", json=OAK)
    await box.client.delete(f"{base}/Patient/{gone}")
    mismatch = 412 if base else 409
    async with box.client_of() as anonymous, box.client_of(("root", "wrong")) as wrong:
        for client, method, path, more, status in (
            (box.client, "GET", f"/Patient/{fresh()}", {}, 404),
            (box.client, "GET", f"/Patient/{gone}", {}, 410),
            (box.client, "POST", f"/Patient?identifier={mrn}", {"json": OAK}, 412),
            (
                box.client,
                "PUT",
                f"/Patient/{id_}",
                {"json": OAK, "headers": {"If-Match": "1"}},
                mismatch,
            ),
            (box.client, "POST", "/Patient", {"content": b"{"}, 400),
            (box.client, "POST", "/Patient", {"json": {"zzz": 1}}, 422),
            (box.client, "POST", "/Patient", {"json": {**OAK, "id": id_}}, 409),
            (
                box.client,
                "POST",
                "/Patient",
                {"content": b"x", "headers": {"Content-Type": "a/b"}},
                415,
            ),
            (box.client, "GET", "/Patient", {"headers": {"Accept": "text/plain"}}, 406),
            (box.client, "PUT", "/metadata", {"json": {}}, 405),
            (box.client, "GET", "/Nothing", {}, 404),
            (box.client, "POST", "", {"json": {"type": "zzz"}}, 422),
            (anonymous, "GET", "/Patient", {}, 403),
            (wrong, "GET", "/Patient", {}, 401),
        ):
            answer = await client.request(method, f"{base}{path}" or "/", **more)
            body = outcome(answer, status)
            allowed = {"resourceType", "id", "text", "issue"}
            root_only = set() if base else {"errors", "warnings", "message"}
            assert set(body) <= allowed | root_only
            assert (body["text"]["div"][:5] == "<div ") == bool(base)
            if not base:
                assert {"errors", "warnings"} <= set(body)
                assert [one["message"] for one in body["errors"]] == [
                    one["diagnostics"] for one in body["issue"]
                ]
    unchanged = await box.client.get(
        f"{base}/Patient/{id_}",
        headers={"If-None-Match": (await box.client.get(f"{base}/Patient/{id_}")).headers["etag"]},
    )
    assert (unchanged.status_code, unchanged.content) == (304, b"")


@BASES
async def test_4_201_tells_created_and_200_already_there(box, base):
    mrn = fresh()
    patient = {**OAK, "identifier": [{"value": mrn}]}
    for method in ("POST", "PUT"):
        query = f"/Patient?identifier={mrn}{method}"
        patient["identifier"][0]["value"] = mrn + method
        first = await box.client.request(method, base + query, json=patient)
        second = await box.client.request(method, base + query, json=patient)
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json()["id"] == second.json()["id"]


async def test_5_references_have_no_keys_that_clients_do_not_know(box):
    patient = (await box.client.post("/fhir/Patient", json=OAK)).json()["id"]
    links = [
        {"reference": f"Patient/{patient}", "type": "Patient", "display": "O"},
        {"reference": "https://ext.test/Patient/1", "type": "Patient"},
        {"reference": "urn:uuid:5bd1bd4d-3e6c-4d4c-8a3f-3e0e4a4a4b33"},
        {"reference": "#inner", "display": "I"},
        {"identifier": {"value": "x"}, "type": "Patient"},
        {"display": "D"},
        {
            "reference": f"Patient/{patient}",
            "id": "e1",
            "extension": [{"url": "urn:x", "valueCode": "y"}],
        },
    ]
    for link in links:
        visit = encounter("/fhir", "x") | {"subject": link}
        visit["contained"] = [{"resourceType": "Patient", "id": "inner"}]
        made = await box.client.post("/fhir/Encounter", json=visit)
        assert made.status_code == 201, made.text
        id_ = made.json()["id"]
        fhir = (await box.client.get(f"/fhir/Encounter/{id_}")).json()["subject"]
        root = (await box.client.get(f"/Encounter/{id_}")).json()["subject"]
        assert set(fhir) <= FHIR_REFERENCE | {"id"}
        assert set(root) <= AIDBOX_REFERENCE | {"type"}
        if "resourceType" in root and "id" in root:
            assert set(root) <= AIDBOX_REFERENCE


@BASES
async def test_6_seeds_at_start_up_are_transactions_of_conditional_creates(box, base):
    client, patient = fresh(), fresh()
    seeds = transaction(
        entry("POST", f"/Client?_id={client}", {"id": client, "grant_types": ["basic"]}),
        entry("POST", f"/Patient?_id={patient}", {"id": patient, **OAK}),
    )
    first, second = await post(box, base, seeds), await post(box, base, seeds)
    assert [item["response"]["status"] for item in first.json()["entry"]] == ["201", "201"]
    assert [item["response"]["status"] for item in second.json()["entry"]] == ["200", "200"]
    for one, two in zip(first.json()["entry"], second.json()["entry"], strict=True):
        assert one["resource"] == two["resource"]


async def test_7_every_write_draws_from_the_sequence(box):
    async def last():
        (row,) = await box.sql("SELECT last_value FROM transaction_id_seq")
        return row["last_value"]

    id_ = fresh()
    for method, path, body in (
        ("PUT", f"/Patient/{id_}", OAK),
        ("PUT", f"/fhir/Patient/{id_}", OAK),
        ("POST", "/fhir/Patient", OAK),
        ("POST", f"/Patient?_id={fresh()}", OAK),
        ("PUT", "/", [{**OAK, "id": id_}]),
        ("POST", "/", batch(entry("PUT", f"Patient/{id_}", OAK))),
        ("POST", "/fhir", transaction(entry("PUT", f"Patient/{id_}", OAK))),
        ("DELETE", f"/Patient/{id_}", None),
        ("PUT", f"/Client/{id_}", {"grant_types": ["basic"]}),
    ):
        before = await last()
        answer = await box.client.request(method, path, json=body)
        assert answer.status_code in {200, 201}, answer.text
        (written,) = await box.sql(
            "SELECT (SELECT count(*) FROM patient WHERE txid > $1) + (SELECT count(*) FROM "
            "patient_history WHERE txid > $1) + (SELECT count(*) FROM client WHERE txid > $1) AS n",
            before,
        )
        assert written["n"] >= 1
        assert await last() > before


async def test_8_tables_are_named_by_the_type_in_the_default_schema(box):
    (row,) = await box.sql(
        "SELECT current_schema() AS schema, to_regclass('familymemberhistory') AS main, "
        "to_regclass('familymemberhistory_history') AS past"
    )
    assert (row["schema"], row["main"]) == ("public", "familymemberhistory")
    assert row["past"] == "familymemberhistory_history"


@BASES
async def test_9_a_content_type_wherever_there_is_a_body_and_only_there(box, base):
    id_ = fresh()
    made = await box.client.put(f"{base}/Patient/{id_}", json=OAK)
    tag = {"If-None-Match": made.headers["etag"]}
    for method, path, more, status in (
        ("GET", f"/Patient/{id_}", {}, 200),
        ("GET", f"/Patient/{id_}", {"headers": tag}, 304),
        ("GET", f"/Patient/{id_}/_history", {"headers": tag}, 304),
        ("GET", f"/Patient/{fresh()}", {}, 404),
        ("PUT", f"/Patient/{id_}?_no-content=true", {"json": OAK}, 204),
        ("POST", "/Patient?_no-content=true", {"json": OAK}, 204),
        ("POST", "/?_no-content=true", {"json": batch()}, 204),
        ("POST", "/Patient", {"json": OAK, "headers": {"Prefer": "return=minimal"}}, 201),
        ("DELETE", f"/Patient/{id_}?_no-content=true", {}, 204),
        ("DELETE", f"/Patient/{id_}", {}, 204),
    ):
        answer = await box.client.request(method, f"{base}{path}", **more)
        assert answer.status_code == status, (method, path, answer.text)
        assert ("content-type" in answer.headers) == bool(answer.content)
        if status in {204, 304}:
            assert answer.content == b""


@BASES
async def test_10_a_conditional_create_in_three_spellings(box, base):
    mrn = fresh()
    patient = {**OAK, "identifier": [{"system": "urn:mrn", "value": mrn}]}
    query = f"identifier=urn:mrn|{mrn}"
    made = await box.client.post(f"{base}/Patient?{query}", json=patient)
    assert made.status_code == 201
    ids = {made.json()["id"]}
    for header in (query, f"?{query}", f"Patient?{query}"):
        found = await box.client.post(
            f"{base}/Patient", json=patient, headers={"If-None-Exist": header}
        )
        assert found.status_code == 200
        ids.add(found.json()["id"])
        for make in (batch, transaction):
            bundle = make(entry("POST", "Patient", patient, ifNoneExist=header))
            (item,) = (await post(box, base, bundle)).json()["entry"]
            assert item["response"]["status"] == "200"
            ids.add(item["resource"]["id"])
    assert len(ids) == 1


@BASES
@pytest.mark.parametrize("writer", ["", "/fhir"])
async def test_11_all_reads_of_one_version_are_equal(box, base, writer):
    patient = {
        "resourceType": "Patient", "name": [{"family": "Öak", "given": ["A", "B"]}], "birthDate": "1990-10-10",
        "meta": {"tag": [{"system": "urn:t", "code": "x"}], "profile": ["http://p.test"]},
        "extension": [{"url": "urn:x", "valueDecimal": 1}], "_birthDate": {"extension": [{"url": "urn:y", "valueCode": "z"}]},
    }  # fmt: skip
    id_ = fresh()
    written = await box.client.put(f"{writer}/Patient/{id_}", json=patient)
    version = written.json()["meta"]["versionId"]
    seen = [written.json()] if base == writer else []
    seen.append((await box.client.get(f"{base}/Patient/{id_}")).json())
    seen.append((await box.client.get(f"{base}/Patient/{id_}/_history/{version}")).json())
    for path in (f"{base}/Patient/{id_}/_history", f"{base}/Patient?_id={id_}"):
        (item,) = (await box.client.get(path)).json()["entry"]
        seen.append(item["resource"])
    body = (await post(box, base, batch(entry("GET", f"Patient/{id_}")))).json()
    seen.append(body["entry"][0]["resource"])
    yaml = await box.client.get(f"{base}/Patient/{id_}?_format=yaml")
    assert yaml.status_code == 200
    assert all(one == seen[0] for one in seen)
    # And when it is no longer the current one.
    await box.client.put(f"{writer}/Patient/{id_}", json=OAK)
    old = (await box.client.get(f"{base}/Patient/{id_}/_history/{version}")).json()
    assert old == seen[0]


@BASES
@pytest.mark.parametrize("make", [batch, transaction])
async def test_12_posted_entries_without_a_type_keep_their_ids(box, base, make):
    id_ = "bundle_patient_" + fresh()
    bundle = make(entry("POST", "/Patient", {"id": id_, "name": [{"family": "Oak"}]}))
    (item,) = (await post(box, base, bundle)).json()["entry"]
    assert item["resource"]["id"] == id_
    assert (await box.client.get(f"{base}/Patient/{id_}")).status_code == 200


@BASES
async def test_13_truncated_tables_are_empty_for_the_next_request(own_box, base):
    box = own_box
    for _ in range(5):
        id_ = fresh()
        await box.client.put(f"{base}/Patient/{id_}", json=OAK)
        assert (await box.client.get(f"{base}/Patient")).json()["total"] == 1
        await box.sql("TRUNCATE patient, patient_history")
        assert (await box.client.get(f"{base}/Patient")).json()["total"] == 0
        assert (await box.client.get(f"{base}/Patient/{id_}")).status_code == 404
        assert (await box.client.get(f"{base}/Patient/_history")).json()["total"] == 0
        again = await box.client.post(f"{base}/Patient?_id={id_}", json={**OAK, "id": id_})
        assert again.status_code == 201
        (row,) = await box.sql("SELECT status::text FROM patient")
        assert row["status"] == "created"
        await box.sql("TRUNCATE patient, patient_history")
