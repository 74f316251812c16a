"""Rows as people see and write them by SQL.

Source: core specification, "Storage model"; "Wire expectations of existing clients", 7, 8, 11, 13.
"""

from __future__ import annotations

import json

from tests.integration.runtime.making import OAK, fresh


async def test_the_table_pair_is_as_documented(box):
    rows = await box.sql(
        "SELECT table_name, column_name, data_type, is_nullable, column_default "
        "FROM information_schema.columns WHERE table_name IN ('goal', 'goal_history') "
        "ORDER BY table_name, ordinal_position"
    )
    columns = [
        (row["column_name"], row["data_type"]) for row in rows if row["table_name"] == "goal"
    ]
    assert columns == [
        ("id", "text"),
        ("txid", "bigint"),
        ("ts", "timestamp with time zone"),
        ("cts", "timestamp with time zone"),
        ("resource_type", "text"),
        ("status", "USER-DEFINED"),
        ("resource", "jsonb"),
    ]
    assert columns == [
        (r["column_name"], r["data_type"]) for r in rows if r["table_name"] == "goal_history"
    ]
    defaults = {row["column_default"] for row in rows if row["column_name"] == "resource_type"}
    assert defaults == {"'Goal'::text"}
    keys = await box.sql(
        "SELECT conrelid::regclass::text AS name, pg_get_constraintdef(oid) AS key FROM pg_constraint "
        "WHERE contype = 'p' AND conrelid::regclass::text IN ('goal', 'goal_history') ORDER BY 1"
    )
    assert [(row["name"], row["key"]) for row in keys] == [
        ("goal", "PRIMARY KEY (id)"),
        ("goal_history", "PRIMARY KEY (id, txid)"),
    ]
    (status,) = await box.sql("SELECT enum_range(NULL::resource_status)::text AS labels")
    assert status["labels"] == "{created,updated,deleted,recreated}"


async def test_every_resource_type_has_tables_and_only_they_have_a_txid(box):
    tables = {
        row["table_name"]
        for row in await box.sql(
            "SELECT table_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND column_name = 'txid'"
        )
    }
    types = box.application.box.metadata.resource_types
    expected = {name.lower() for name in types} | {f"{name.lower()}_history" for name in types}
    assert expected <= tables
    assert {
        "binary",
        "bundle",
        "operationoutcome",
        "parameters",
        "familymemberhistory_history",
    } <= tables
    unknown = {name for name in tables - expected if not name.startswith(("visit", "note"))}
    # Tables of types whose Entity was deleted stay.
    assert all(f"{name.removesuffix('_history')}_history" in tables for name in unknown)


async def test_the_first_write_of_a_box_is_above_the_sequence_it_found(box):
    (row,) = await box.sql("SELECT last_value FROM transaction_id_seq")
    made = (await box.client.post("/Patient", json=OAK)).json()
    assert int(made["meta"]["versionId"]) > row["last_value"]


async def test_built_in_rows_have_txid_zero(box):
    (row,) = await box.sql("SELECT txid FROM entity WHERE id = 'Patient'")
    assert row["txid"] == 0
    assert (await box.client.get("/Entity/Patient")).json()["meta"]["versionId"] == "0"


async def test_a_row_written_by_sql_is_served(box):
    id_ = fresh()
    await box.sql(
        "INSERT INTO patient (id, txid, status, resource) VALUES "
        "($1, nextval('transaction_id_seq'), 'created', $2::text::jsonb)",
        id_,
        '{"birthDate": "1990-01-01", "deceased": {"boolean": false}}',
    )
    root = (await box.client.get(f"/Patient/{id_}")).json()
    assert (root["resourceType"], root["id"]) == ("Patient", id_)
    assert root["meta"].keys() == {"versionId", "lastUpdated", "createdAt"}
    fhir = (await box.client.get(f"/fhir/Patient/{id_}")).json()
    assert fhir["deceasedBoolean"] is False
    found = (await box.client.get(f"/fhir/Patient?_id={id_}")).json()
    assert [item["resource"]["id"] for item in found["entry"]] == [id_]
    history = (await box.client.get(f"/Patient/{id_}/_history")).json()
    assert history["total"] == 1
    changed = await box.client.put(f"/fhir/Patient/{id_}", json=OAK)
    assert changed.status_code == 200
    assert (await box.client.delete(f"/Patient/{id_}")).status_code == 200


async def test_the_columns_win_over_what_the_document_repeats(box):
    id_ = fresh()
    await box.sql(
        "INSERT INTO patient (id, txid, status, resource) VALUES ($1, 7, 'created', $2::text::jsonb)",
        id_,
        json.dumps(
            {
                "id": "other",
                "resourceType": "Goal",
                "meta": {
                    "versionId": "1",
                    "lastUpdated": "2001-01-01T00:00:00Z",
                    "source": "urn:s",
                },
            }
        ),
    )
    for base in ("", "/fhir"):
        body = (await box.client.get(f"{base}/Patient/{id_}")).json()
        assert (body["resourceType"], body["id"], body["meta"]["versionId"]) == (
            "Patient",
            id_,
            "7",
        )
        assert body["meta"]["lastUpdated"] > "2020"
        assert body["meta"]["source"] == "urn:s"


