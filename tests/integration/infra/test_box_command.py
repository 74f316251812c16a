"""`make box`: a box and its own PostgreSQL, ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from infra.local.ports import any_free_port
from tests.fixtures_installation import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUTH = ("root", "secret")


@contextmanager
def box(var: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `make box` and its base URL."""
    port = str(any_free_port())
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local", "box"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        start_new_session=True,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        | {"HALEBOX_VAR": str(var), "AIDBOX_PORT": port, "AIDBOX_CLIENT_SECRET": "secret"}
        | environment,
    )
    try:
        deadline = time.monotonic() + 90
        while process.poll() is None and time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.communicate(timeout=60)


def test_a_box_brings_its_database_keeps_its_data_and_ends_with_ctrl_c(service_directory):
    var = service_directory / "var-box"
    with box(var) as (process, url):
        assert httpx.get(f"{url}/fhir/Patient").status_code == 403
        body = {"resourceType": "Patient", "id": "p1"}
        assert httpx.put(f"{url}/fhir/Patient/p1", json=body, auth=AUTH).status_code == 201
        second = subprocess.run(
            [sys.executable, "-m", "infra.local", "box"],
            check=False,
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env=os.environ
            | {
                "HALEBOX_VAR": str(var),
                "AIDBOX_PORT": str(any_free_port()),
                "AIDBOX_CLIENT_SECRET": "secret",
            },
        )
        assert (second.returncode, second.stderr) == (1, "A box runs on this data already.\n")
    assert process.returncode == 0
    assert not (var / "box" / "postgresql" / "data" / "postmaster.pid").exists()
    with box(var) as (process, url):
        assert httpx.get(f"{url}/fhir/Patient/p1", auth=AUTH).status_code == 200
        os.killpg(process.pid, signal.SIGKILL)  # PostgreSQL stays behind
    with box(var) as (process, url):
        assert httpx.get(f"{url}/fhir/Patient/p1", auth=AUTH).status_code == 200


def test_a_box_uses_the_database_of_pg_variables(database, service_directory):
    with box(service_directory / "var-none", **database.environment) as (process, url):
        assert httpx.get(f"{url}/fhir/Patient", auth=AUTH).status_code == 200
    assert process.returncode == 0
    assert not (service_directory / "var-none").exists()
