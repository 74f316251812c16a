"""A box host with real boxes, and the control plane's view of it, for tests of provisioning."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from controlplane.boxclient import check_health
from controlplane.provisioning.platform import Platform, cluster_key
from infra.boxhost import BoxHostError, LocalBoxRuntime
from infra.environment import base_environment
from infra.local.service import Running, Service
from infra.postgres import PostgresCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.local.postgres import PostgresServer

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class BoxHost:
    """A running box host."""

    run_dir: Path
    runtime: LocalBoxRuntime


@pytest.fixture(scope="session")
def box_host(service_directory: Path, _test_environment: None) -> Iterator[BoxHost]:
    """The box host of the session, started as `make up` starts it."""
    run_dir = service_directory / "host" / "run"
    run_dir.mkdir(parents=True)
    runtime = LocalBoxRuntime(run_dir / "boxhost.sock")

    def ready() -> bool:
        try:
            return runtime.ping()
        except BoxHostError:
            return False

    service = Service(
        name="boxhost",
        title="The box host",
        command=(sys.executable, "-m", "boxruntime.host", "--run-dir", str(run_dir)),
        environment=base_environment()
        | {"HALEBOX_CLUSTER_KEY": settings.HALEBOX.cluster_key, "PYTHONUNBUFFERED": "1"},
        directory=PROJECT,
        ready=ready,
    )
    with Running(service, service_directory / "boxhost.log"):
        yield BoxHost(run_dir, runtime)


@pytest.fixture
def platform(box_host: BoxHost, postgres: PostgresServer) -> Iterator[Platform]:
    """The real server, host and key that jobs act on; what a test makes there is removed."""
    before = settings.HALEBOX
    settings.HALEBOX = environment = replace(
        before,
        admin_dsn=postgres.admin_dsn,
        run_dir=box_host.run_dir,
        box_pghost=str(postgres.socket_directory),
        box_pgport=str(postgres.port),
    )
    cluster = PostgresCluster(postgres.admin_dsn)
    yield Platform(
        cluster=cluster,
        runtime=box_host.runtime,
        key=cluster_key(),
        environment=environment,
        check_health=lambda name: check_health(environment.box_socket(name)),
    )
    settings.HALEBOX = before
    for status in box_host.runtime.list():
        box_host.runtime.remove(status.id)
    with cluster.connect() as admin:
        roles = admin.execute(r"SELECT rolname FROM pg_roles WHERE rolname LIKE 'box\_%'")
        names = [role.removeprefix("box_") for (role,) in roles.fetchall()]
    for name in names:
        cluster.drop_database(name)
        cluster.drop_role(f"box_{name}")
