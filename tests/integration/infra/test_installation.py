"""`make up`, `make down` and what may stand in their way."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.local.ports import any_free_port
from infra.local.state import State, Whole, read_state
from tests.fixtures_installation import Installation, run_local


@pytest.fixture
def var(service_directory: Path) -> Path:
    """A data directory that PostgreSQL's account can reach, so that nothing lies elsewhere."""
    return service_directory / f"var-{secrets.token_hex(4)}"


def state(installation: Installation) -> State:
    found = read_state(installation.var / "state.json")
    assert found is not None
    return found


def call(installation: Installation, method: str, **params: str) -> dict:
    answer = httpx.post(
        f"{installation.base_url}/rpc",
        json={"method": f"multibox/{method}", "params": params},
        auth=installation.superuser,
        timeout=90,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def box_client(installation: Installation, box: str) -> httpx.Client:
    """Speak to a box as automation does: Host and cookie on the console's address."""
    token = call(installation, "get-box", id=box)["access-token"]
    return httpx.Client(
        base_url=installation.base_url,
        headers={"Host": f"{box}.localhost"},
        cookies={"aidbox-auth-token": token},
        timeout=60,
    )


def test_everything_answers_under_one_port(installation):
    health = httpx.get(f"{installation.base_url}/__healthcheck")
    assert health.status_code == 200
    status = installation.run("status")
    assert status.returncode == 0, status.stdout
    unknown = httpx.get(installation.base_url, headers={"Host": "nosuchbox.localhost"})
    assert (unknown.status_code, unknown.json()["resourceType"]) == (404, "OperationOutcome")


def test_up_again_changes_nothing(installation):
    before = state(installation)
    began = time.monotonic()
    again = installation.run("up")
    assert again.returncode == 0, again.stderr
    assert "up already" in again.stdout
    assert state(installation) == before
    assert time.monotonic() - began < 10


@contextlib.contextmanager
def asking(installation: Installation, box: str) -> Iterator[list[object]]:
    """Ask the console and the box without pause until the block ends; yield what went wrong."""
    wrong: list[object] = []
    done = threading.Event()

    def ask(path: str, host: str) -> None:
        while not done.is_set():
            try:
                # New workers of gunicorn load the code while requests wait.
                url, headers = f"{installation.base_url}{path}", {"Host": host}
                answer = httpx.get(url, headers=headers, timeout=60)
                if answer.status_code != 200:
                    wrong.append((host, answer.status_code))
            except httpx.HTTPError as error:
                wrong.append((host, repr(error)))
            time.sleep(0.02)

    asked = (("/sign-in", "localhost"), ("/health", f"{box}.localhost"))
    threads = [threading.Thread(target=ask, args=each) for each in asked]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_up_gives_new_code_to_a_running_platform_without_refusing_anyone(installation):
    call(installation, "create-box", id="newcode", fhirVersion="fhir-4.0.1")
    before = state(installation)
    (installation.var / "code").write_text("of an older release")
    with asking(installation, "newcode") as wrong:
        result = installation.run("up")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "takes it while it goes on" in result.stdout
    assert wrong == []
    after = state(installation)
    kept = {stage.title: stage.process for stage in after.stages}
    old = {stage.title: stage.process for stage in before.stages}
    changed = {title for title in kept if kept[title] != old[title]}
    assert changed == {"Worker", "Scheduler"}, "the others renewed themselves"
    assert "up already" in installation.run("up").stdout
    call(installation, "delete-box", id="newcode")


def test_secrets_are_for_their_owner_only_and_never_in_process_lists(installation):
    for path in [installation.var / "control.env", *(installation.var / "secrets").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    texts = {
        path.read_text().strip()
        for path in (installation.var / "secrets").iterdir()
        if path.name != "settings.json"
    }
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_text()
        except OSError:
            continue
        assert not any(text in command for text in texts), command.split("\0")[0]


def test_a_service_that_is_killed_comes_back(installation):
    stages = {stage.title: stage for stage in state(installation).stages}
    process = stages["Control plane"].process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while installation.run("status").returncode != 0 or not any(
        stage.restarts for stage in state(installation).stages
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert httpx.get(f"{installation.base_url}/__healthcheck").status_code == 200


def test_a_request_during_a_restart_of_the_control_plane_is_answered(installation):
    before = {stage.title: stage for stage in state(installation).stages}["Control plane"]
    assert before.process is not None
    os.kill(before.process.pid, signal.SIGTERM)  # it ends in order, and would take its socket away
    while before.process.lives():
        time.sleep(0.02)
    answer = httpx.get(f"{installation.base_url}/__healthcheck", timeout=60)
    assert answer.status_code == 200


def test_data_survives_the_death_of_the_supervisor_a_stop_and_a_start(installation):
    call(installation, "create-box", id="keepsake", fhirVersion="fhir-4.0.1")
    with box_client(installation, "keepsake") as box:
        made = box.put("/fhir/Patient/p1", json={"resourceType": "Patient", "id": "p1"})
        assert made.status_code == 201, made.text
    before = state(installation)
    os.kill(before.supervisor.pid, signal.SIGKILL)
    down = installation.run("down")
    assert down.returncode == 0, down.stderr
    assert "lost its supervisor" in down.stdout
    for stage in before.stages:
        assert stage.process is None or not stage.process.lives(), stage.title
    assert installation.run("status").returncode == 3

    up = installation.run("up")  # the port and the superuser are remembered
    assert up.returncode == 0, up.stdout + up.stderr
    assert state(installation).whole is Whole.UP
    with box_client(installation, "keepsake") as box:
        assert box.get("/fhir/Patient/p1").status_code == 200


def test_a_port_in_use_is_one_sentence(var):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        result = run_local(var, "up", PORT=str(port))
    assert result.returncode == 1
    assert result.stderr == f"Port {port} is in use: choose another with PORT=…\n"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"PORT": "http"}, "PORT must be a number from 1 to 65535.\n"),
        ({"AIDBOX_SUPERUSER": "nocolon"}, "AIDBOX_SUPERUSER must be user:password.\n"),
        (
            {"HALEBOX_TLS_KEY": "key.pem"},
            "HALEBOX_TLS_CERTIFICATE and HALEBOX_TLS_KEY belong together.\n",
        ),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_sentence_and_is_not_kept(var, setting, sentence):
    result = run_local(var, "up", **setting)
    assert (result.returncode, result.stderr) == (1, sentence)
    assert not (var / "secrets" / "settings.json").exists()


def test_a_server_that_cannot_be_reached_is_one_sentence(var):
    result = run_local(
        var,
        "up",
        PORT=str(any_free_port()),
        DATABASE_URL="postgresql://admin:hush@127.0.0.1:1/postgres",
    )
    assert result.returncode == 1
    assert result.stderr.startswith("DATABASE_URL cannot be used: PostgreSQL")
    assert "hush" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_nothing_runs_where_nothing_was_started(var):
    for command in ("down", "clean"):
        assert run_local(var, command).returncode == 0
    assert run_local(var, "status").returncode == 3


def test_a_box_without_a_secret_does_not_start(var):
    result = run_local(var, "box")
    assert result.returncode == 1
    assert result.stderr.startswith("AIDBOX_CLIENT_SECRET is missing")
