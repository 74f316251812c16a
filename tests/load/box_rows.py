"""Rows of whole boxes on a box host: making one, waking one, and the memory of one."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from boxruntime.contract import BoxPhase
from boxruntime.fhir.json_text import encode_json
from infra.environment import base_environment
from infra.local.ports import any_free_port
from tenants.names import database_name, role_name
from tests.load import payloads, request_rows
from tests.load.bare_fork import Forks
from tests.load.edge_rows import edge_row
from tests.load.figures import Row
from tests.load.servers import FHIR_VERSION, ROOT, Box, Host, box_spec, first_byte
from tests.load.usage import children, private_bytes

if TYPE_CHECKING:
    from infra.postgres import PostgresCluster
    from tests.load.request_rows import Bench

MB = 2**20
HEALTH = b"GET /health HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n"
ASLEEP_LIMIT_S = 10.0
BUSY = "busybox"


class BoxError(Exception):
    """A box did not do what the row measures; `str(error)` says which."""


def box_rows(bench: Bench, cluster: PostgresCluster, host: Host, directory: Path) -> list[Row]:
    """Measure boxes on `host`; they stay until the run ends."""
    forks = _bare_forks(bench)
    _create(cluster, host, "first")  # the mould may still be preloading
    rows = [_creation(bench, cluster, host), _wake(bench, host, forks)]
    busy = _create_busy(cluster, host)
    memory = _memory(bench, cluster, host, forks, busy)
    rows.append(edge_row(bench, BUSY, busy, host.run_directory, directory / "nginx"))
    return [*rows, *memory]


def _bare_forks(bench: Bench) -> Forks:
    bench.say("bare fork")
    result = subprocess.run(
        [sys.executable, "-m", "tests.load.bare_fork", str(bench.scale.forks)],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=base_environment(),
    )
    return msgspec.json.decode(result.stdout.splitlines()[-1], type=Forks)


def _creation(bench: Bench, cluster: PostgresCluster, host: Host) -> Row:
    bench.say("box creation")
    template = cluster.ensure_template(FHIR_VERSION)
    steps, floor = [], []
    with cluster.connect() as admin:
        for number in range(bench.scale.boxes):
            cluster.ensure_spares(FHIR_VERSION, 1)  # as the platform's sweep does
            steps.append(_create(cluster, host, f"made0{number}"))
            started = time.perf_counter()
            # The name is ours and has no quotes.
            admin.execute(f'CREATE DATABASE bench_floor TEMPLATE "{template}" STRATEGY wal_log')
            floor.append((time.perf_counter() - started) * 1000)
            admin.execute("DROP DATABASE bench_floor")
    return Row(
        name="box creation to first 200",
        unit="ms",
        ours=[sum(one.values()) for one in steps],
        floor=floor,
        floor_name="CREATE DATABASE … TEMPLATE, the slowest of the steps",
        target=1000,
        parts={name: median(one[name] for one in steps) for name in steps[0]},
    )


def _create(
    cluster: PostgresCluster, host: Host, name: str, loopback_port: int | None = None
) -> dict[str, float]:
    """Take the control plane's steps for one box; return the milliseconds of each."""
    taken: dict[str, float] = {}
    at = time.perf_counter()

    def lap(step: str) -> None:
        nonlocal at
        now = time.perf_counter()
        taken[step] = (now - at) * 1000
        at = now

    database, role, password = database_name(name), role_name(name), secrets.token_urlsafe(24)
    spec = box_spec(name, cluster.environment(database, role, password), loopback_port)
    lap("credentials")
    template = cluster.ensure_template(FHIR_VERSION)
    lap("template")
    cluster.ensure_role(role, password)
    lap("role")
    cluster.ensure_database(database, role, template=template)
    lap("database")
    host.runtime.ensure(spec)
    lap("start")
    _, status = first_byte(host.socket(name), HEALTH)
    lap("answer")
    if status != 200:
        raise BoxError(f"The new box {name} answered {status}.")
    return taken


