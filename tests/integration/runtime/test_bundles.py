"""Batches and transactions: order, references, conditions, rollback.

Source: core specification, "Batch and transaction"; FHIR R4, "batch/transaction".
"""

from __future__ import annotations

import re

import pytest

from tests.integration.runtime.making import (
    BASES,
    ENCOUNTER,
    OAK,
    batch,
    encounter,
    entry,
    fresh,
    linked,
    outcome,
    post,
    transaction,
)


async def count(box, table):
    (row,) = await box.sql(f"SELECT count(*) AS n FROM {table}")
    return row["n"]


@BASES
async def test_the_answer_of_a_transaction(box, base):
    answer = await post(
        box,
        base,
        transaction(
            entry("POST", "Patient", OAK, fullUrl="urn:uuid:a"),
            entry("POST", "/Encounter", encounter(base, "urn:uuid:a")),
        ),
    )
    assert answer.status_code == 200
    body = answer.json()
    assert (body["resourceType"], body["type"]) == ("Bundle", "transaction-response")
    patient, visit = body["entry"]
    assert linked(base, visit["resource"]) == f"Patient/{patient['resource']['id']}"
    for item in (patient, visit):
        version = item["resource"]["meta"]["versionId"]
        assert version == body["id"]
        path = f"{item['resource']['resourceType']}/{item['resource']['id']}/_history/{version}"
        assert item["response"]["status"] == "201"
        if base:
            assert item["response"]["location"] == f"http://box.test/fhir/{path}"
            assert item["response"]["etag"] == f'W/"{version}"'
            assert item.keys() == {"resource", "response"}
        else:
            assert item["response"]["location"] == f"/{path}"
            assert item["response"]["etag"] == version
            assert item["status"] == 201
        assert item["response"]["lastModified"] == item["resource"]["meta"]["lastUpdated"]


@BASES
async def test_references_go_in_every_direction(box, base):
    put = fresh()
    body = (
        await post(
            box,
            base,
            transaction(
                entry("POST", "Encounter", encounter(base, "any: string")),
                entry("POST", "Encounter", encounter(base, "urn:uuid:put")),
                entry("POST", "Patient", OAK, fullUrl="any: string"),
                entry("PUT", f"Patient/{put}", OAK, fullUrl="urn:uuid:put"),
                entry("POST", "Encounter", encounter(base, "urn:uuid:nobody")),
            ),
        )
    ).json()
    resources = [item["resource"] for item in body["entry"]]
    assert linked(base, resources[0]) == f"Patient/{resources[2]['id']}"
    assert linked(base, resources[1]) == f"Patient/{put}"
    unresolved = {"reference": "urn:uuid:nobody"} if base else {"uri": "urn:uuid:nobody"}
    assert resources[4]["subject"] == unresolved


@BASES
async def test_cycles_are_fine(box, base):
    one = {"resourceType": "Patient", "link": [{"type": "seealso"}]}
    link = {"reference": "urn:b"} if base else {"uri": "urn:b"}
    back = {"reference": "urn:a"} if base else {"uri": "urn:a"}
    answer = await post(
        box,
        base,
        transaction(
            entry(
                "POST",
                "Patient",
                {**one, "link": [{"type": "seealso", "other": link}]},
                fullUrl="urn:a",
            ),
            entry(
                "POST",
                "Patient",
                {**one, "link": [{"type": "seealso", "other": back}]},
                fullUrl="urn:b",
            ),
        ),
    )
    assert answer.status_code == 200


@BASES
async def test_a_dangling_reference_rolls_everything_back(box, base):
    id_ = fresh()
    subject = {"reference": f"Patient/{fresh()}"}
    if not base:
        subject = {"resourceType": "Patient", "id": fresh()}
    before = await count(box, "encounter")
    answer = await post(
        box,
        base,
        transaction(
            entry("PUT", f"Patient/{id_}", OAK),
            entry("POST", "Encounter", {**ENCOUNTER, "subject": subject}),
        ),
    )
    body = outcome(answer, 422)
    assert body["issue"][0]["expression"] == ["Bundle.entry[1].resource.subject"]
    assert (await box.client.get(f"{base}/Patient/{id_}")).status_code == 404
    assert await count(box, "encounter") == before


