"""What was answered stays, whatever is killed.

Real processes: `python -m boxruntime` and PostgreSQL, ended by SIGKILL right after an answer.
Source: core specification, "Storage model".
"""

from __future__ import annotations

import secrets
import signal
import socket
import threading
import time

import httpx
import psycopg

from infra.local.accounts import server_account
from infra.local.ports import any_free_port
from infra.local.postgres import PostgresServer, find_programs
from infra.local.service import Running
from tests.integration.runtime.processes import box_process, wait_until_healthy


def write_until(client, stop):
    """Create resources until the box dies or `stop`; return the ids that were answered."""
    answered = []
    while not stop.is_set():
        try:
            answer = client.post("/fhir/Patient", json={"name": [{"family": "Oak"}]})
        except httpx.TransportError:
            break
        if answer.status_code == 201:
            answered.append(answer.json()["id"])
    return answered


def stored_ids(dsn):
    with psycopg.connect(dsn) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM patient")}


def test_a_killed_box_loses_nothing_and_starts_again(prepared, tmp_path):
    environment, dsn = prepared
    log = tmp_path / "box.log"
    with box_process(environment, log) as (process, client):
        made = client.post("/fhir/Patient", json={"name": [{"family": "Oak"}]})
        process.kill()
        process.wait()
    assert made.status_code == 201
    assert made.json()["id"] in stored_ids(dsn)
    with box_process(environment, log) as (process, client):
        assert client.get(f"/fhir/Patient/{made.json()['id']}").json() == made.json()
        stop = threading.Event()
        killer = threading.Timer(0.5, process.kill)
        killer.start()
        answered = write_until(client, stop)
        killer.join()
    assert answered
    assert set(answered) <= stored_ids(dsn)


def test_a_box_ends_in_order_and_prepares_an_empty_database(database, tmp_path):
    log = tmp_path / "box.log"
    with box_process(database.environment, log) as (process, client):
        assert client.get("/fhir/Patient").json()["total"] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "secret" not in log.read_text()


def test_a_killed_postgresql_loses_nothing_and_the_box_goes_on(service_directory, tmp_path):
    server = PostgresServer(
        home=service_directory / "mortal",
        socket_directory=service_directory / "mortal-socket",
        port=any_free_port(),
        password=secrets.token_urlsafe(16),
        account=server_account(),
        programs=find_programs(),
        settings={"fsync": "off", "shared_buffers": "32MB"},
    ).ensure_cluster()
    log = tmp_path / "box.log"
    environment = {
        "PGHOST": str(server.socket_directory),
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        "PGPASSWORD": server.password,
        "PGDATABASE": "postgres",
    }
    postgresql_log = service_directory / "mortal.log"
    running = Running(server.service(), postgresql_log)
    try:
        with box_process(environment, log) as (process, client):
            killer = threading.Timer(0.5, running.process.kill)
            killer.start()
            answered = write_until_refused(client)
            killer.join()
            running.process.wait()
            end_backends(server)
            refused = client.get("/fhir/Patient")
            assert refused.status_code == 503
            assert refused.json()["issue"][0]["code"] == "transient"
            assert refused.headers["retry-after"]
            assert client.get("/health").status_code == 503
            assert client.get("/health").json()["status"] == "fail"
            assert process.poll() is None
            running = Running(server.service(), postgresql_log)
            wait_until_healthy(client, process, log)
            for id_ in answered:
                assert client.get(f"/fhir/Patient/{id_}").status_code == 200
            # What is kept in memory is heard of again: a policy made now opens the box.
            client.put(
                "/AccessPolicy/open",
                json={"engine": "allow", "link": [{"resourceType": "Operation", "id": "FhirRead"}]},
            )
            assert httpx.get(f"{client.base_url}/fhir/Patient/{answered[0]}").status_code == 200
            wait_for_news(server, client, answered[0])
            assert '"lvl":"error"' not in log.read_text()
        assert answered
    finally:
        running.stop()


def write_until_refused(client):
    answered = []
    while True:
        answer = client.post("/fhir/Patient", json={"name": [{"family": "Oak"}]})
        if answer.status_code != 201:
            assert answer.status_code == 503, answer.text
            return answered
        answered.append(answer.json()["id"])


def end_backends(server):
    """Wait until the killed server's children noticed and left its socket and memory."""
    deadline = time.monotonic() + 20
    pid_file = server.home / "postmaster.pid"
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(f"{server.socket_directory}/.s.PGSQL.{server.port}")
            except OSError:
                break
        time.sleep(0.05)
    assert pid_file is not None


def wait_for_news(server, client, id_):
    """A change made behind the box's back must reach it over the renewed connection."""
    with psycopg.connect(server.admin_dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM accesspolicy WHERE id = 'open'")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if httpx.get(f"{client.base_url}/fhir/Patient/{id_}").status_code == 403:
            return
        time.sleep(0.05)
    raise AssertionError("the box did not hear of the change")
