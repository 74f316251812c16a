"""Databases and roles on one PostgreSQL server. Every verb may be repeated or cut short.

The administrator owns the databases; a box's role owns what is inside its own. So a box can
neither drop its database nor open it to others, whatever SQL its users may run. PUBLIC loses
CONNECT everywhere, which is what keeps one box out of another's database.

Source: platform specification, "Multi-box variables" (box roles cannot connect to others).
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto, unique
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import conninfo, errors, sql

from infra.postgres.marks import CLAIM, COMPLETE, TEMPLATE_ROLE
from infra.postgres.spares import adopt_spare, ensure_spares

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYONES = ("postgres", "template1")  # open to every role on a server as it is installed

# A box may raise these for a statement of its own; they end what was forgotten.
ROLE_SETTINGS = {
    "idle_in_transaction_session_timeout": "60s",
    "statement_timeout": "300s",
}
ADMIN_ONLY_SETTINGS = {"temp_file_limit": "4GB"}  # one box's sort must not fill everyone's disk


class ProvisioningError(Exception):
    """The server refused or lacks something; `str(error)` names it without secrets."""


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """A box's place on the server, as it is."""

    role_exists: bool
    role_may_log_in: bool
    database_exists: bool
    complete: bool
    """Every step of `ensure_database` was done."""
    size_bytes: int | None