@BASES
@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (entry("POST", "Patient", {"resourceType": "Patient", "name": 5}), 422),
        (entry("POST", "Nothing", {}), 404),
        (entry("GET", "Patient/nobody-here"), 404),
        (entry("POST", "Patient", [1]), 400),
        (entry("POST", "Patient", {"id": "a b"}), 422),
        (entry("PUT", "Patient/a..%2Fb", OAK), 400),
        (entry("POST", "Patient?nothing=5", OAK), 400),
        (entry("TRACE", "Patient"), 422),
        (entry("POST", "", transaction()), 422),
        ({"resource": OAK}, 422),
        ("text", 422),
        (entry("PUT", "Patient/x", OAK, ifMatch='W/"1"'), None),
        (entry("POST", "Patient", {**OAK, "birthDate": "1990-01-01\x00"}), 422),
    ],
)
async def test_one_bad_entry_rolls_everything_back(box, base, bad, status):
    id_ = fresh()
    answer = await post(box, base, transaction(entry("PUT", f"Patient/{id_}", OAK), bad))
    status = status or (412 if base else 409)
    body = outcome(answer, status)
    assert body["issue"][0]["expression"][0].startswith("Bundle.entry[1]")
    assert (await box.client.get(f"{base}/Patient/{id_}")).status_code == 404


@BASES
async def test_entries_of_a_batch_stand_alone(box, base):
    good, other = fresh(), fresh()
    body = (
        await post(
            box,
            base,
            batch(
                entry("PUT", f"Patient/{good}", OAK, fullUrl="urn:a"),
                entry("POST", "Patient", {"resourceType": "Patient", "name": 5}),
                entry("GET", f"Patient/{fresh()}"),
                entry("POST", "Encounter", encounter(base, "urn:a")),
                entry("DELETE", f"Patient/{other}"),
                entry("GET", f"Patient/{good}"),
                entry("GET", f"Patient?_id={good}"),
                {"request": {"method": "FETCH", "url": "Patient"}},
            ),
        )
    ).json()
    assert body["type"] == "batch-response"
    never = "204" if base else "404"
    statuses = [item["response"]["status"] for item in body["entry"]]
    assert statuses == ["201", "422", "404", "201", never, "200", "200", "422"]
    failed = body["entry"][1]["response"]["outcome"]
    assert failed["issue"][0]["expression"] == ["Patient.name"]
    if base:
        assert all("status" not in item for item in body["entry"])
        assert "resource" not in body["entry"][1]
    else:
        assert [item["status"] for item in body["entry"]] == [int(s) for s in statuses]
        assert body["entry"][1]["resource"] == failed
    unresolved = {"reference": "urn:a"} if base else {"uri": "urn:a"}
    assert body["entry"][3]["resource"]["subject"] == unresolved
    assert body["entry"][5]["resource"]["id"] == good
    assert body["entry"][6]["resource"]["total"] == 1
    versions = [body["entry"][n]["resource"]["meta"]["versionId"] for n in (0, 3)]
    assert len(set(versions)) == 2


async def test_a_transaction_at_fhir_runs_by_verb_and_answers_in_order(box):
    id_, made, gone = fresh(), fresh(), fresh()
    await box.client.put(f"/fhir/Patient/{id_}", json=OAK)
    await box.client.put(f"/fhir/Patient/{gone}", json=OAK)
    body = (
        await post(
            box,
            "/fhir",
            transaction(
                entry("GET", f"Patient/{id_}"),
                entry("GET", f"Patient?_id={id_},{made},{gone}&_elements=id"),
                entry("PUT", f"Patient/{id_}", {**OAK, "gender": "female"}),
                entry("POST", "Patient", {**OAK, "id": made}),
                entry("DELETE", f"Patient/{gone}"),
            ),
        )
    ).json()
    got, found, put, posted, deleted = body["entry"]
    statuses = [item["response"]["status"] for item in body["entry"]]
    assert statuses == ["200", "200", "200", "201", "200"]
    assert got["resource"] == put["resource"]
    assert {one["resource"]["id"] for one in found["resource"]["entry"]} == {id_, made}
    versions = {item["resource"]["meta"]["versionId"] for item in (put, posted, deleted)}
    assert versions == {body["id"]}


