"""The log of a whole box: events of requests, warnings, statements, and the stream of them.

Source: core specification, "Structured logs", "X-Audit".
"""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from boxruntime.http.connection import Connection
from boxruntime.http.server import State
from tests.fixtures_box import ROOT
from tests.integration.runtime.making import BASES, batch, entry, fresh, outcome
from tests.integration.runtime.test_access import bearer

NDJSON = "application/x-ndjson; charset=utf-8"


def named(**headers):
    """Return a fresh request id, and the headers of a request that has it."""
    ctx = fresh()
    return ctx, {"X-Request-Id": ctx, **headers}


@BASES
async def test_a_request_is_told_when_it_comes_and_when_it_is_answered(box, base):
    ctx, headers = named(**{"X-Correlation-Id": "c-9", "X-Forwarded-For": "10.1.1.1"})
    answer = await box.client.get(f"{base}/Patient?name=Oakley&_count=3", headers=headers)
    assert answer.headers["x-request-id"] == ctx
    first, last = box.events(ctx=ctx)
    shared = {
        "tn": "box", "w_url": f"{base}/Patient", "w_m": "get", "w_qs": "name=*&_count=*",
        "w_addr": "10.1.1.1, 127.0.0.1", "w_corr_id": "c-9",
    }  # fmt: skip
    assert shared.items() <= first.items()
    assert {**shared, "w_st": 200, "ctx_end": True, "w_cid": "root"}.items() <= last.items()
    assert (first["ev"], last["ev"]) == ("w/req", "w/resp")
    assert 0 < last["d"] < 60_000


async def test_every_request_has_an_id_of_its_own(box):
    ids = {(await box.client.get("/health")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(box.events(ctx=ctx)) == 2 for ctx in ids)


async def test_bodies_secrets_and_values_are_nowhere_in_the_log(box):
    word = f"Word{fresh()}"
    headers = {"Authorization": f"Bearer {word}", "Cookie": f"a={word}"}
    body = {"resourceType": "Patient", "name": [{"family": word}], "wrong": word}
    await box.client.post("/fhir/Patient", json=body)
    await box.client.post("/Patient/_search", data={"name": word})
    await box.client.get(f"/fhir/Patient?name={word}&{word}")
    await box.client.get(f"/fhir/Patient?_filter=name eq {word}")
    await box.client.get("/Patient", headers=headers)
    await box.client.put(f"/Client/{fresh()}", json={"secret": word, "grant_types": ["basic"]})
    box.application.log.drain()
    assert word not in box.log.read_text()


async def test_who_is_refused_is_warned_of(box):
    async with box.client_of() as nobody:
        ctx, headers = named()
        await nobody.get("/Patient", headers=headers)
        request, denied, warning, response = box.events(ctx=ctx)
        assert denied["ev"] == "auth/denied"
        assert (warning["ev"], warning["lvl"], response["w_st"]) == ("a/warn", "warn", 403)
        assert "lvl" not in request
        ctx, headers = named(Authorization="Basic cm9vdDp3cm9uZw==")
        await nobody.get("/Patient", headers=headers)
        assert [event["ev"] for event in box.events(ctx=ctx)] == ["w/req", "a/warn", "w/resp"]


async def test_a_participant_is_told_by_subject_and_issuer(box):
    ctx, headers = named(**bearer(sub="42", role="reader"))
    async with box.client_of() as person:
        await person.get("/fhir/Patient", headers=headers)
    told = box.events(ctx=ctx)[-1]
    assert (told["w_uid"], told["jwt_sub"], told["jwt_iss"]) == ("42", "42", "halebox")
    assert "w_cid" not in told


async def test_a_request_whose_body_is_refused_is_in_the_log_too(box):
    status, _, _ = await box.raw("POST", b"/odd", {"content-encoding": "br"}, b"x")
    assert status == 415
    told = box.events(w_url="/odd", ev="w/resp")
    assert [event["w_st"] for event in told] == [415]


async def test_a_request_whose_client_went_away_is_in_the_log_too(box):
    ctx, headers = named()
    task = asyncio.ensure_future(box.client.get("/Patient", headers=headers))
    for _ in range(20):  # on the way to the database
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [event["w_st"] for event in box.events(ctx=ctx, ev="w/resp")] == [499]


async def test_x_audit_stands_in_both_events(box):
    audit = base64.b64encode(b'{"ward": "B", "w_st": 7}').decode()
    ctx, headers = named(**{"X-Audit": audit})
    await box.client.get("/health", headers=headers)
    first, last = box.events(ctx=ctx)
    assert first["ward"] == last["ward"] == "B"
    assert first["w_audit"] == {"ward": "B", "w_st": 7}
    assert "w_st" not in first
    assert last["w_st"] == 200


async def test_an_x_audit_that_is_none_fails_no_request(box):
    ctx, headers = named(**{"X-Audit": "%%%"})
    assert (await box.client.get("/Patient", headers=headers)).status_code == 200
    assert [event["ev"] for event in box.events(ctx=ctx)] == ["w/warn", "w/req", "w/resp"]


async def test_statements_are_logged_only_where_that_is_switched_on(box, make_box):
    ctx, headers = named()
    await box.client.get(f"/Patient/{fresh()}", headers=headers)
    assert box.events(ctx=ctx, ev="db/q") == []
    async with make_box(BOX_LOG_SQL="true") as other:
        ctx, headers = named()
        await other.client.get("/fhir/Patient/the-id", headers=headers)
        statements = [e for e in other.events(ctx=ctx) if e["ev"] == "db/q"]
        assert statements
        assert all(e["db_prm"] == ["*"] and e["d"] >= 0 for e in statements)
        assert "$1" in statements[0]["sql"]
        other.application.log.drain()
        assert "the-id" not in "".join(e["sql"] for e in statements)
    async with make_box(BOX_LOG_SQL="true", BOX_LOG_VALUES="true") as other:
        await other.client.get("/fhir/Patient/the-id?_format=json")
        assert other.events(db_prm=["the-id"])
        assert other.events(w_qs="_format=json")


@pytest.mark.parametrize("switched_on", ["true", "false"])
async def test_a_statement_that_fails_is_told_once_with_its_state(box, make_box, switched_on):
    async with make_box(BOX_LOG_SQL=switched_on) as other:
        await box.sql("ALTER TABLE slot RENAME TO slot_elsewhere")
        try:
            ctx, headers = named()
            outcome(await other.client.get("/Slot/the-id", headers=headers), 404)
        finally:
            await box.sql("ALTER TABLE slot_elsewhere RENAME TO slot")
        (event,) = [e for e in other.events(ctx=ctx) if e["ev"] == "db/ex"]
        assert (event["state"], event["lvl"]) == ("42P01", "warn")
        assert ("sql" in event) == (switched_on == "true")


async def test_a_disk_that_is_full_stops_no_request(make_box, tmp_path):
    async with make_box(AIDBOX_LOGS="/dev/full") as other:
        other.log = tmp_path / "nothing"
        other.log.touch()
        for _ in range(3):
            assert (await other.client.get("/Patient")).status_code == 200
            other.application.log.drain()
        assert other.application.log._sink._lost >= 6


# The stream


@asynccontextmanager
async def served(box):
    """The box behind its real connections; gives the base URL."""
    state = State()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(box.application, state), "127.0.0.1", 0
    )
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", state
    finally:
        server.close()
        for connection in list(state.connections):
            connection.abort()


