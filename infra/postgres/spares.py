"""Spare databases: complete copies of a template, waiting for the box that will get them.

Copying a template and handing its 2,500 files to a role takes 0.5 s on an idle machine and some
seconds on a busy one; giving a spare its names takes 20 ms. A spare is a database and a role of
one name, `halebox_spare_<FHIR version>_<fingerprint of the template>_<random>`; adopting one is a
single transaction, so it is either still spare or wholly the box's.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from infra.postgres.marks import CLAIM, COMPLETE, SPARE_PREFIX, TEMPLATE_PREFIX

if TYPE_CHECKING:
    import psycopg

    from infra.postgres.cluster import PostgresCluster

_FILLING = "halebox fills spares"
_ADOPTING = "halebox adopts a spare"


def ensure_spares(cluster: PostgresCluster, template: str, count: int) -> None:
    """Keep `count` spares of this template; remove half-made ones and those of older ones.

    Without superuser rights there are none, as nobody else may adopt one. If another process is
    at it already, leave it to that one.
    """
    family = _family(template)
    version = family.rstrip("_").rpartition("_")[0] + "_"
    with cluster.connect() as admin:
        if not may_adopt(admin) or not _value(
            admin.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [_FILLING])
        ):
            return
        ready = _complete_spares(admin, family)
        for name in _all_spares(admin, version):
            if name not in ready:
                cluster.drop_database(name)
                cluster.drop_role(name)
        for _ in range(count - len(ready)):
            name = family + secrets.token_hex(4)
            cluster.ensure_role(name, secrets.token_urlsafe(24))
            cluster.ensure_database(name, name, template=template)


def adopt_spare(admin: psycopg.Connection[Any], database: str, role: str, template: str) -> bool:
    """Turn a spare of `template` into `database` of `role`; tell whether there was one.

    The role keeps its password and connection limit; the spare's role, which owns everything,
    takes its place.
    """
    if database.startswith(SPARE_PREFIX) or not may_adopt(admin):
        return False
    family = _family(template)
    try:
        with admin.transaction():
            admin.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_ADOPTING])
            spare = next(iter(_complete_spares(admin, family)), None)
            if spare is None:
                return False
            verifier, limit = admin.execute(
                "SELECT rolpassword, rolconnlimit FROM pg_authid WHERE rolname = %s", [role]
            ).fetchone() or (None, -1)
            words = {
                "spare": sql.Identifier(spare),
                "role": sql.Identifier(role),
                "database": sql.Identifier(database),
                "verifier": sql.Literal(verifier),
                "limit": sql.Literal(limit),
                "claim": sql.Literal(CLAIM + database),
            }
            for statement in (
                "DROP ROLE {role}",
                "ALTER ROLE {spare} RENAME TO {role}",
                "ALTER ROLE {role} CONNECTION LIMIT {limit} PASSWORD {verifier}",
                "COMMENT ON ROLE {role} IS {claim}",
                "ALTER DATABASE {spare} RENAME TO {database}",
            ):
                admin.execute(sql.SQL(statement).format(**words))
    except (errors.DependentObjectsStillExist, errors.ObjectInUse):
        # The role owns something already, or somebody is looking at the spare.
        return False
    return True


def may_adopt(admin: psycopg.Connection[Any]) -> bool:
    """Tell whether the administrator may carry a password over from one role to another."""
    return bool(_value(admin.execute("SELECT has_table_privilege('pg_authid', 'SELECT')")))


def _family(template: str) -> str:
    return SPARE_PREFIX + template.removeprefix(TEMPLATE_PREFIX) + "_"


def _all_spares(admin: psycopg.Connection[Any], prefix: str) -> list[str]:
    """Return the names of databases and roles that begin so; a half-made spare has one of them."""
    rows = admin.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) "
        "UNION SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s) ORDER BY 1",
        [prefix, prefix],
    ).fetchall()
    return [name for (name,) in rows]


def _complete_spares(admin: psycopg.Connection[Any], prefix: str) -> list[str]:
    rows = admin.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) "
        "AND shobj_description(oid, 'pg_database') = %s ORDER BY datname",
        [prefix, COMPLETE],
    ).fetchall()
    return [name for (name,) in rows]


def _value(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]
