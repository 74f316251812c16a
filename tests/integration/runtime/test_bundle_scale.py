"""Bundles of thousands of entries: as right as small ones, and in time that grows with their size.

Source: core specification, "Batch and transaction" ("tens of megabytes and 10,000 entries are normal").
"""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tests.integration.runtime.making import (
    BASES,
    OAK,
    encounter,
    entry,
    fresh,
    linked,
    outcome,
    post,
    transaction,
)

LIMIT_S = 60
"""Far above what it takes (2 to 4 s on two cores), far below what quadratic work would."""


@pytest.fixture(scope="module", autouse=True)
async def leave_no_thousands(box):
    """Other tests search the same box."""
    yield
    await box.forget_everything()


async def versions(box, prefix):
    return await box.sql(
        "SELECT id, txid, ts, cts, status::text AS status FROM (SELECT * FROM patient UNION ALL "
        "SELECT * FROM patient_history) AS every WHERE starts_with(id, $1) ORDER BY id, txid",
        prefix,
    )


@BASES
async def test_ten_thousand_entries_that_refer_to_each_other(box, base):
    """Absolute fullUrls under one root: the rules for relative references apply to all of them."""
    root = f"http://elsewhere.test/{fresh()}"
    entries = []
    for n in range(5_000):
        patient = f"{root}/Patient/{n}"
        entries.append(entry("POST", "Patient", OAK, fullUrl=patient))
        target = f"Patient/{n}" if base and n % 2 else patient
        visit = encounter(base, target)
        entries.append(entry("POST", "Encounter", visit, fullUrl=f"{root}/Encounter/{n}"))
    started = time.monotonic()
    answer = await post(box, base, transaction(*entries))
    assert answer.status_code == 200, answer.text[:500]
    assert time.monotonic() - started < LIMIT_S
    found = [item["resource"] for item in answer.json()["entry"]]
    assert len(found) == 10_000
    for patient, visit in zip(found[::2], found[1::2], strict=True):
        assert linked(base, visit) == f"Patient/{patient['id']}"


@BASES
async def test_ten_thousand_replacements(box, base):
    prefix = fresh()
    bundle = transaction(*(entry("PUT", f"Patient/{prefix}-{n}", OAK) for n in range(10_000)))
    started = time.monotonic()
    first = await post(box, base, bundle)
    second = await post(box, base, bundle)
    assert time.monotonic() - started < 2 * LIMIT_S
    assert {item["response"]["status"] for item in first.json()["entry"]} == {"201"}
    assert {item["response"]["status"] for item in second.json()["entry"]} == {"200"}
    rows = await versions(box, prefix)
    assert len(rows) == 20_000
    assert {row["txid"] for row in rows} == {int(first.json()["id"]), int(second.json()["id"])}
    assert [item["resource"]["id"] for item in second.json()["entry"]] == [
        f"{prefix}-{n}" for n in range(10_000)
    ]


async def test_forty_megabytes(box):
    large = {**OAK, "text": {"status": "generated", "div": narrative("x" * 20_000)}}
    entries = [entry("POST", "Patient", large, fullUrl=f"urn:{n}") for n in range(2_000)]
    body = json.dumps(transaction(*entries)).encode()
    assert len(body) > 40_000_000
    answer = await box.client.post(
        "/fhir", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.json()["entry"]) == 2_000


def narrative(text):
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'


async def test_thousands_of_conditional_entries_at_root(box):
    """Whether an entry refers to a later conditional one is known after one look at each."""
    mark = fresh()
    entries = []
    for n in range(1_000):
        entries.append(
            entry(
                "POST", f"Patient?_id={mark}-{n}", {**OAK, "id": f"{mark}-{n}"}, fullUrl=f"urn:{n}"
            )
        )
        entries.append(entry("POST", "Encounter", encounter("", f"urn:{n}")))
    started = time.monotonic()
    answer = await post(box, "", transaction(*entries))
    assert answer.status_code == 200, answer.text[:500]
    assert time.monotonic() - started < LIMIT_S
    assert linked("", answer.json()["entry"][-1]["resource"]) == f"Patient/{mark}-999"


@BASES
async def test_the_last_of_thousands_rolls_all_back(box, base):
    prefix = fresh()
    entries = [entry("PUT", f"Patient/{prefix}-{n}", OAK) for n in range(3_000)]
    bad = transaction(*entries, entry("PUT", f"Patient/{prefix}-last", {"zzz": 1}))
    body = outcome(await post(box, base, bad), 422)
    assert body["issue"][0]["expression"] == ["Bundle.entry[3000].resource.zzz"]
    assert await versions(box, prefix) == []


