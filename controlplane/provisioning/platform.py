"""The real things that steps act on: the PostgreSQL server, the box host, the cluster's key."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from controlplane.environment import Environment, get_environment
from infra.boxhost import LocalBoxRuntime
from infra.postgres import PostgresCluster
from infra.secrets import ClusterKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.boxclient import Health

HOST_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Platform:
    """What a job needs of the world; tests may put other real things in."""

    cluster: PostgresCluster
    runtime: LocalBoxRuntime
    key: ClusterKey
    environment: Environment
    check_health: Callable[[str], Health]
    """Box name -> whether it answers, asked over its socket; wakes it."""


_read_key = cache(ClusterKey.from_hex)


def cluster_key() -> ClusterKey:
    """Return the key that seals secrets and signs portal tokens."""
    return _read_key(get_environment().cluster_key)


@cache
def get_platform() -> Platform:
    """Return the platform of this process, which must be a worker: only it may provision."""
    from controlplane.boxclient import check_health

    environment = get_environment()
    return Platform(
        cluster=PostgresCluster(environment.admin_dsn),
        runtime=LocalBoxRuntime(environment.boxhost_socket, timeout_s=HOST_TIMEOUT_S),
        key=cluster_key(),
        environment=environment,
        check_health=lambda name: check_health(environment.box_socket(name)),
    )