class PostgresCluster:
    """A server, through the connection string of a role that may create databases and roles."""

    def __init__(self, admin_dsn: str, *, python: str = sys.executable) -> None:
        """Connect to nothing yet; `python` is the interpreter that builds templates."""
        self._dsn = admin_dsn
        self._python = python

    def ensure_template(self, fhir_version: str) -> str:
        """Return the name of the template database of this FHIR version and of this code.

        Builds it if there is none (10 s and more), waits for whoever else is building it, and
        removes templates of other code.
        """
        from infra.postgres.template import ensure_template  # it needs this module

        return ensure_template(self, fhir_version, self._python)

    def ensure_spares(self, fhir_version: str, count: int) -> None:
        """Keep `count` databases ready for the next boxes of this FHIR version, 30 MB each."""
        ensure_spares(self, self.ensure_template(fhir_version), count)

    def ensure_role(self, role: str, password: str, *, connection_limit: int = 20) -> None:
        """Make `role` able to log in with `password` and to do nothing else by itself."""
        with self.connect() as admin:
            found = admin.execute(
                "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication "
                "FROM pg_roles WHERE rolname = %s",
                [role],
            ).fetchone()
            if found is not None and found[0]:
                raise ProvisioningError(f"Role {role} exists and has rights that no box may have.")
            verb = "CREATE" if found is None else "ALTER"
            # The server sees only the verifier: the password reaches no statement log.
            verifier = admin.pgconn.encrypt_password(
                password.encode(), role.encode(), b"scram-sha-256"
            ).decode()
            _run(
                admin,
                verb + " ROLE {role} LOGIN CONNECTION LIMIT {limit} PASSWORD {verifier}",
                role=role,
                limit=sql.Literal(connection_limit),
                verifier=sql.Literal(verifier),
            )
            settings = ROLE_SETTINGS | (ADMIN_ONLY_SETTINGS if _is_superuser(admin) else {})
            for name, value in settings.items():
                _run(
                    admin,
                    "ALTER ROLE {role} SET {name} TO {value}",
                    role=role,
                    name=name,
                    value=sql.Literal(value),
                )
            _join(admin, role)

    def ensure_database(self, database: str, role: str, *, template: str | None = None) -> None:
        """Make `database`, a copy of `template` (else empty), for `role` alone.

        The role must exist. A complete database is not touched; one that was cut short is
        completed. Raises ProvisioningError for a database that Halebox did not make.
        """
        with self.connect() as admin:
            # Ends with the connection, also when this process is killed.
            admin.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [database])
            state = _database_state(admin, database)
            if state is _State.INTERRUPTED_DROP:
                _drop(admin, database)
                state = _State.ABSENT
            if state is _State.COMPLETE:
                return
            if state is _State.ABSENT:
                if template and adopt_spare(admin, database, role, template):
                    return
                self._claim(admin, database, role)
                _create(admin, database, template)
            self._isolate(admin, (database, *EVERYONES))
            _run(
                admin,
                "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {role}",
                database=database,
                role=role,
            )
            # Whoever slipped in before the REVOKE has nothing to lose.
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND usename <> current_user",
                [database],
            )
            self._hand_over(database, role)
            _run(
                admin,
                "COMMENT ON DATABASE {database} IS {comment}",
                database=database,
                comment=sql.Literal(COMPLETE),
            )

    def drop_database(self, database: str) -> None:
        """End all connections to `database` and remove it; nothing to do if there is none.

        Raises ProvisioningError for a database that Halebox did not make.
        """
        with self.connect() as admin:
            if _database_state(admin, database) is not _State.ABSENT:
                _drop(admin, database)

    def drop_role(self, role: str) -> None:
        """Remove `role`, whose databases must be gone; nothing to do if there is none."""
        with self.connect() as admin:
            try:
                _run(admin, "DROP ROLE IF EXISTS {role}", role=role)
            except errors.DependentObjectsStillExist as error:
                raise ProvisioningError(f"Role {role} still owns something.") from error

    def observe(self, database: str, role: str) -> DatabaseStatus:
        """Return what there is of a box. Raises ProvisioningError as `ensure_database` does."""
        with self.connect() as admin:
            state = _database_state(admin, database)
            size = (
                _value(admin.execute("SELECT pg_database_size(%s)", [database]))
                if state in {_State.HALF_MADE, _State.COMPLETE}
                else None
            )
            may_log_in = _may_log_in(admin, role)
            return DatabaseStatus(
                role_exists=may_log_in is not None,
                role_may_log_in=bool(may_log_in),
                database_exists=state is not _State.ABSENT,
                complete=state is _State.COMPLETE,
                size_bytes=size,
            )

    def list_databases(self) -> frozenset[str]:
        """Return the names of all databases on the server. Raises ProvisioningError."""
        with self.connect() as admin:
            return frozenset(name for (name,) in admin.execute("SELECT datname FROM pg_database"))

    def list_login_roles(self) -> frozenset[str]:
        """Return the names of all roles that may log in. Raises ProvisioningError."""
        with self.connect() as admin:
            rows = admin.execute("SELECT rolname FROM pg_roles WHERE rolcanlogin")
            return frozenset(name for (name,) in rows)

    @contextmanager
    def connect(self, database: str | None = None) -> Iterator[psycopg.Connection[Any]]:
        """Connect as the administrator, autocommit, to the given or the configured database.

        Raises ProvisioningError when the server does not answer or refuses a statement.
        """
        target = {"dbname": database} if database else {}
        try:
            with psycopg.connect(
                conninfo.make_conninfo(
                    self._dsn, connect_timeout=10, application_name="halebox", **target
                ),
                autocommit=True,
            ) as connection:
                yield connection
        except psycopg.Error as error:
            reason = error.diag.message_primary or type(error).__name__
            raise ProvisioningError(f"PostgreSQL: {reason}") from error

    def environment(self, database: str, role: str, password: str) -> dict[str, str]:
        """Return the PG* variables of a program that shall use `database` as `role`."""
        parts = conninfo.conninfo_to_dict(self._dsn)
        names = {"host": "PGHOST", "port": "PGPORT", "sslmode": "PGSSLMODE"}
        found = {variable: str(parts[name]) for name, variable in names.items() if parts.get(name)}
        return found | {"PGUSER": role, "PGPASSWORD": password, "PGDATABASE": database}

    def _isolate(self, admin: psycopg.Connection[Any], databases: tuple[str, ...]) -> None:
        """Take CONNECT and TEMPORARY from PUBLIC; the administrator keeps what was PUBLIC's."""
        for database in databases:
            open_to_all = admin.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s AND "
                "(has_database_privilege('public', oid, 'CONNECT') "
                "OR has_database_privilege('public', oid, 'TEMPORARY'))",
                [database],
            ).fetchone()
            if open_to_all:
                _run(
                    admin,
                    "GRANT CONNECT ON DATABASE {database} TO CURRENT_USER",
                    database=database,
                )
                _run(
                    admin,
                    "REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC",
                    database=database,
                )

    def _claim(self, admin: psycopg.Connection[Any], database: str, role: str) -> None:
        """Note on the role that we are about to make `database`.

        CREATE DATABASE cannot mark what it makes, and without a mark a half-made database could
        not be told from one of somebody else on the same server.
        """
        _run(
            admin,
            "COMMENT ON ROLE {role} IS {claim}",
            role=role,
            claim=sql.Literal(CLAIM + database),
        )

    def _hand_over(self, database: str, role: str) -> None:
        """Give every object inside `database` to `role`.

        REASSIGN OWNED also moves shared objects of the old owner, so the template's role owns
        none: databases belong to the administrator.
        """
        with self.connect(database) as inside, inside.transaction():
            _run(inside, "ALTER SCHEMA public OWNER TO {role}", role=role)
            if _role_exists(inside, TEMPLATE_ROLE):
                _run(
                    inside,
                    "REASSIGN OWNED BY {template_role} TO {role}",
                    template_role=TEMPLATE_ROLE,
                    role=role,
                )


