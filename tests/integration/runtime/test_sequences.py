"""Numbers that are given once. Source: core specification, "Sequences"."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.integration.runtime.making import OAK, entry, outcome, transaction
from tests.integration.runtime.test_access import bearer


def new_name():
    return f"s_{uuid.uuid4().hex[:10]}"


async def make(box, **definition):
    name = new_name()
    answer = await box.client.post("/PGSequence", json={"id": name, **definition})
    assert answer.status_code == 201, answer.text
    return name


async def draw(box, name, body=None):
    return (await box.client.post(f"/PGSequence/{name}", json=body or {})).json()


async def test_the_table_of_the_specification(box):
    name = await make(box)
    path = f"/PGSequence/{name}"
    assert (await box.client.get(path)).json() == {"id": name, "value": 1}
    assert (await box.client.post(path)).json() == {"id": name, "value": 1}
    assert await draw(box, name, {"count": 5}) == {"id": name, "values": [2, 3, 4, 5, 6]}
    assert (await box.client.get(path)).json() == {"id": name, "value": 6}
    reset = await box.client.put(path, json={"value": 30})
    assert (reset.status_code, reset.json()) == (200, {"value": 30})
    assert await draw(box, name) == {"id": name, "value": 31}
    assert (await box.client.put(path, json={"start": 300})).status_code == 200
    assert await draw(box, name) == {"id": name, "value": 32}
    gone = await box.client.delete(path)
    assert (gone.status_code, gone.json()) == (200, {"id": name, "value": 32})
    outcome(await box.client.get(path), 404)
    made = await box.client.put(path, json={"start": 300})
    assert (made.status_code, made.json()["start"]) == (201, 300)
    assert await draw(box, name) == {"id": name, "value": 300}


async def test_a_definition_is_answered_and_obeyed(box):
    wanted = {"start": 8, "increment": 2, "minval": 2, "maxval": 10, "cycle": True}
    name = new_name()
    answer = await box.client.post("/PGSequence", json={"id": name, **wanted})
    assert answer.json() == {"id": name, **wanted}
    assert (await draw(box, name, {"count": 4}))["values"] == [8, 10, 2, 4]


async def test_a_sequence_may_count_down(box):
    name = await make(box, start=-1, increment=-1)
    assert (await draw(box, name, {"count": 2}))["values"] == [-1, -2]


async def test_one_name_is_one_sequence(box):
    name = await make(box)
    outcome(await box.client.post("/PGSequence", json={"id": name}), 409)
    answers = await asyncio.gather(
        *(box.client.post("/PGSequence", json={"id": f"{name}_2"}) for _ in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


async def test_no_two_callers_get_one_number(box):
    name = await make(box)
    answers = await asyncio.gather(*(draw(box, name, {"count": 3}) for _ in range(20)))
    drawn = [value for answer in answers for value in answer["values"]]
    assert sorted(drawn) == list(range(1, 61))


@pytest.mark.parametrize(
    "body",
    [
        {}, {"id": ""}, {"id": "Mrn"}, {"id": "a-b"}, {"id": 'a"; DROP TABLE patient; --'},
        {"id": 7}, {"id": "x" * 64}, {"id": "x", "start": "1"}, {"id": "x", "increment": 0},
        {"id": "x", "start": 5, "maxval": 4}, {"id": "x", "minval": 9, "maxval": 3},
        {"id": "x", "start": 1.5}, {"id": "x", "start": True}, {"id": "x", "cycle": 1},
        {"id": "x", "start": 2**63}, {"id": "x", "owner": "me"},
    ],
)  # fmt: skip
async def test_a_definition_that_cannot_be_is_refused(box, body):
    outcome(await box.client.post("/PGSequence", json=body), 422)
    outcome(await box.client.get("/PGSequence/x"), 404)


@pytest.mark.parametrize("count", [0, -1, "2", 1.5, True, 100_001])
async def test_a_count_that_is_none_is_refused(box, count):
    name = await make(box)
    outcome(await box.client.post(f"/PGSequence/{name}", json={"count": count}), 422)
    assert await draw(box, name) == {"id": name, "value": 1}


async def test_what_is_not_there_and_what_is_used_up(box):
    for method, body in (("POST", {}), ("GET", None), ("PUT", {"value": 1}), ("DELETE", None)):
        outcome(await box.client.request(method, "/PGSequence/none", json=body), 404)
        outcome(await box.client.request(method, "/PGSequence/No-ne", json=body), 422)
    name = await make(box, maxval=2)
    outcome(await box.client.post(f"/PGSequence/{name}", json={"count": 3}), 422)
    outcome(await box.client.put(f"/PGSequence/{name}", json={"value": 3}), 422)
    outcome(await box.client.post("/fhir/PGSequence", json={"id": "x"}), 404)


async def test_the_sequence_of_versions_is_out_of_reach(box):
    name = "transaction_id_seq"
    (before,) = await box.sql("SELECT last_value FROM transaction_id_seq")
    outcome(await box.client.get(f"/PGSequence/{name}"), 404)
    assert (await box.client.put(f"/PGSequence/{name}", json={"start": 7})).status_code == 201
    assert await draw(box, name) == {"id": name, "value": 7}
    assert (await box.client.delete(f"/PGSequence/{name}")).status_code == 200
    assert await box.sql("SELECT last_value FROM transaction_id_seq") == [before]


async def test_a_transaction_may_draw_and_gives_nothing_back(box):
    name = await make(box)
    drawing = entry("POST", f"PGSequence/{name}", {})
    answer = await box.client.post("/", json=transaction(drawing, entry("POST", "Patient", OAK)))
    assert answer.json()["entry"][0]["resource"] == {"id": name, "value": 1}
    failing = transaction(drawing, entry("POST", "Patient", {"wrong": 1}))
    outcome(await box.client.post("/", json=failing), 422)
    assert await draw(box, name) == {"id": name, "value": 3}


async def test_readers_draw_nothing(box):
    name = await make(box)
    async with box.client_of() as person:
        headers = bearer(role="reader")
        outcome(await person.post(f"/PGSequence/{name}", headers=headers), 403)
        assert (await person.get(f"/PGSequence/{name}", headers=headers)).status_code == 200
        assert (
            await person.post(f"/PGSequence/{name}", headers=bearer(role="writer"))
        ).status_code == 200
