"""The servers of one run: a PostgreSQL of its own, boxes on it, a box host, the floors' servers.

PostgreSQL runs with the platform's settings, so commits are durable here.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from boxruntime.contract import BoxSpec, Limits
from controlplane.provisioning.credentials import hash_client_secret, make_credentials
from infra.boxhost import BoxHostError, LocalBoxRuntime
from infra.environment import base_environment
from infra.local.accounts import server_account
from infra.local.ports import any_free_port
from infra.local.postgres import PostgresServer, find_programs
from infra.local.service import Running, Service
from tenants.names import database_name, role_name
from tests.load.payloads import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.postgres import PostgresCluster

ROOT = Path(__file__).parents[2]
FHIR_VERSION = "4.0.1"
ANSWER_LIMIT_S = 30.0


class Box(NamedTuple):
    """A box process that answers."""

    port: int
    pid: int
    address: Mapping[str, str]
    """The PG* variables of its database."""


@contextmanager
def work_directory() -> Iterator[Path]:
    """Give a short directory that other accounts can enter; it is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="halebox-bench-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def postgres(directory: Path) -> Iterator[tuple[PostgresServer, int]]:
    """Start a fresh server; give it and the pid of its postmaster."""
    server = PostgresServer(
        home=directory / "postgresql",
        socket_directory=directory / "pg",
        port=any_free_port(),
        password=secrets.token_urlsafe(16),
        account=server_account(),
        programs=find_programs(),
    ).ensure_cluster()
    with Running(server.service(), directory / "postgresql.log") as running:
        yield server, running.process.pid


def box_database(cluster: PostgresCluster, name: str, password: str) -> dict[str, str]:
    """Make role and database of a box from the template; return its PG* variables."""
    template = cluster.ensure_template(FHIR_VERSION)
    database, role = database_name(name), role_name(name)
    cluster.ensure_role(role, password)
    cluster.ensure_database(database, role, template=template)
    return cluster.environment(database, role, password)


@contextmanager
def single_box(cluster: PostgresCluster, directory: Path) -> Iterator[Box]:
    """Run `python -m boxruntime` on a loopback port with a database of its own."""
    address = box_database(cluster, "bench", secrets.token_urlsafe(16))
    port = any_free_port()
    service = Service(
        name="box",
        title="The box",
        command=(sys.executable, "-m", "boxruntime"),
        environment=base_environment()
        | address
        | {
            "AIDBOX_PORT": str(port),
            "AIDBOX_CLIENT_ID": CLIENT_ID,
            "AIDBOX_CLIENT_SECRET": CLIENT_SECRET,
            "AIDBOX_FHIR_VERSION": FHIR_VERSION,
        },
        directory=ROOT,
        ready=lambda: _answers(port, "/health"),
    )
    with Running(service, directory / "box.log") as running:
        yield Box(port, running.process.pid, address)


@contextmanager
def hello(directory: Path) -> Iterator[tuple[int, int]]:
    """Run the hello-world server; give its port and pid."""
    port = any_free_port()
    service = Service(
        name="hello",
        title="hello-world",
        command=(sys.executable, "-m", "tests.load.hello", str(port)),
        environment=base_environment(),
        directory=ROOT,
        ready=lambda: _answers(port, "/"),
    )
    with Running(service, directory / "hello.log") as running:
        yield port, running.process.pid


class Host:
    """A running box host."""

    def __init__(self, run_directory: Path) -> None:
        self.run_directory = run_directory
        self.runtime = LocalBoxRuntime(run_directory / "boxhost.sock")

    def socket(self, box: str) -> Path:
        return self.run_directory / "boxes" / f"{box}.sock"

    def answers(self) -> bool:
        try:
            self.runtime.ping()
        except BoxHostError:
            return False
        return True


@contextmanager
def box_host(directory: Path) -> Iterator[Host]:
    """Run `python -m boxruntime.host`."""
    host = Host(directory / "run")
    service = Service(
        name="boxhost",
        title="The box host",
        command=(sys.executable, "-m", "boxruntime.host", "--run-dir", str(host.run_directory)),
        environment=base_environment() | {"HALEBOX_CLUSTER_KEY": secrets.token_hex(32)},
        directory=ROOT,
        ready=host.answers,
    )
    with Running(service, directory / "boxhost.log"):
        yield host


def box_spec(name: str, address: Mapping[str, str], loopback_port: int | None = None) -> BoxSpec:
    """Return the box as the control plane would hand it to the box host; makes its keys."""
    credentials = make_credentials()
    return BoxSpec(
        id=name,
        generation=1,
        environment={
            **address,
            "BOX_ID": name,
            "AIDBOX_FHIR_VERSION": FHIR_VERSION,
            "AIDBOX_BASE_URL": f"http://{name}.localhost",
            "AIDBOX_CLIENT_ID": CLIENT_ID,
            "AIDBOX_CLIENT_SECRET": hash_client_secret(CLIENT_SECRET),
            "AIDBOX_ENCRYPT_KEY": credentials.encrypt_key,
            "BOX_ACCESS_KEY": secrets.token_hex(32),
            "BOX_SIGNING_KEY": credentials.signing_key,
        },
        limits=Limits(),
        loopback_port=loopback_port,
    )


def first_byte(path: Path, request: bytes) -> tuple[float, int]:
    """Send a request to a unix socket; return ms to the answer's first byte, and its status."""
    started = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_LIMIT_S)
        connection.connect(os.fspath(path))
        connection.sendall(request)
        answer = connection.recv(1)
        elapsed_ms = (time.perf_counter() - started) * 1000
        while b" " not in answer or len(answer.partition(b" ")[2]) < 3:
            answer += connection.recv(4096) or b" 000"
    return elapsed_ms, int(answer.split(b" ", 2)[1][:3])


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