async def test_root_runs_in_document_order(box):
    id_ = fresh()
    body = (
        await post(
            box,
            "",
            transaction(
                entry("PUT", f"/Patient/{id_}", OAK),
                entry("GET", f"/Patient/{id_}"),
                entry("DELETE", f"/Patient/{id_}"),
                entry("PUT", f"/Patient/{id_}", {**OAK, "gender": "female"}),
            ),
        )
    ).json()
    assert [item["status"] for item in body["entry"]] == [201, 200, 200, 201]
    assert body["entry"][1]["resource"] == body["entry"][0]["resource"]
    rows = await box.sql(
        "SELECT txid, status::text FROM patient WHERE id = $1 UNION ALL "
        "SELECT txid, status::text FROM patient_history WHERE id = $1 ORDER BY 1",
        id_,
    )
    assert [row["status"] for row in rows] == ["created", "deleted", "recreated"]
    assert rows[0]["txid"] == int(body["id"])


@BASES
@pytest.mark.parametrize(
    "url", ["Patient/{}", "/Patient/{}", "http://box.test{}/Patient/{}", "/fhir/Patient/{}"]
)
async def test_urls_of_entries(box, base, url):
    id_ = fresh()
    target = url.format(base, id_) if url.count("{}") == 2 else url.format(id_)
    answer = await post(box, base, transaction(entry("PUT", target, OAK)))
    assert answer.json()["entry"][0]["response"]["status"] == "201"


@pytest.mark.parametrize(
    "envelope", [{"resourceType": "bundle"}, {}, {"id": 5, "total": "x", "zzz": 1}]
)
async def test_the_envelope_is_lax(box, envelope):
    bundle = {**envelope, "type": "batch", "entry": []}
    answer = await box.client.post(
        "/fhir/?", json=bundle, headers={"Accept": "application/fhir+json"}
    )
    assert answer.json() == {"resourceType": "Bundle", "type": "batch-response", "entry": []}


@pytest.mark.parametrize("kind", [None, "history", "collection", 5])
async def test_other_types_of_bundle_are_refused(box, kind):
    outcome(await box.client.post("/fhir", json={"resourceType": "Bundle", "type": kind}), 422)


async def test_a_resource_without_its_type_takes_it_from_the_url(box):
    id_ = "bundle_patient_" + fresh()
    body = (await post(box, "/fhir", transaction(entry("POST", "Patient", {"id": id_})))).json()
    assert body["entry"][0]["resource"]["id"] == id_


@BASES
async def test_conditional_creates_of_entries(box, base):
    mrn = fresh()
    resource = {**OAK, "identifier": [{"system": "mrn", "value": mrn}]}
    bundle = transaction(
        entry("POST", f"Patient?identifier=mrn|{mrn}", resource, fullUrl="urn:p"),
        entry("POST", "Encounter", encounter(base, "urn:p")),
    )
    first = (await post(box, base, bundle)).json()
    second = (await post(box, base, bundle)).json()
    header = {
        **bundle,
        "entry": [
            entry(
                "POST", "Patient", resource, ifNoneExist=f"identifier=mrn|{mrn}", fullUrl="urn:p"
            ),
            bundle["entry"][1],
        ],
    }
    third = (await post(box, base, header)).json()
    ids = {body["entry"][0]["resource"]["id"] for body in (first, second, third)}
    assert len(ids) == 1
    statuses = [body["entry"][0]["response"]["status"] for body in (first, second, third)]
    assert statuses == ["201", "200", "200"]
    assert {linked(base, b["entry"][1]["resource"]) for b in (first, second, third)} == {
        f"Patient/{ids.pop()}"
    }


async def test_at_root_no_entry_refers_to_a_later_conditional_one(box):
    bundle = transaction(
        entry("POST", "Encounter", encounter("", "urn:p")),
        entry("POST", f"Patient?identifier=mrn|{fresh()}", OAK, fullUrl="urn:p"),
    )
    body = outcome(await post(box, "", bundle), 422)
    assert body["issue"][0]["expression"] == ["Bundle.entry[0]"]
    bundle["entry"].reverse()
    assert (await post(box, "", bundle)).status_code == 200


