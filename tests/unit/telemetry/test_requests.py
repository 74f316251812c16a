"""What a request leaves in the log, and what never stands there."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from boxruntime.telemetry.audit import MAX_BYTES, RESERVED
from boxruntime.telemetry.log import EventLog
from boxruntime.telemetry.requests import begin, caller_members
from boxruntime.telemetry.statements import StatementLog


@pytest.fixture
def path(tmp_path):
    return tmp_path / "box.log"


@pytest.fixture
def log(path):
    made = EventLog("b1", str(path))
    yield made
    made.close()


def events(log, path):
    log.drain()
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(log, path, *, query=b"", headers=None, caller=""):
    trail = begin(log, "r-1", "GET", b"/Patient/p%C3%A4", query, "10.0.0.9", headers or {})
    trail.caller = caller
    trail.end(404)
    return events(log, path)


def audit(value) -> dict[bytes, bytes]:
    return {b"x-audit": base64.b64encode(json.dumps(value).encode())}


def test_a_request_is_two_events_with_all_fields(log, path):
    headers = {b"x-correlation-id": b"c-7", b"x-forwarded-for": b"10.0.0.1"}
    first, last = run(log, path, headers=headers, caller=caller_members("app", "u1", None, None))
    assert first.keys() == {
        "tn", "w", "ev", "ts", "ctx", "w_m", "w_url", "w_qs", "w_addr", "w_corr_id",
    }  # fmt: skip
    assert first["ts"] <= last["ts"]
    assert (first["ev"], last["ev"]) == ("w/req", "w/resp")
    assert first["tn"] == "b1"
    shared = {"ctx": "r-1", "w_m": "get", "w_url": "/Patient/p%C3%A4", "w_qs": None,
              "w_addr": "10.0.0.1, 10.0.0.9", "w_corr_id": "c-7"}  # fmt: skip
    assert shared.items() <= first.items()
    assert {**shared, "w_st": 404, "ctx_end": True, "w_cid": "app", "w_uid": "u1"}.items() <= (
        last.items()
    )
    assert last["d"] >= 0


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (b"name=Oak&_count=5", "name=*&_count=*"),
        (b"_has:Observation:patient:code=1%2C2", "_has:Observation:patient:code=*"),
        (b"Oak", "*"),
        (b"Jane Oak=1&&x", "*&*"),
        (b"a" * 65 + b"=1", "*"),
        (b"", None),
    ],
)
def test_values_of_the_query_are_masked(log, path, query, shown):
    assert {event["w_qs"] for event in run(log, path, query=query)} == {shown}


def test_the_query_stands_in_full_where_values_are_switched_on(path):
    log = EventLog("b1", str(path), values=True)
    assert run(log, path, query=b"name=Oak")[0]["w_qs"] == "name=Oak"
    log.close()


def test_x_audit_stands_at_the_top_and_for_itself(log, path):
    for event in run(log, path, headers=audit({"ward": "B", "deep": {"n": 1.5}})):
        assert event["w_audit"] == {"ward": "B", "deep": {"n": 1.5}}
        assert (event["ward"], event["deep"]) == ("B", {"n": 1.5})


def test_x_audit_overrides_no_field(log, path):
    first, last = run(log, path, headers=audit(dict.fromkeys(RESERVED, "forged")))
    assert (first["ctx"], last["w_st"], first["tn"]) == ("r-1", 404, "b1")
    for event, keys in ((first, first.keys()), (last, last.keys())):
        assert [key for key in keys if event[key] == "forged"] == []
    assert path.read_bytes().count(b'"ctx":"r-1"') == 2


@pytest.mark.parametrize(
    "header",
    [
        b"", b"!!", b"QQ", base64.b64encode(b"[1]"), base64.b64encode(b"{"), "ä".encode(),
        base64.b64encode(b'{"a":' + b"[" * 2500 + b"]" * 2500 + b"}"),
        base64.b64encode(b'{"a":"' + b"x" * MAX_BYTES + b'"}'),
        base64.b64encode(b'{"a":"\xff"}'),
    ],
)  # fmt: skip
def test_an_invalid_x_audit_is_ignored_with_a_warning(log, path, header):
    warning, first, last = run(log, path, headers={b"x-audit": header})
    assert (warning["ev"], warning["lvl"], warning["ctx"]) == ("w/warn", "warn", "r-1")
    assert "w_audit" not in first
    assert "w_audit" not in last


def test_numbers_of_any_size_are_no_failure(log, path):
    headers = {b"x-audit": base64.b64encode(b'{"n1":1e400,"n2":' + b"9" * 400 + b"}")}
    assert run(log, path, headers=headers)[-1]["ev"] == "w/resp"


def test_a_statement_shows_neither_literals_nor_parameters(log, path):
    statements = StatementLog(log)
    sql = "SELECT $1, 'O''ak', $a$Oak$a$, $$Ash$$, 12.5 FROM \"t1\" WHERE x = 7 AND a1 = $2"
    statements.ran(sql, ["Oak", 3], statements.started())
    statements.failed("SELECT 'x'", [], statements.started(), "57014")
    ran, failed = events(log, path)
    assert ran["sql"] == 'SELECT $1, ?, ?, ?, ? FROM "t1" WHERE x = ? AND a1 = $2'
    assert ran["db_prm"] == ["*", "*"]
    assert (failed["ev"], failed["lvl"], failed["state"]) == ("db/ex", "warn", "57014")


def test_statements_show_all_where_values_are_switched_on(path):
    log = EventLog("b1", str(path), values=True)
    statements = StatementLog(log)
    statements.ran("SELECT $1, 'x'", ["Oak"], statements.started())
    (event,) = events(log, path)
    assert (event["sql"], event["db_prm"]) == ("SELECT $1, 'x'", ["Oak"])
    log.close()


async def test_a_follower_that_falls_behind_is_told_what_it_missed(log, monkeypatch):
    monkeypatch.setattr("boxruntime.telemetry.log.MAX_BEHIND_BYTES", 250)
    following = log.follow()
    step = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    for number in range(5):
        log.write("x/y", n=number)
        log.flush()
    seen = await step
    while b"log/lost" not in seen:
        seen += await anext(following)
    lines = [json.loads(line) for line in seen.splitlines()]
    kept = [line["n"] for line in lines if line["ev"] == "x/y"]
    assert kept == [0, 1, 2]
    assert lines[-1]["n"] == 2
    await following.aclose()


async def test_following_ends_with_the_log(path):
    log = EventLog("b1", str(path))
    log.write("x/y")
    following = log.follow()

    step = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    log.close()
    assert b'"x/y"' in await step
    assert await anext(following, None) is None
