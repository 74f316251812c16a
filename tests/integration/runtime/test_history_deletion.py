"""Removing old versions of a resource.

Source: core specification, "Delete" (additions).
"""

from __future__ import annotations

import asyncio

from tests.integration.runtime.making import BASES, OAK, batch, entry, fresh, outcome, transaction


async def life(box, base, count=3):
    """Write `count` versions; return the path and the version ids, oldest first."""
    path = f"{base}/Patient/{fresh()}"
    answers = [await box.client.put(path, json=OAK) for _ in range(count)]
    return path, [answer.json()["meta"]["versionId"] for answer in answers]


async def versions(box, path):
    body = (await box.client.get(f"{path}/_history")).json()
    return [item["resource"]["meta"]["versionId"] for item in body["entry"]]


@BASES
async def test_all_old_versions_go_and_the_current_one_stays(box, base):
    path, (first, _, current) = await life(box, base)
    other, kept = await life(box, base)
    before = (await box.client.get(path)).json()
    for _ in range(2):
        answer = await box.client.delete(f"{path}/_history")
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-type" not in answer.headers
        assert (await box.client.get(path)).json() == before
        assert await versions(box, path) == [current]
    outcome(await box.client.get(f"{path}/_history/{first}"), 404)
    assert await versions(box, other) == kept[::-1]


@BASES
async def test_one_old_version_goes(box, base):
    path, (first, second, current) = await life(box, base)
    assert (await box.client.delete(f"{path}/_history/{second}")).status_code == 204
    assert await versions(box, path) == [current, first]
    for unknown in (second, "1", "abc", "-1", "9" * 30):
        outcome(await box.client.delete(f"{path}/_history/{unknown}"), 404)
    outcome(await box.client.delete(f"{path}/_history/{current}"), 409)
    assert await versions(box, path) == [current, first]
    other, (elsewhere, *_) = await life(box, base)
    outcome(await box.client.delete(f"{path}/_history/{elsewhere}"), 404)
    assert len(await versions(box, other)) == 3


@BASES
async def test_of_a_deleted_resource_the_deletion_stays(box, base):
    path, (first, *_) = await life(box, base)
    deletion = (await box.client.delete(path)).json()["meta"]["versionId"]
    outcome(await box.client.delete(f"{path}/_history/{deletion}"), 409)
    assert (await box.client.delete(f"{path}/_history/{first}")).status_code == 204
    assert (await box.client.delete(f"{path}/_history")).status_code == 204
    assert await versions(box, path) == [deletion]
    outcome(await box.client.get(path), 410)
    again = await box.client.put(path, json=OAK)
    assert again.status_code == 201
    assert int(again.json()["meta"]["versionId"]) > int(deletion)
    (row,) = await box.sql("SELECT status FROM patient WHERE id = $1", again.json()["id"])
    assert row["status"] == "recreated"


@BASES
async def test_what_does_not_exist_has_no_history_to_remove(box, base):
    outcome(await box.client.delete(f"{base}/Patient/{fresh()}/_history"), 404)
    outcome(await box.client.delete(f"{base}/Patient/{fresh()}/_history/5"), 404)
    outcome(await box.client.delete(f"{base}/Nothing/x/_history"), 404)
    outcome(await box.client.delete(f"{base}/Patient/_history"), 405)


async def test_it_takes_a_policy(box):
    path, _ = await life(box, "")
    async with box.client_of() as nobody:
        assert (await nobody.delete(f"{path}/_history")).status_code == 403
    assert len(await versions(box, path)) == 3


@BASES
async def test_as_an_entry(box, base):
    path, (first, _, current) = await life(box, base)
    url = path.removeprefix(f"{base}/")
    answer = await box.client.post(
        f"{base}/",
        json=transaction(
            entry("DELETE", f"{url}/_history/{first}"), entry("GET", f"{url}/_history")
        ),
    )
    assert answer.status_code == 200, answer.text
    gone, history = answer.json()["entry"]
    assert gone["response"]["status"] == "204"
    assert history["resource"]["total"] == 2
    failing = transaction(
        entry("DELETE", f"{url}/_history"), entry("DELETE", f"{url}/_history/{current}")
    )
    outcome(await box.client.post(f"{base}/", json=failing), 409)
    assert len(await versions(box, path)) == 2
    answer = await box.client.post(f"{base}/", json=batch(entry("DELETE", f"{url}/_history")))
    assert answer.json()["entry"][0]["response"]["status"] == "204"
    assert await versions(box, path) == [current]


async def test_writers_meanwhile_lose_no_current_version(box):
    path, _ = await life(box, "")

    async def write():
        for _ in range(15):
            assert (await box.client.put(path, json=OAK)).status_code == 200

    async def forget():
        for _ in range(15):
            assert (await box.client.delete(f"{path}/_history")).status_code == 204

    await asyncio.gather(write(), forget(), write())
    current = (await box.client.get(path)).json()["meta"]["versionId"]
    assert (await versions(box, path))[0] == current
    await box.client.delete(f"{path}/_history")
    assert await versions(box, path) == [current]
