"""Histories of a resource, a type and the box.

Source: core specification, "History".
"""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.runtime.making import BASES, OAK, fresh, outcome


async def life(box, base, id_):
    """Write, change, delete and write again; return the four versions."""
    path = f"{base}/Patient/{id_}"
    return [
        (await box.client.put(path, json=OAK)).json(),
        (await box.client.put(path, json={**OAK, "active": True})).json(),
        (await box.client.delete(path)).json(),
        (await box.client.put(path, json={**OAK, "active": False})).json(),
    ]


@BASES
async def test_the_history_of_a_resource(box, base):
    id_ = fresh()
    versions = await life(box, base, id_)
    answer = await box.client.get(f"{base}/Patient/{id_}/_history")
    body = answer.json()
    assert (body["resourceType"], body["type"], body["total"]) == ("Bundle", "history", 4)
    assert [item["resource"] for item in body["entry"]] == versions[::-1]
    methods = [item["request"]["method"] for item in body["entry"]]
    assert methods == ["POST", "DELETE", "PUT", "POST"]
    urls = [item["request"]["url"] for item in body["entry"]]
    newest = versions[-1]["meta"]["versionId"]
    if base:
        assert urls == ["Patient", f"Patient/{id_}", f"Patient/{id_}", "Patient"]
        assert [item["response"]["status"] for item in body["entry"]] == [
            "201",
            "204",
            "200",
            "201",
        ]
        assert {item["fullUrl"] for item in body["entry"]} == {
            f"http://box.test/fhir/Patient/{id_}"
        }
        assert answer.headers["etag"] == f'W/"{newest}"'
    else:
        assert urls == ["Patient"] * 4
        assert answer.headers["etag"] == newest
    same = await box.client.get(
        f"{base}/Patient/{id_}/_history", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert (same.status_code, same.content) == (304, b"")


@BASES
async def test_unknown_and_deleted(box, base):
    outcome(await box.client.get(f"{base}/Patient/{fresh()}/_history"), 404)
    outcome(await box.client.get(f"{base}/Zzz/_history"), 404)
    id_ = fresh()
    await box.client.put(f"{base}/Patient/{id_}", json=OAK)
    await box.client.delete(f"{base}/Patient/{id_}")
    answer = await box.client.get(f"{base}/Patient/{id_}/_history")
    assert (answer.status_code, answer.json()["total"]) == (200, 2)


@BASES
async def test_pages(box, base):
    id_ = fresh()
    versions = await life(box, base, id_)
    seen, url = [], f"{base}/Patient/{id_}/_history?_count=3"
    tags = set()
    while url:
        answer = await box.client.get(url)
        tags.add(answer.headers["etag"])
        body = answer.json()
        assert body["total"] == 4
        seen += [item["resource"] for item in body["entry"]]
        url = next((link["url"] for link in body["link"] if link["relation"] == "next"), None)
    assert seen == versions[::-1]
    assert len(tags) == 1
    counted = (await box.client.get(f"{base}/Patient/{id_}/_history?_count=0")).json()
    assert counted["total"] == 4
    assert not counted.get("entry")


@BASES
async def test_polling_by_txid_and_since(box, base):
    id_ = fresh()
    versions = await life(box, base, id_)
    second = versions[1]["meta"]
    path = f"{base}/Patient/{id_}/_history"
    after = (await box.client.get(f"{path}?_txid={second['versionId']}")).json()
    assert [item["resource"] for item in after["entry"]] == versions[:1:-1]
    since = (await box.client.get(path, params={"_since": second["lastUpdated"]})).json()
    assert [item["resource"] for item in since["entry"]] == versions[:0:-1]
    none = (await box.client.get(f"{path}?_since=2099-01-01")).json()
    assert none["total"] == 0
    for bad in ("_txid=x", "_since=soon", "_at=soon", "_count=x", "_count=-1", "_page=0"):
        outcome(await box.client.get(f"{path}?{bad}"), 400)
    for odd in (
        "_since=0001-01-01T00:00:00%2B14:00",
        "_since=9999-12-31",
        "_txid=999999999999999999",
    ):
        assert (await box.client.get(f"{path}?{odd}")).status_code in {200, 400}


@BASES
async def test_versions_that_were_current_at_a_moment(box, base):
    id_ = fresh()
    path = f"{base}/Patient/{id_}"
    moments = []
    for body in (OAK, {**OAK, "active": True}, None):
        await (box.client.put(path, json=body) if body else box.client.delete(path))
        await asyncio.sleep(0.002)
        (row,) = await box.sql(
            "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS now"
        )
        moments.append(row["now"])
        await asyncio.sleep(0.002)
    counts = []
    for moment in moments:
        found = (await box.client.get(f"{path}/_history", params={"_at": moment})).json()
        counts.append([item["resource"].get("active") for item in found.get("entry", [])])
    assert counts == [[None], [True], []]
    day = (await box.client.get(f"{path}/_history", params={"_at": moments[0][:10]})).json()
    assert day["total"] == 3
    before = (await box.client.get(f"{path}/_history?_at=2001")).json()
    assert before["total"] == 0


async def test_the_history_of_a_type_and_of_the_box(own_box):
    box = own_box
    versions = await life(box, "/fhir", fresh())
    goal = (await box.client.post("/fhir/Basic", json={"code": {"text": "x"}})).json()
    of_type = (await box.client.get("/fhir/Patient/_history")).json()
    assert [item["resource"] for item in of_type["entry"]] == versions[::-1]
    since = (
        await box.client.get(f"/fhir/_history?_txid={int(versions[0]['meta']['versionId']) - 1}")
    ).json()
    assert [item["resource"] for item in since["entry"]] == [goal, *versions[::-1]]
    outcome(await box.client.get("/_history"), 404)
    root = (await box.client.get("/Patient/_history")).json()
    assert root["total"] == 4


async def test_history_shows_no_passwords(box):
    id_ = fresh()
    client = {"resourceType": "Client", "id": id_, "secret": "topsecret", "grant_types": ["basic"]}
    await box.client.put(f"/Client/{id_}", json=client)
    await box.client.put(f"/User/{id_}", json={"password": "topsecret"})
    for path in (
        f"/Client/{id_}/_history",
        f"/User/{id_}/_history",
        "/fhir/Client/_history",
        "/fhir/_history",
    ):
        answer = await box.client.get(path)
        assert answer.status_code == 200
        assert id_ in answer.text
        assert "$s0$" not in answer.text
        assert "password" not in answer.text


async def test_a_type_without_history_shows_only_the_current_version(box):
    name = "Volatile"
    entity = {"id": name, "type": "resource", "isOpen": True, "history": "none"}
    assert (await box.client.put(f"/Entity/{name}", json=entity)).status_code in {200, 201}
    id_ = fresh()
    for mood in ("calm", "tense"):
        await box.client.put(f"/{name}/{id_}", json={"mood": mood})
    body = (await box.client.get(f"/{name}/{id_}/_history")).json()
    assert [item["resource"]["mood"] for item in body["entry"]] == ["tense"]
    assert (await box.sql("SELECT count(*) AS n FROM volatile_history"))[0]["n"] == 0
    await box.client.delete(f"/{name}/{id_}")
    assert (await box.client.get(f"/{name}/{id_}")).status_code == 404


@pytest.mark.parametrize("base", ["/fhir"])
async def test_links_keep_the_other_parameters(box, base):
    id_ = fresh()
    await life(box, base, id_)
    body = (
        await box.client.get(f"{base}/Patient/{id_}/_history?_count=1&_since=2020-01-01")
    ).json()
    (following,) = [link["url"] for link in body["link"] if link["relation"] == "next"]
    assert following.startswith(f"http://box.test{base}/Patient/{id_}/_history?")
    assert "_since=2020-01-01" in following


@BASES
async def test_a_poller_that_goes_on_from_the_tag_starts_nowhere_anew(box, base):
    """The tag is the highest version of all, whatever the parameters leave of them."""
    id_ = fresh()
    for _ in range(3):
        version = (await box.client.put(f"/Patient/{id_}", json=OAK)).json()["meta"]["versionId"]
    tag = f'W/"{version}"' if base else version
    path = f"{base}/Patient/{id_}/_history"
    for query in ("", f"?_txid={version}", "?_since=2099-01-01", "?_at=2010-01-01", "?_count=0"):
        answer = await box.client.get(path + query)
        assert (answer.status_code, answer.headers["etag"]) == (200, tag)
        again = await box.client.get(path + query, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
    everything = await box.client.get(f"{base}/Patient/_history?_txid={version}")
    assert everything.json()["total"] == 0
    assert int(everything.headers["etag"].strip('W/"')) >= int(version)
    await box.client.delete(f"/Patient/{id_}")
    polled = await box.client.get(f"{path}?_txid={version}", headers={"If-None-Match": tag})
    assert [item["request"]["method"] for item in polled.json()["entry"]] == ["DELETE"]
