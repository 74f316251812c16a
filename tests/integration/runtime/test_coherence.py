"""Several processes of one box: what one changes holds for the next request to any other.

The applications of a test share nothing but the database; one test starts real processes.
Source: architecture, "Coherence".
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import httpx
import pytest

from boxruntime.storage import changes
from tests.fixtures_box import ROOT
from tests.integration.runtime.defining import attribute, define, entity, named, new_type
from tests.integration.runtime.making import fresh, outcome


@pytest.fixture
async def other(make_box):
    async with make_box() as running:
        yield running


async def test_each_change_of_metadata_holds_at_once_in_another_process(box, other):
    boxes = box, other
    name = new_type()
    await define(box, entity(name, isOpen=False))
    for round_ in range(40):
        here, there = boxes[round_ % 2], boxes[1 - round_ % 2]
        member = f"m{round_}"
        outcome(await there.client.post(f"/{name}", json={member: "x"}), 422)
        await define(here, attribute(name, member, type="string"))
        assert (await there.client.post(f"/{name}", json={member: "x"})).status_code == 201
        if round_ % 3 == 0:
            assert (await there.client.delete(f"/Attribute/{name}.{member}")).status_code == 200
            outcome(await here.client.post(f"/{name}", json={member: "x"}), 422)


async def test_new_types_are_routed_and_listed_at_once_in_another_process(box, other):
    for here, there in ((box, other), (other, box)) * 5:
        name = new_type()
        await define(here, entity(name, isOpen=True))
        assert (await there.client.get(f"/fhir/{name}")).status_code == 200
        listed = (await there.client.get("/fhir/metadata")).json()["rest"][0]["resource"]
        assert name in {item["type"] for item in listed}
        assert (await there.client.delete(f"/Entity/{name}")).status_code == 200
        outcome(await here.client.get(f"/{name}"), 404)


async def test_policies_and_clients_hold_at_once_in_another_process(box, other):
    for here, there in ((box, other), (other, box)) * 5:
        client = fresh()
        put = await here.client.put(
            f"/Client/{client}", json={"secret": "s", "grant_types": ["basic"]}
        )
        assert put.status_code == 201
        async with there.client_of((client, "s")) as reader:
            outcome(await reader.get("/Patient"), 403)
            policy = {"engine": "allow", "link": [{"resourceType": "Client", "id": client}]}
            assert (
                await here.client.put(f"/AccessPolicy/{client}", json=policy)
            ).status_code == 201
            assert (await reader.get("/Patient")).status_code == 200
            await here.client.delete(f"/AccessPolicy/{client}")
            outcome(await reader.get("/Patient"), 403)
            await here.client.delete(f"/Client/{client}")
            outcome(await reader.get("/Patient"), 401)


async def test_writers_of_metadata_in_two_processes_and_readers_in_both(box, other):
    """Whoever wrote an Attribute may use it anywhere from then on, while others write theirs."""
    name = new_type()
    await define(box, entity(name, isOpen=False))
    stop = asyncio.Event()
    failures = []

    async def write(writer, number):
        here, there = (box, other) if writer % 2 else (other, box)
        member = f"w{writer}m{number}"
        made = await here.client.put(
            f"/Attribute/{name}.{member}", json=attribute(name, member, type="string")
        )
        assert made.status_code == 201, made.text
        used = await asyncio.gather(
            *(each.client.post(f"/{name}", json={member: "x"}) for each in (here, there))
        )
        failures.extend(answer.text for answer in used if answer.status_code != 201)

    async def writes(writer):
        for number in range(8):
            await write(writer, number)

    async def read(each):
        while not stop.is_set():
            answers = await asyncio.gather(
                each.client.get(f"/fhir/{name}?_count=5"), each.client.post("/Patient", json={})
            )
            failures.extend(one.text for one in answers if one.status_code not in {200, 201})

    readers = [asyncio.create_task(read(each)) for each in (box, other)]
    await asyncio.gather(*(writes(writer) for writer in range(4)))
    stop.set()
    await asyncio.gather(*readers)
    assert failures == []


async def test_two_processes_defining_one_type_at_once(box, other):
    for _ in range(5):
        name = new_type()
        answers = await asyncio.gather(
            *(
                each.client.put(f"/Entity/{name}", json=entity(name, isOpen=True))
                for each in (box, other) * 3
            )
        )
        assert sorted(one.status_code for one in answers) == [200] * 5 + [201]
        used = await asyncio.gather(
            *(each.client.post(f"/{name}", json={}) for each in (box, other))
        )
        assert [one.status_code for one in used] == [201, 201]


async def test_a_process_that_lost_its_connection_answers_nothing_stale(box, other):
    name = new_type()
    await define(box, entity(name, isOpen=False))
    outcome(await other.client.post(f"/{name}", json={"mood": "calm"}), 422)
    listener = other.application._listener
    for member in ("mood", "tone", "note"):
        process = listener._process()
        await other.sql("SELECT pg_terminate_backend($1)", process)
        await define(box, attribute(name, member, type="string"))
        for _ in range(200):
            if not listener.is_current or listener._process() != process:
                break
            await asyncio.sleep(0.005)
        assert (await other.client.post(f"/{name}", json={member: "x"})).status_code == 201


async def test_a_process_that_cannot_take_a_change_over_answers_nothing_stale(
    box, other, monkeypatch
):
    name = new_type()
    await define(box, entity(name, isOpen=False))
    outcome(await other.client.post(f"/{name}", json={"mood": "calm"}), 422)
    listener = other.application._listener
    with monkeypatch.context() as broken:

        async def fail(tables):
            raise ValueError

        broken.setattr(listener, "_on_change", fail)
        began = time.monotonic()
        await define(box, attribute(name, "mood", type="string"))
        assert time.monotonic() - began < 2  # nobody waits for it
        assert (await other.client.post(f"/{name}", json={"mood": "calm"})).status_code == 500
        assert other.expect_errors()
    assert (await other.client.post(f"/{name}", json={"mood": "calm"})).status_code == 201
    # And it listens again.
    await define(box, attribute(name, "tone", type="string"))
    assert (await other.client.post(f"/{name}", json={"tone": "x"})).status_code == 201


async def test_a_process_that_ends_or_hangs_is_not_waited_for(box, make_box, monkeypatch):
    monkeypatch.setattr(changes, "MAX_SILENCE_S", 0.5)
    name = new_type()
    async with make_box() as other:
        monkeypatch.setattr(other.application._listener, "_reply", lambda _: asyncio.sleep(0))
        began = time.monotonic()
        await define(box, entity(name, isOpen=True))
        assert 0.4 < time.monotonic() - began < 3
    began = time.monotonic()
    await define(box, attribute(name, "mood", type="string"))
    assert time.monotonic() - began < 0.4
    assert (await box.client.post(f"/{name}", json={"mood": "calm"})).status_code == 201


async def test_rows_written_by_sql_are_heard_of(box, other):
    name = new_type()
    await define(box, entity(name, isOpen=False))
    await box.sql(
        "INSERT INTO attribute (id, txid, status, resource) VALUES ($1, nextval('transaction_id_seq'), "
        "'created', jsonb_build_object('path', '[\"mood\"]'::jsonb, 'resource', "
        "jsonb_build_object('id', $2::text), 'type', '{\"id\": \"string\"}'::jsonb))",
        f"{name}.mood",
        name,
    )
    for each in (box, other):
        for _ in range(200):
            answer = await each.client.post(f"/{name}", json={"mood": "calm"})
            if answer.status_code == 201:
                break
            await asyncio.sleep(0.01)
        assert answer.status_code == 201


async def _until_ready(client):
    for _ in range(300):
        try:
            if (await client.get("/health")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("the box does not start")


async def test_real_processes_of_one_box(box, tmp_path, unused_tcp_port_factory):
    ports = [unused_tcp_port_factory() for _ in range(2)]
    processes = []
    for port in ports:
        environment = {
            **os.environ,
            **box.environment,
            "AIDBOX_PORT": str(port),
            "AIDBOX_LOGS": str(tmp_path / f"{port}.log"),
        }
        processes.append(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "boxruntime",
                env=environment,
                stderr=asyncio.subprocess.DEVNULL,
            )
        )
    clients = [httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", auth=ROOT) for port in ports]
    try:
        for client in clients:
            await _until_ready(client)
        name = new_type()
        made = await clients[0].put(f"/Entity/{name}", json=entity(name))
        assert made.status_code == 201
        for number in range(60):
            here, there = clients[number % 2], clients[1 - number % 2]
            member = f"m{number}"
            body = attribute(name, member, type="string")
            assert (await here.put(f"/Attribute/{name}.{member}", json=body)).status_code == 201
            used = await there.post(f"/{name}", json={member: "x"})
            assert used.status_code == 201, used.text
        processes[1].send_signal(signal.SIGKILL)
        await processes[1].wait()
        began = time.monotonic()
        body = attribute(name, "last", type="string", resource=named(name))
        assert (await clients[0].put(f"/Attribute/{name}.last", json=body)).status_code == 201
        assert time.monotonic() - began < 2
    finally:
        for client in clients:
            await client.aclose()
        for process in processes:
            if process.returncode is None:
                process.terminate()
                await process.wait()