@BASES
async def test_others_are_answered_while_a_bundle_is_at_work(box, base):
    bundle = transaction(*(entry("PUT", f"Patient/{fresh()}", OAK) for _ in range(5_000)))
    work = asyncio.create_task(post(box, base, bundle))
    answered = 0
    while not work.done():
        assert (await box.client.get("/fhir/Patient/none")).status_code == 404
        answered += 1
    assert work.result().status_code == 200
    assert answered > 20


# Writes that go together are what they would be alone


async def test_neighbouring_replacements_leave_what_single_ones_leave(box):
    prefix = fresh()
    old, gone, new = (f"{prefix}-{name}" for name in ("old", "gone", "new"))
    for id_ in (old, gone):
        await box.client.put(f"/Patient/{id_}", json=OAK)
    await box.client.delete(f"/Patient/{gone}")
    other = {**OAK, "gender": "other"}
    bundle = transaction(*(entry("PUT", f"Patient/{id_}", other) for id_ in (gone, new, old)))
    for base in ("", "/fhir"):
        assert (await post(box, base, bundle)).status_code == 200
    rows = await versions(box, prefix)
    stories = {}
    for row in rows:
        stories.setdefault(row["id"], []).append(row)
    assert {id_: [row["status"] for row in rows] for id_, rows in stories.items()} == {
        gone: ["created", "deleted", "recreated", "updated"],
        new: ["created", "updated"],
        old: ["created", "updated", "updated"],
    }
    for story in stories.values():
        assert story[-1]["cts"] == story[-2]["cts"]  # updates keep it
        times = [row["ts"] for row in story]
        assert times == sorted(set(times))
    assert stories[gone][2]["cts"] > stories[gone][0]["cts"]  # a recreation starts anew


async def test_at_root_later_entries_see_what_waits(box):
    id_ = fresh()
    kinds = {
        "read": entry("GET", f"Patient/{id_}"),
        "search": entry("GET", f"Patient?_id={id_}"),
        "history": entry("GET", f"Patient/{id_}/_history"),
        "again": entry("PUT", f"Patient/{id_}", {**OAK, "gender": "other"}),
        "found": entry("POST", f"Patient?_id={id_}", OAK),
        "delete": entry("DELETE", f"Patient/{id_}"),
        "back": entry("PUT", f"Patient/{id_}", OAK),
    }
    put = entry("PUT", f"Patient/{id_}", OAK)
    body = (await post(box, "", transaction(put, *kinds.values()))).json()
    found = dict(zip(kinds, body["entry"][1:], strict=True))
    assert [item["status"] for item in body["entry"]] == [201, 200, 200, 200, 200, 200, 200, 201]
    assert found["read"]["resource"] == body["entry"][0]["resource"]
    assert found["search"]["resource"]["total"] == 1
    assert found["history"]["resource"]["total"] == 1
    assert found["found"]["resource"] == found["again"]["resource"]
    rows = await versions(box, id_)
    assert [row["status"] for row in rows] == ["created", "updated", "deleted", "recreated"]


async def test_one_id_posted_and_put_at_root(box):
    id_ = fresh()
    posted, put = entry("POST", "Patient", {**OAK, "id": id_}), entry("PUT", f"Patient/{id_}", OAK)
    body = outcome(await post(box, "", transaction(put, posted)), 409)
    assert body["issue"][0]["expression"] == ["Bundle.entry[1]"]
    assert await versions(box, id_) == []
    body = (await post(box, "", transaction(posted, put, put))).json()
    assert [item["status"] for item in body["entry"]] == [201, 200, 200]
    assert [row["status"] for row in await versions(box, id_)] == ["created", "updated", "updated"]


async def test_neighbouring_replacements_without_history(box):
    name = "T" + fresh()[2:]
    await box.client.put(
        f"/Entity/{name}", json={"type": "resource", "isOpen": True, "history": "none"}
    )
    ids = [fresh() for _ in range(3)]
    bundle = transaction(*(entry("PUT", f"{name}/{id_}", {"a": 1}) for id_ in ids))
    for _ in range(3):
        assert (await post(box, "", bundle)).status_code == 200
    (row,) = await box.sql(
        f"SELECT (SELECT count(*) FROM {name}) AS current, (SELECT count(*) FROM {name}_history) AS past"
    )
    assert (row["current"], row["past"]) == (3, 0)
    history = (await box.client.get(f"/{name}/{ids[0]}/_history")).json()
    assert history["total"] == 1


async def test_a_large_upsert(box):
    prefix, count = fresh(), 5_000
    items = [{**OAK, "id": f"{prefix}-{n}"} for n in range(count)]
    started = time.monotonic()
    first = await box.client.put("/", json=items)
    second = await box.client.put("/", json=items)
    assert (first.status_code, second.status_code) == (200, 200)
    assert time.monotonic() - started < LIMIT_S
    assert [item["id"] for item in second.json()] == [item["id"] for item in items]
    statuses = [row["status"] for row in await versions(box, prefix)]
    assert sorted(statuses) == ["created"] * count + ["updated"] * count