def _wake(bench: Bench, host: Host, forks: Forks) -> Row:
    bench.say("wake of a sleeping box")
    box, times = "made00", []
    for _ in range(bench.scale.wakes):
        _put_to_sleep(host, box)
        elapsed_ms, status = first_byte(host.socket(box), HEALTH)
        if status != 200:
            raise BoxError(f"The woken box answered {status}.")
        times.append(elapsed_ms)
    return Row(
        name="wake to the first byte",
        unit="ms",
        ours=times,
        floor=forks.fork_ms,
        floor_name="fork of a preloaded process to a byte in a pipe",
        target=100,
    )


def _put_to_sleep(host: Host, box: str) -> None:
    """Return when the box sleeps and its process has ended."""
    before = host.runtime.status(box)
    host.runtime.sleep(box)
    deadline = time.monotonic() + ASLEEP_LIMIT_S
    while _is_alive(before.pid if before else None):
        if time.monotonic() > deadline:
            raise BoxError(f"The process of {box} does not end.")
        time.sleep(0.01)
    status = host.runtime.status(box)
    if status is None or status.phase is not BoxPhase.ASLEEP:
        raise BoxError(f"{box} does not sleep.")


def _is_alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def _create_busy(cluster: PostgresCluster, host: Host) -> Box:
    """Make a box that also listens on a loopback port, for the load generator."""
    port = any_free_port()
    _create(cluster, host, BUSY, port)
    status = host.runtime.status(BUSY)
    if status is None or status.pid is None:
        raise BoxError(f"{BUSY} has no process.")
    return Box(port, status.pid, {})


def _memory(
    bench: Bench, cluster: PostgresCluster, host: Host, forks: Forks, busy: Box
) -> list[Row]:
    bench.say("memory")
    bare_mb = forks.private_bytes / MB
    idle, connections = [], []
    for number in range(bench.scale.boxes):
        name = f"made0{number}"
        path = host.socket(name)
        for request in _a_little_work():
            _, status = first_byte(path, request)
            if status >= 400:
                raise BoxError(f"{name} answered {status}.")
        idle.append(_box_memory_mb(host, name))
        connections.append(_connections_mb(bench, cluster, database_name(name)))
    request_rows.load_for_memory(bench._replace(box=busy))
    floor_name = "private pages of a fork that does nothing"
    return [
        Row(
            name="memory of an idle running box",
            unit="MB",
            ours=idle,
            floor=[bare_mb],
            floor_name=floor_name,
            target=10,
        ),
        Row(
            name="memory of a box process after load",
            unit="MB",
            ours=[_box_memory_mb(host, BUSY)],
            floor=[bare_mb],
            floor_name=floor_name,
            target=150,
        ),
        Row(
            name="memory of a single server after load",
            unit="MB",
            ours=[private_bytes(bench.box.pid) / MB],
        ),
        Row(name="PostgreSQL for an idle box", unit="MB", ours=connections),
    ]


def _a_little_work() -> list[bytes]:
    """Return what makes a box take up the memory it keeps: a write, a read, a history."""
    body = encode_json({**payloads.patients(1)[0], "id": "one"})
    return [
        payloads.http_request("PUT", "/fhir/Patient/one", body),
        payloads.http_request("GET", "/fhir/Patient/one"),
        payloads.http_request("GET", "/fhir/Patient/one/_history"),
    ]


def _box_memory_mb(host: Host, box: str) -> float:
    status = host.runtime.status(box)
    if status is None or status.memory_bytes is None:
        raise BoxError(f"The box host does not know the memory of {box}.")
    return status.memory_bytes / MB


def _connections_mb(bench: Bench, cluster: PostgresCluster, database: str) -> float:
    """Return the private memory of the server processes that serve one database."""
    with cluster.connect() as admin:
        rows = admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s", [database]
        ).fetchall()
    serving = {pid for (pid,) in rows} & set(children(bench.postmaster))
    return sum(private_bytes(pid) for pid in serving) / MB
