"""Template databases: what every new box of a FHIR version starts with, built once.

A template is named by its FHIR version and by a fingerprint of the code that built it, so it is
never edited. It is a template (`datistemplate`) exactly when it is whole; anything else under
such a name was interrupted and is built again. Source: docs/architecture.md, "Template database".
"""

from __future__ import annotations

import re
import secrets
import subprocess
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from infra.environment import base_environment
from infra.postgres.cluster import PostgresCluster, ProvisioningError
from infra.postgres.marks import TEMPLATE_PREFIX, TEMPLATE_ROLE

if TYPE_CHECKING:
    import psycopg

BUILD_LIMIT_S = 600.0
FINGERPRINT_LIMIT_S = 60.0


def ensure_template(cluster: PostgresCluster, fhir_version: str, python: str) -> str:
    """Return the name of the complete template, built now if need be. See `PostgresCluster`."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", fhir_version):
        raise ProvisioningError("A FHIR version looks like 4.0.1.")
    family = TEMPLATE_PREFIX + fhir_version.replace(".", "_") + "_"
    name = family + fingerprint(python, fhir_version)
    with cluster.connect() as admin:
        if _is_whole(admin, name):
            return name
        # A session lock: it goes with the connection, also when this process is killed.
        # One for all versions: they share a role, whose password changes with each build.
        admin.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [TEMPLATE_PREFIX])
        if not _is_whole(admin, name):
            _build(cluster, admin, name, fhir_version, python)
            _remove_others(admin, family, name)
    return name


@lru_cache
def fingerprint(python: str, fhir_version: str) -> str:
    """Return a short hex text that changes with whatever `prepare` would write.

    Asked once per process: code does not change under a running one.
    """
    text = _boxruntime(python, ["fingerprint", "--fhir-version", fhir_version], {}).strip()
    if not re.fullmatch(r"[0-9a-f]{6,40}", text):
        raise ProvisioningError("boxruntime gave no fingerprint.")
    return text


def _is_whole(admin: psycopg.Connection[Any], name: str) -> bool:
    return (
        admin.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate",
            [name],
        ).fetchone()
        is not None
    )


def _build(
    cluster: PostgresCluster,
    admin: psycopg.Connection[Any],
    name: str,
    fhir_version: str,
    python: str,
) -> None:
    """Prepare a fresh database as the template's own role, then close it for ever."""
    password = secrets.token_urlsafe(24)
    cluster.drop_database(name)
    cluster.ensure_role(TEMPLATE_ROLE, password)
    cluster.ensure_database(name, TEMPLATE_ROLE)
    environment = cluster.environment(name, TEMPLATE_ROLE, password)
    _boxruntime(python, ["prepare"], environment | {"AIDBOX_FHIR_VERSION": fhir_version})
    with cluster.connect(name) as inside:
        inside.execute("VACUUM (FREEZE, ANALYZE)")  # statistics and visibility travel with copies
    admin.execute(
        sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false IS_TEMPLATE true").format(
            sql.Identifier(name)
        )
    )
    admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(TEMPLATE_ROLE)))


def _remove_others(admin: psycopg.Connection[Any], family: str, name: str) -> None:
    """Remove templates of the same FHIR version and other code; one being copied stays."""
    others = admin.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datname <> %s",
        [family, name],
    ).fetchall()
    for (other,) in others:
        with suppress(errors.ObjectInUse):
            admin.execute(
                sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(sql.Identifier(other))
            )
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(other)))


def _boxruntime(python: str, arguments: list[str], environment: dict[str, str]) -> str:
    """Run `python -m boxruntime …` and return its output. Raises ProvisioningError."""
    limit_s = BUILD_LIMIT_S if environment else FINGERPRINT_LIMIT_S
    try:
        result = subprocess.run(
            [python, "-m", "boxruntime", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=limit_s,
            env=base_environment() | environment,
        )
    except subprocess.TimeoutExpired as error:
        raise ProvisioningError(f"boxruntime {arguments[0]} took over {limit_s:.0f} s.") from error
    if result.returncode != 0:
        said = result.stderr.strip().splitlines()
        raise ProvisioningError(
            f"boxruntime {arguments[0]} failed: {said[-1] if said else 'no message'}"
        )
    return result.stdout