async def test_at_fhir_any_entry_refers_to_any_conditional_one(box):
    mrn, other = fresh(), fresh()
    known = {**OAK, "identifier": [{"value": mrn}]}
    await box.client.post("/fhir/Patient", json=known)
    body = (
        await post(
            box,
            "/fhir",
            transaction(
                entry("POST", "Encounter", encounter("/fhir", "urn:known")),
                entry("POST", "Encounter", encounter("/fhir", "urn:made")),
                entry("PUT", f"Patient?identifier={mrn}", known, fullUrl="urn:known"),
                entry("PUT", f"Patient?identifier={other}", OAK, fullUrl="urn:made"),
            ),
        )
    ).json()
    resources = [item["resource"] for item in body["entry"]]
    assert linked("/fhir", resources[0]) == f"Patient/{resources[2]['id']}"
    assert linked("/fhir", resources[1]) == f"Patient/{resources[3]['id']}"
    assert [item["response"]["status"] for item in body["entry"]] == ["201", "201", "200", "201"]


async def test_two_entries_with_the_same_condition_make_one_resource(box):
    mrn = fresh()
    resource = {**OAK, "identifier": [{"value": mrn}]}
    one = entry("POST", "Patient", resource, ifNoneExist=f"identifier={mrn}")
    body = (await post(box, "/fhir", transaction(one, one))).json()
    assert [item["response"]["status"] for item in body["entry"]] == ["201", "200"]
    assert body["entry"][0]["resource"] == body["entry"][1]["resource"]


async def test_relative_references_under_the_root_of_a_full_url(box):
    root = "http://elsewhere.test/fhir"
    body = (
        await post(
            box,
            "/fhir",
            transaction(
                entry("POST", "Patient", OAK, fullUrl=f"{root}/Patient/17"),
                entry(
                    "POST",
                    "Encounter",
                    encounter("/fhir", "Patient/17"),
                    fullUrl=f"{root}/Encounter/3",
                ),
                entry(
                    "POST", "Encounter", encounter("/fhir", f"{root}/Patient/17"), fullUrl="urn:x"
                ),
            ),
        )
    ).json()
    resources = [item["resource"] for item in body["entry"]]
    for visit in resources[1:]:
        assert linked("/fhir", visit) == f"Patient/{resources[0]['id']}"


async def test_references_by_query(box):
    mrn = fresh()
    resource = {**OAK, "identifier": [{"system": "mrn", "value": mrn}]}
    made = (await box.client.post("/fhir/Patient", json=resource)).json()
    visit = encounter("/fhir", f"Patient?identifier=mrn|{mrn}")
    body = (await post(box, "/fhir", transaction(entry("POST", "Encounter", visit)))).json()
    assert linked("/fhir", body["entry"][0]["resource"]) == f"Patient/{made['id']}"
    put = transaction(entry("PUT", f"Encounter/{fresh()}", visit))
    assert (
        linked("/fhir", (await post(box, "/fhir", put)).json()["entry"][0]["resource"])
        == f"Patient/{made['id']}"
    )
    await box.client.post("/fhir/Patient", json=resource)
    outcome(await post(box, "/fhir", transaction(entry("POST", "Encounter", visit))), 412)
    nobody = encounter("/fhir", f"Patient?identifier={fresh()}")
    refused = outcome(
        await post(box, "/fhir", transaction(entry("POST", "Encounter", nobody))), 412
    )
    assert refused["issue"][0]["expression"] == ["Bundle.entry[0].resource.subject"]
    wrong = encounter("/fhir", f"Encounter?identifier={fresh()}")
    outcome(await post(box, "/fhir", transaction(entry("POST", "Encounter", wrong))), 422)
    later = fresh()
    both = transaction(
        entry("POST", "Patient", {**OAK, "identifier": [{"value": later}]}),
        entry("POST", "Encounter", encounter("/fhir", f"Patient?identifier={later}")),
    )
    resources = [item["resource"] for item in (await post(box, "/fhir", both)).json()["entry"]]
    assert linked("/fhir", resources[1]) == f"Patient/{resources[0]['id']}"
    # Outside of a transaction it is an ordinary text.
    alone = await box.client.post("/fhir/Encounter", json=visit)
    assert alone.json()["subject"] == visit["subject"]


async def test_a_taken_id_of_an_entry_with_a_urn_is_replaced(box):
    id_ = fresh()
    await box.client.put(f"/fhir/Patient/{id_}", json=OAK)
    wish = entry("POST", "Patient", {**OAK, "id": id_}, fullUrl=f"urn:uuid:{id_}")
    body = (
        await post(
            box,
            "/fhir",
            transaction(wish, entry("POST", "Encounter", encounter("/fhir", f"urn:uuid:{id_}"))),
        )
    ).json()
    made = body["entry"][0]["resource"]["id"]
    assert made != id_
    assert linked("/fhir", body["entry"][1]["resource"]) == f"Patient/{made}"
    plain = entry("POST", "Patient", {**OAK, "id": id_})
    outcome(await post(box, "/fhir", transaction(plain)), 409)