async def test_the_log_can_be_followed_until_the_client_goes(box):
    log = box.application.log
    async with served(box) as (url, state):
        client = httpx.AsyncClient(base_url=url, auth=ROOT, timeout=10)
        async with (
            client,
            client.stream("GET", "/_logs", headers={"Accept": "application/x-ndjson"}) as stream,
        ):
            assert stream.status_code == 200
            assert stream.headers["content-type"] == NDJSON
            assert stream.headers["transfer-encoding"] == "chunked"
            assert "content-length" not in stream.headers
            ctx, headers = named()
            await box.client.get("/Patient?name=x", headers=headers)
            seen = []
            async for line in stream.aiter_lines():
                event = json.loads(line)
                if event.get("ctx") == ctx:
                    seen.append(event)
                if len(seen) == 2:
                    break
            assert seen == box.events(ctx=ctx)
            assert len(log._followers) == 1
        for _ in range(100):
            if not log._followers and not state.tasks:
                break
            await asyncio.sleep(0.02)
        assert log._followers == set()
        assert state.tasks == set()


@pytest.mark.parametrize("role", ["reader", "writer", None])
async def test_only_administrators_follow_the_log(box, role):
    async with box.client_of() as person:
        headers = bearer(role=role) if role else {}
        outcome(await person.get("/_logs", headers=headers), 403)
    assert box.application.log._followers == set()


async def test_the_log_has_no_body_for_head_and_no_place_in_a_bundle(box):
    async with served(box) as (url, _), httpx.AsyncClient(base_url=url, auth=ROOT) as client:
        answer = await client.head("/_logs")
        assert (answer.status_code, answer.content) == (200, b"")
    answer = await box.client.post("/", json=batch(entry("GET", "/_logs")))
    assert answer.json()["entry"][0]["response"]["status"] == "400"
    outcome(await box.client.get("/fhir/_logs"), 404)
    assert box.application.log._followers == set()