@unique
class _State(Enum):
    ABSENT = auto()
    HALF_MADE = auto()
    COMPLETE = auto()
    INTERRUPTED_DROP = auto()


def _database_state(admin: psycopg.Connection[Any], database: str) -> _State:
    """Return where a database of ours stands. Raises ProvisioningError if it is not ours.

    PostgreSQL marks a database whose DROP was cut short with the connection limit -2.
    """
    row = admin.execute(
        "SELECT datconnlimit = -2, shobj_description(oid, 'pg_database') = %s, EXISTS (SELECT 1 "
        "FROM pg_roles WHERE shobj_description(pg_roles.oid, 'pg_authid') = %s) "
        "FROM pg_database WHERE datname = %s",
        [COMPLETE, CLAIM + database, database],
    ).fetchone()
    if row is None:
        return _State.ABSENT
    interrupted_drop, complete, claimed = row
    if not (complete or claimed):
        raise ProvisioningError(f"A database {database} exists that Halebox did not make.")
    if interrupted_drop:
        return _State.INTERRUPTED_DROP
    return _State.COMPLETE if complete else _State.HALF_MADE


def _drop(admin: psycopg.Connection[Any], database: str) -> None:
    """Remove a database and whoever is connected to it; IF EXISTS would send a notice."""
    if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        _run(admin, "DROP DATABASE IF EXISTS {database} WITH (FORCE)", database=database)


def _role_exists(admin: psycopg.Connection[Any], role: str) -> bool:
    return _may_log_in(admin, role) is not None


def _may_log_in(admin: psycopg.Connection[Any], role: str) -> bool | None:
    """Return whether the role may log in; None if there is no such role."""
    row = admin.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    return None if row is None else bool(row[0])


def _is_superuser(admin: psycopg.Connection[Any]) -> bool:
    return bool(_value(admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")))


def _value(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]


def _join(admin: psycopg.Connection[Any], role: str) -> None:
    """Let an administrator without superuser rights act as `role`: it must hand objects over."""
    if not _is_superuser(admin):
        _run(admin, "GRANT {role} TO CURRENT_USER", role=role)


def _create(admin: psycopg.Connection[Any], database: str, template: str | None) -> None:
    """Create a database owned by the administrator; STRATEGY wal_log is 5 times the faster."""
    if template is not None:
        _run(
            admin,
            "CREATE DATABASE {database} TEMPLATE {template} STRATEGY wal_log",
            database=database,
            template=template,
        )
        return
    # Text sorts by code point on every server; lower() knows more than ASCII.
    locale: LiteralString = (
        "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
        if admin.info.server_version >= 170000
        else "LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
    )
    _run(
        admin,
        "CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8' " + locale,
        database=database,
    )


def _run(
    connection: psycopg.Connection[Any],
    statement: LiteralString,
    **words: str | sql.Literal,
) -> None:
    """Execute a statement whose {words} are identifiers, quoted here, or literals."""
    connection.execute(
        sql.SQL(statement).format(
            **{
                name: sql.Identifier(word) if isinstance(word, str) else word
                for name, word in words.items()
            }
        )
    )