@BASES
async def test_conditional_deletes_and_updates_of_entries(box, base):
    mrn = fresh()
    resource = {**OAK, "identifier": [{"value": mrn}]}
    made = (await box.client.post(f"{base}/Patient", json=resource)).json()
    body = (
        await post(box, base, transaction(entry("PUT", f"Patient?identifier={mrn}", resource)))
    ).json()
    assert body["entry"][0]["resource"]["id"] == made["id"]
    assert body["entry"][0]["response"]["status"] == "200"
    body = (await post(box, base, transaction(entry("DELETE", f"Patient?identifier={mrn}")))).json()
    assert body["entry"][0]["response"]["status"] == "200"
    again = await post(box, base, transaction(entry("DELETE", f"Patient?identifier={mrn}")))
    if base:
        assert again.json()["entry"][0]["response"]["status"] == "204"
    else:
        outcome(again, 404)


async def test_a_large_transaction_is_one_transaction(box):
    entries = [entry("POST", "Patient", OAK) for _ in range(2_000)]
    answer = await post(box, "/fhir", transaction(*entries))
    assert answer.status_code == 200
    rows = await box.sql(
        "SELECT count(*) AS n FROM patient WHERE txid = $1", int(answer.json()["id"])
    )
    assert rows[0]["n"] == 2_000


async def test_a_batch_may_hold_any_endpoint(box):
    body = (
        await post(
            box,
            "",
            batch(
                entry("GET", "/metadata"),
                entry("PUT", "/", [{"resourceType": "Patient", "id": fresh()}]),
            ),
        )
    ).json()
    assert body["entry"][0]["resource"]["resourceType"] == "CapabilityStatement"
    assert body["entry"][1]["status"] == 200


async def test_batch_upsert(box):
    id_ = fresh()
    items = [
        {"resourceType": "Patient", "id": id_, "active": True},
        {"resourceType": "Patient", "id": id_, "active": False},
    ]
    answer = await box.client.put("/", json=items)
    assert answer.status_code == 200
    assert [item["active"] for item in answer.json()] == [True, False]
    versions = [int(item["meta"]["versionId"]) for item in answer.json()]
    assert versions[0] < versions[1]
    history = (await box.client.get(f"/Patient/{id_}/_history")).json()
    assert history["total"] == 2
    other = fresh()
    for bad, status in (
        ({"resourceType": "Patient", "id": fresh()}, 400),
        ([{"resourceType": "Patient", "id": other}, {"resourceType": "Patient"}], 422),
        ([{"resourceType": "Patient", "id": other}, {"id": "x"}], 422),
        ([{"resourceType": "Patient", "id": other}, 5], 422),
        ([{"resourceType": "Patient", "id": other}, {"resourceType": "Zzz", "id": "x"}], 422),
        (
            [
                {
                    "resourceType": "Patient",
                    "id": other,
                    "managingOrganization": {"resourceType": "Organization", "id": fresh()},
                }
            ],
            422,
        ),
    ):
        outcome(await box.client.put("/", json=bad), status)
        assert (await box.client.get(f"/Patient/{other}")).status_code == 404
    assert (await box.client.put("/fhir", json=items)).status_code in {404, 405}
    assert (await box.client.put("/?_no-content=true", json=items)).status_code == 204


async def test_batch_upsert_checks_references_at_its_end(box):
    patient, organization = fresh(), fresh()
    items = [
        {
            "resourceType": "Patient",
            "id": patient,
            "managingOrganization": {"resourceType": "Organization", "id": organization},
        },
        {"resourceType": "Organization", "id": organization, "name": "Later"},
    ]
    assert (await box.client.put("/", json=items)).status_code == 200


async def test_the_id_of_the_answer_is_the_txid(box):
    body = (await post(box, "/fhir", transaction(entry("POST", "Patient", OAK)))).json()
    assert re.fullmatch(r"\d+", body["id"])
    (row,) = await box.sql("SELECT last_value FROM transaction_id_seq")
    assert row["last_value"] >= int(body["id"])
