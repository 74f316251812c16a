"""A transaction of thousands of entries, and a process that ends in the middle of it: all or nothing.

Source: core specification, "Batch and transaction".
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time

import httpx
import psycopg
import pytest

from infra.local.accounts import server_account
from infra.local.ports import any_free_port
from infra.local.postgres import PostgresServer, find_programs
from infra.local.problems import SetupError
from infra.local.service import Running
from tests.integration.runtime.making import OAK, encounter, entry, fresh, transaction
from tests.integration.runtime.processes import ROOT, box_process, wait_until_healthy

ENTRIES = 5_000
MOMENTS_S = (0.0, 0.1, 0.3, None)
"""How long after its first write a transaction is left alone; None = until it is answered."""


def bundle_of(mark, old):
    """Return a transaction that creates, replaces and deletes; `mark` is in all it leaves."""
    patient = {**OAK, "identifier": [{"value": mark}]}
    entries = [entry("PUT", f"Patient/{old}-{n}", patient) for n in range(200)] + [
        entry("DELETE", f"Patient/{old}-{n}") for n in range(200, 300)
    ]
    for n in range((ENTRIES - len(entries)) // 2):
        entries.append(entry("POST", "Patient", patient, fullUrl=f"urn:{n}"))
        entries.append(entry("POST", "Encounter", encounter("/fhir", f"urn:{n}")))
    return transaction(*entries)


def state(dsn, mark, old):
    """Return (patients with the mark, encounters, old ones deleted, old ones in history)."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM patient WHERE resource @> "
            "jsonb_build_object('identifier', jsonb_build_array(jsonb_build_object('value', %(mark)s::text)))),"
            "(SELECT count(*) FROM encounter),"
            "(SELECT count(*) FROM patient_history WHERE id LIKE %(old)s AND status = 'deleted'),"
            "(SELECT count(*) FROM patient_history WHERE id LIKE %(old)s)",
            {"mark": mark, "old": old + "-%"},
        ).fetchone()


def post_in_background(base_url, bundle):
    """Send the bundle from a thread; return it and the list that gets the answer, if one comes."""
    answers = []

    def send():
        with contextlib.suppress(httpx.TransportError):
            answers.append(httpx.post(f"{base_url}/fhir", json=bundle, auth=ROOT, timeout=120))

    thread = threading.Thread(target=send)
    thread.start()
    return thread, answers


def prepare_old(client, old):
    items = [{**OAK, "id": f"{old}-{n}"} for n in range(300)]
    assert client.put("/", json=items, timeout=60).status_code == 200


def wait_until_writing(dsn):
    """Return when a transaction of the box has locked or written its first rows."""
    deadline = time.monotonic() + 60
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.monotonic() < deadline:
            (writing,) = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'halebox' AND backend_xid IS NOT NULL"
            ).fetchone()
            if writing:
                return
            time.sleep(0.002)
    raise AssertionError("the box began no transaction")


def check_all_or_nothing(before, after, answers):
    """Return whether all of it is there; fail if a part is."""
    whole = (ENTRIES - 300) // 2
    marked, visits, deleted, kept = after
    if marked == 0:
        assert (visits, deleted, kept) == (before[1], 0, 0)
        assert [a for a in answers if a.status_code == 200] == []
        return False
    assert marked == 200 + whole
    assert visits == before[1] + whole
    assert (deleted, kept) == (100, 400)  # 300 old versions and 100 deletions
    return True


def test_a_box_killed_inside_of_a_transaction(prepared, tmp_path):
    environment, dsn = prepared
    log = tmp_path / "box.log"
    found = []
    for moment_s in MOMENTS_S:
        mark, old = fresh(), fresh()
        with box_process(environment, log) as (process, client):
            prepare_old(client, old)
            before = state(dsn, mark, old)
            sender, answers = post_in_background(client.base_url, bundle_of(mark, old))
            wait_until_writing(dsn)
            if moment_s is None:
                sender.join()
            else:
                time.sleep(moment_s)
            process.kill()
            process.wait()
            sender.join()
        wait_for_backends(dsn)
        found.append(check_all_or_nothing(before, state(dsn, mark, old), answers))
    assert not found[0]
    assert found[-1]


def wait_for_backends(dsn):
    """Wait until PostgreSQL noticed that the killed process left, and ended its transactions."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with psycopg.connect(dsn) as connection:
            (busy,) = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'halebox'"
            ).fetchone()
        if busy == 0:
            return
        time.sleep(0.05)
    raise AssertionError("PostgreSQL kept the connections of a killed process")


@pytest.fixture
def mortal(service_directory):
    """A PostgreSQL of its own, to be killed."""
    server = PostgresServer(
        home=service_directory / "killed",
        socket_directory=service_directory / "killed-socket",
        port=any_free_port(),
        password=secrets.token_urlsafe(16),
        account=server_account(),
        programs=find_programs(),
        settings={"fsync": "off", "shared_buffers": "32MB"},
    ).ensure_cluster()
    return server, service_directory / "killed.log"


def test_postgresql_killed_inside_of_a_transaction(mortal, tmp_path):
    server, server_log = mortal
    log = tmp_path / "box.log"
    environment = {
        "PGHOST": str(server.socket_directory),
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        "PGPASSWORD": server.password,
        "PGDATABASE": "postgres",
    }
    dsn = server.admin_dsn
    running = Running(server.service(), server_log)
    try:
        with box_process(environment, log) as (process, client):
            for moment_s in MOMENTS_S[:-1]:
                mark, old = fresh(), fresh()
                prepare_old(client, old)
                before = state(dsn, mark, old)
                sender, answers = post_in_background(client.base_url, bundle_of(mark, old))
                wait_until_writing(dsn)
                time.sleep(moment_s)
                running.process.kill()
                running.process.wait()
                sender.join()
                for answer in answers:
                    assert answer.status_code in {200, 503}, answer.text[:500]
                    if answer.status_code == 503:
                        assert answer.json()["issue"][0]["code"] == "transient"
                running = restarted(server, server_log)
                wait_until_healthy(client, process, log)
                check_all_or_nothing(before, state(dsn, mark, old), answers)
            assert '"lvl":"error"' not in log.read_text()
    finally:
        running.stop()


def restarted(server, server_log):
    """Start PostgreSQL again; the children of the killed one may still hold its memory."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return Running(server.service(), server_log)
        except SetupError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