async def test_odd_rows_do_no_harm(box):
    for number, (id_, document) in enumerate(
        [
            ("q\"uo'te", "{}"),
            ("ünï", "[]"),
            ("scalar", '"x"'),
            ("number", "5"),
            ("null", "null"),
            ("a b", '{"meta": 5}'),
        ]
    ):
        await box.sql(
            "INSERT INTO basic (id, txid, ts, cts, status, resource) "
            "VALUES ($1, $2, NULL, NULL, 'created', $3::text::jsonb)",
            id_,
            number + 1,
            document,
        )
        for base in ("", "/fhir"):
            answer = await box.client.get(f"{base}/Basic", params={"_id": id_})
            assert answer.status_code == 200
            answer = await box.raw(
                "GET", f"{base}/Basic/".encode() + b"".join(b"%%%02x" % c for c in id_.encode())
            )
            assert answer[0] == 200
            body = json.loads(answer[2])
            assert (body["resourceType"], body["id"]) == ("Basic", id_)
            assert (await box.client.get(f"{base}/Basic/_history")).status_code == 200
    await box.sql("DELETE FROM basic")


async def test_truncated_tables_are_empty_at_once(box):
    made = (await box.client.post("/Device", json={})).json()
    await box.client.put(f"/Device/{made['id']}", json={"status": "active"})
    assert (await box.client.get("/Device")).json()["total"] > 0
    await box.sql("TRUNCATE device, device_history")
    assert (await box.client.get("/Device")).json()["total"] == 0
    assert (await box.client.get(f"/Device/{made['id']}")).status_code == 404
    again = await box.client.put(f"/Device/{made['id']}", json={})
    assert again.status_code == 201


async def test_deleting_by_txid_isolates_tests(box):
    before = (await box.sql("SELECT last_value FROM transaction_id_seq"))[0]["last_value"]
    made = (await box.client.post("/Patient", json=OAK)).json()
    assert int(made["meta"]["versionId"]) > before
    await box.sql("DELETE FROM patient WHERE txid > $1", before)
    assert (await box.client.get(f"/Patient/{made['id']}")).status_code == 404


async def test_all_reads_of_one_version_are_equal(box):
    sent = {
        **OAK,
        "identifier": [{"system": "urn:s", "value": "1"}],
        "multipleBirthInteger": 3,
        "extension": [{"url": "urn:e", "valueDecimal": 1.0}],
        "meta": {"tag": [{"code": "t"}]},
    }
    for base in ("/fhir", ""):
        body = (
            sent
            if base
            else {**OAK, "multipleBirth": {"integer": 3}, "meta": {"tag": [{"code": "t"}]}}
        )
        id_ = fresh()
        written = (await box.client.put(f"{base}/Patient/{id_}", json=body)).json()
        version = written["meta"]["versionId"]
        read = (await box.client.get(f"{base}/Patient/{id_}")).json()
        vread = (await box.client.get(f"{base}/Patient/{id_}/_history/{version}")).json()
        search = (await box.client.get(f"{base}/Patient?_id={id_}")).json()["entry"][0]["resource"]
        history = (await box.client.get(f"{base}/Patient/{id_}/_history")).json()["entry"][0][
            "resource"
        ]
        in_batch = (
            await box.client.post(
                f"{base}/",
                json={
                    "type": "batch",
                    "entry": [{"request": {"method": "GET", "url": f"Patient/{id_}"}}],
                },
            )
        ).json()["entry"][0]["resource"]
        assert written == read == vread == search == history == in_batch


async def test_the_fast_rendering_agrees_with_the_slow_one(box):
    for body in (
        {},
        {"active": True},
        {"meta": {"tag": [{"code": "t"}]}},
        {"_x": {"id": "in"}, "name": [{"family": "Öak \U0001f333"}]},
    ):
        id_ = fresh()
        await box.client.put(f"/Patient/{id_}", json=body)
        fast = (await box.client.get(f"/Patient/{id_}")).json()
        slow = (await box.client.get(f"/Patient/{id_}?_pretty=true")).json()
        assert fast == slow
        assert list(fast)[:3] == list(slow)[:3] == ["resourceType", "id", "meta"]


async def test_numbers_of_any_length_written_by_sql_are_served(box):
    id_ = fresh()
    digits = "7" * 5000
    await box.sql(
        "INSERT INTO patient (id, txid, status, resource) VALUES "
        "($1, nextval('transaction_id_seq'), 'created', $2)",
        id_,
        f'{{"extension": [{{"url": "urn:x", "valueDecimal": {digits}}}]}}',
    )
    for path in (f"/fhir/Patient/{id_}", f"/Patient/{id_}", f"/fhir/Patient?_id={id_}"):
        answer = await box.client.get(path)
        assert answer.status_code == 200
        assert digits in answer.text
    yaml = await box.client.get(f"/fhir/Patient/{id_}?_format=yaml")
    assert digits in yaml.text
    # A number that grows when it is written out is refused: 8 bytes would come back as 131 kB.
    short = b'{"extension": [{"url": "urn:x", "valueDecimal": 1e131000}]}'
    for media, body in (("application/json", short), ("text/yaml", short)):
        assert (await box.raw("POST", b"/fhir/Patient", {"content-type": media}, body))[0] == 422
