"""Conditional create, update and delete outside of Bundles.

Source: core specification, "Create", "Update", "Delete".
"""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.runtime.making import BASES, OAK, fresh, outcome


def marked(value, **more):
    return {**OAK, "identifier": [{"system": "mrn", "value": value}], **more}


@BASES
async def test_conditional_create(box, base):
    mrn = fresh()
    path = f"{base}/Patient?identifier=mrn|{mrn}"
    first = await box.client.post(path, json=marked(mrn))
    assert first.status_code == 201
    second = await box.client.post(path, json=marked(mrn, active=True))
    assert second.status_code == 200
    assert second.json() == first.json()
    assert second.headers["etag"] == first.headers["etag"]
    await box.client.post(f"{base}/Patient", json=marked(mrn))
    body = outcome(await box.client.post(path, json=marked(mrn)), 412)
    assert body["id"] == "multiple-matches"


@BASES
@pytest.mark.parametrize(
    "spelling", ["identifier=mrn|{}", "?identifier=mrn|{}", "Patient?identifier=mrn|{}"]
)
async def test_if_none_exist(box, base, spelling):
    mrn = fresh()
    headers = {"If-None-Exist": spelling.format(mrn)}
    statuses = [
        (await box.client.post(f"{base}/Patient", json=marked(mrn), headers=headers)).status_code
        for _ in range(2)
    ]
    assert statuses == [201, 200]


@BASES
async def test_seeding_by_id(box, base):
    id_ = fresh()
    path = f"{base}/Patient?_id={id_}"
    statuses = [
        (await box.client.post(path, json={**OAK, "id": id_})).status_code for _ in range(3)
    ]
    assert statuses == [201, 200, 200]


@BASES
async def test_clients_that_start_together_create_once(box, base):
    mrn = fresh()
    answers = await asyncio.gather(
        *(
            box.client.post(f"{base}/Patient?identifier=mrn|{mrn}", json=marked(mrn))
            for _ in range(12)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


@BASES
@pytest.mark.parametrize(
    "query",
    [
        "_format=json",
        "_no-content=false",
        "_pretty=true",
        "_elements=id",
        "_method=x",
        "_type=y",
        "_spam=1",
        "_include=Patient:organization",
        "_sort=name",
        "page=2",
    ],
)
async def test_control_parameters_make_nothing_conditional(box, base, query):
    answers = [await box.client.post(f"{base}/Patient?{query}", json=OAK) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    for method in ("DELETE", "PATCH", "PUT"):
        outcome(await box.client.request(method, f"{base}/Patient?{query}", json=OAK), 400)


@BASES
@pytest.mark.parametrize(
    "query", ["nothing=1", "identifier=", "identifier=%20", "birthdate=soon", "_id", "identifier=,"]
)
async def test_criteria_that_cannot_be_understood_change_nothing(own_box, base, query):
    made = (await own_box.client.post(f"{base}/Patient", json=OAK)).json()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        outcome(await own_box.client.request(method, f"{base}/Patient?{query}", json=OAK), 400)
    assert (await own_box.client.get(f"{base}/Patient/{made['id']}")).status_code == 200
    (row,) = await own_box.sql("SELECT count(*) AS n FROM patient")
    assert row["n"] == 1


@BASES
async def test_conditional_update(box, base):
    mrn, wanted = fresh(), fresh()
    path = f"{base}/Patient?identifier=mrn|{mrn}"
    made = await box.client.put(path, json=marked(mrn, id=wanted))
    assert (made.status_code, made.json()["id"]) == (201, wanted)
    changed = await box.client.put(path, json=marked(mrn, active=True))
    assert (changed.status_code, changed.json()["id"]) == (200, wanted)
    assert int(changed.json()["meta"]["versionId"]) > int(made.json()["meta"]["versionId"])
    other = await box.client.put(path, json=marked(mrn, id=fresh()))
    if base:
        outcome(other, 400)
    else:
        assert (other.status_code, other.json()["id"]) == (200, wanted)
    taken = await box.client.put(
        f"{base}/Patient?identifier=mrn|{fresh()}", json={**OAK, "id": wanted}
    )
    outcome(taken, 409)
    await box.client.post(f"{base}/Patient", json=marked(mrn))
    outcome(await box.client.put(path, json=marked(mrn)), 412)


@BASES
async def test_an_update_without_criteria_takes_the_id_of_the_body(box, base):
    id_ = fresh()
    assert (await box.client.put(f"{base}/Patient", json={**OAK, "id": id_})).status_code == 201
    assert (await box.client.put(f"{base}/Patient?", json={**OAK, "id": id_})).status_code == 200
    outcome(await box.client.put(f"{base}/Patient", json=OAK), 400)


@BASES
async def test_conditional_delete(box, base):
    mrn = fresh()
    path = f"{base}/Patient?identifier=mrn|{mrn}"
    nothing = await box.client.delete(path)
    if base:
        assert (nothing.status_code, nothing.content) == (204, b"")
    else:
        outcome(nothing, 404)
    made = (await box.client.post(f"{base}/Patient", json=marked(mrn))).json()
    deleted = await box.client.delete(path)
    assert (deleted.status_code, deleted.json()["id"]) == (200, made["id"])
    for _ in range(2):
        await box.client.post(f"{base}/Patient", json=marked(mrn))
    outcome(await box.client.delete(path), 412)
    (row,) = await box.sql(
        "SELECT count(*) AS n FROM patient WHERE resource @> $1::text::jsonb",
        f'{{"identifier":[{{"value":"{mrn}"}}]}}',
    )
    assert row["n"] == 2
    outcome(await box.client.delete(f"{base}/Patient"), 400)
