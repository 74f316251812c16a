"""Provisioning on a real server: repeatable, interruptible, and no box reaches another."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from infra.postgres import PostgresCluster, ProvisioningError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.local.postgres import PostgresServer

# Stands where the interpreter stands in `python -m boxruntime …`.
BUILDER = """#!{python}
import sys
import psycopg
if sys.argv[3] == "fingerprint":
    print("{fingerprint}")
    sys.exit()
with psycopg.connect("") as connection:
    connection.execute("CREATE TABLE patient (id text PRIMARY KEY)")
    connection.execute("CREATE SEQUENCE transaction_id_seq")
    connection.execute("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    connection.execute("CREATE EXTENSION pg_trgm")
    {then}
"""


@pytest.fixture
def builder(tmp_path: Path) -> Callable[..., str]:
    def make(fingerprint: str, then: str = "") -> str:
        path = tmp_path / f"builder-{secrets.token_hex(4)}"
        path.write_text(BUILDER.format(python=sys.executable, fingerprint=fingerprint, then=then))
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def cluster(postgres: PostgresServer, builder) -> Iterator[PostgresCluster]:
    cluster = PostgresCluster(postgres.admin_dsn, python=builder("abcdef12"))
    yield cluster
    with cluster.connect() as admin:
        for (name,) in admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'halebox%' OR datname LIKE 'clinic%'"
        ).fetchall():
            admin.execute(
                sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(sql.Identifier(name))
            )
            cluster.drop_database(name)
        for (name,) in admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'halebox%' OR rolname LIKE 'box!_clinic%' ESCAPE '!'"
        ).fetchall():
            cluster.drop_role(name)


def make_box(cluster: PostgresCluster, name: str, template: str | None = None) -> None:
    cluster.ensure_role(f"box_{name}", "secret")
    cluster.ensure_database(name, f"box_{name}", template=template)


def login(postgres: PostgresServer, name: str, database: str | None = None):
    return psycopg.connect(postgres.dsn(f"box_{name}", "secret", database or name))


def test_a_box_owns_all_objects_of_its_copy_of_the_template(cluster, postgres):
    template = cluster.ensure_template("4.0.1")
    assert template == "halebox_template_4_0_1_abcdef12"
    make_box(cluster, "clinica", template)
    with login(postgres, "clinica") as box:
        box.execute("INSERT INTO patient VALUES ('p1')")
        box.execute("ALTER TABLE patient ADD COLUMN note text")
        box.execute("DROP FUNCTION one()")
        box.execute("CREATE TABLE mine (id int)")
        box.execute("CREATE SCHEMA extra")
        others = box.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relowner <> current_user::regrole"
        ).fetchone()
    assert others == (0,)


def test_one_box_cannot_connect_to_another_nor_to_any_database_of_the_platform(cluster, postgres):
    template = cluster.ensure_template("4.0.1")
    make_box(cluster, "clinica", template)
    make_box(cluster, "clinicb", template)
    cluster.ensure_role("halebox_control", "secret")
    cluster.ensure_database("halebox_control", "halebox_control")
    with login(postgres, "clinica"):
        pass
    for database in ("clinicb", "halebox_control", "postgres", "template1", template):
        with pytest.raises(psycopg.OperationalError, match=r"permission denied|not currently"):
            login(postgres, "clinica", database)


def test_a_box_cannot_open_drop_or_rename_its_database_nor_change_roles(cluster, postgres):
    make_box(cluster, "clinica")
    with login(postgres, "clinica") as box:
        box.autocommit = True
        for statement in (
            "DROP DATABASE clinica",
            "ALTER DATABASE clinica RENAME TO clinicz",
            "CREATE DATABASE clinicz",
            "CREATE ROLE box_z",
            "ALTER ROLE box_clinica CONNECTION LIMIT 1000",
            "COPY (SELECT 1) TO PROGRAM 'true'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                box.execute(statement)
        box.add_notice_handler(lambda _: None)
        box.execute("GRANT CONNECT ON DATABASE clinica TO PUBLIC")  # a warning, no effect
    with cluster.connect() as admin:
        open_to_all = admin.execute(
            "SELECT has_database_privilege('public', 'clinica', 'CONNECT')"
        ).fetchone()
    assert open_to_all == (False,)


def test_every_verb_may_be_repeated(cluster, postgres):
    template = cluster.ensure_template("4.0.1")
    for _ in range(2):
        assert cluster.ensure_template("4.0.1") == template
        make_box(cluster, "clinica", template)
    with login(postgres, "clinica") as box:
        box.execute("INSERT INTO patient VALUES ('p1')")
    make_box(cluster, "clinica", template)
    with login(postgres, "clinica") as box:
        assert box.execute("SELECT count(*) FROM patient").fetchone() == (1,)
    seen = cluster.observe("clinica", "box_clinica")
    assert (seen.role_exists, seen.database_exists, seen.complete) == (True, True, True)
    assert seen.size_bytes is not None
    assert seen.size_bytes > 1_000_000
    for _ in range(2):
        cluster.drop_database("clinica")
        cluster.drop_role("box_clinica")
    gone = cluster.observe("clinica", "box_clinica")
    assert (gone.role_exists, gone.database_exists, gone.complete) == (False, False, False)


def test_a_changed_password_applies_and_the_old_one_ends(cluster, postgres):
    make_box(cluster, "clinica")
    cluster.ensure_role("box_clinica", "other")
    with pytest.raises(psycopg.OperationalError):
        login(postgres, "clinica")
    with psycopg.connect(postgres.dsn("box_clinica", "other", "clinica")):
        pass


@pytest.mark.parametrize("step", ["_claim", "_isolate", "_hand_over"])
def test_provisioning_cut_short_at_any_step_completes_on_the_next_run(
    cluster, postgres, monkeypatch, step
):
    template = cluster.ensure_template("4.0.1")
    cluster.ensure_role("box_clinica", "secret")

    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PostgresCluster, step, killed)
        with pytest.raises(KeyboardInterrupt):
            cluster.ensure_database("clinica", "box_clinica", template=template)
    assert not cluster.observe("clinica", "box_clinica").complete

    cluster.ensure_database("clinica", "box_clinica", template=template)
    assert cluster.observe("clinica", "box_clinica").complete
    with login(postgres, "clinica") as box:
        box.execute("ALTER TABLE patient ADD COLUMN note text")


def test_deletion_removes_a_half_made_database_as_well(cluster, monkeypatch):
    cluster.ensure_role("box_clinica", "secret")

    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PostgresCluster, "_hand_over", killed)
        with pytest.raises(KeyboardInterrupt):
            cluster.ensure_database("clinica", "box_clinica")
    assert cluster.observe("clinica", "box_clinica").database_exists
    cluster.drop_database("clinica")
    cluster.drop_role("box_clinica")
    with cluster.connect() as admin:
        left = admin.execute("SELECT 1 FROM pg_database WHERE datname = 'clinica'").fetchone()
    assert left is None


def test_a_database_of_somebody_else_is_neither_taken_nor_dropped(cluster, database):
    cluster.ensure_role("box_clinica", "secret")
    with pytest.raises(ProvisioningError, match="did not make"):
        cluster.ensure_database(database.name, "box_clinica")
    with pytest.raises(ProvisioningError, match="did not make"):
        cluster.drop_database(database.name)
    with psycopg.connect(database.dsn) as connection:
        connection.execute("CREATE TABLE still_mine (id int)")


def test_dropping_a_database_ends_its_connections(cluster, postgres):
    make_box(cluster, "clinica")
    with login(postgres, "clinica") as box:
        cluster.drop_database("clinica")
        with pytest.raises(psycopg.OperationalError):
            box.execute("SELECT 1")


def test_a_half_built_template_is_built_again(cluster, postgres, builder):
    broken = PostgresCluster(
        postgres.admin_dsn, python=builder("abcdef12", then="raise SystemExit('no more disk')")
    )
    with pytest.raises(ProvisioningError, match="no more disk"):
        broken.ensure_template("4.0.1")
    template = cluster.ensure_template("4.0.1")
    make_box(cluster, "clinica", template)
    with login(postgres, "clinica") as box:
        box.execute("SELECT * FROM patient")


def test_a_template_of_other_code_replaces_the_old_one_of_the_same_version(
    cluster, postgres, builder
):
    old = cluster.ensure_template("4.0.1")
    other_version = cluster.ensure_template("5.0.0")
    newer = PostgresCluster(postgres.admin_dsn, python=builder("fedcba98"))
    new = newer.ensure_template("4.0.1")
    with cluster.connect() as admin:
        names = {
            name
            for (name,) in admin.execute(
                "SELECT datname FROM pg_database WHERE datistemplate AND datname LIKE 'halebox%'"
            ).fetchall()
        }
    assert names == {new, other_version}
    assert old not in names


def oid(cluster, database):
    with cluster.connect() as admin:
        row = admin.execute("SELECT oid FROM pg_database WHERE datname = %s", [database]).fetchone()
    return row and row[0]


def spares(cluster):
    with cluster.connect() as admin:
        return [
            name
            for (name,) in admin.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE 'halebox!_spare!_%' ESCAPE '!'"
            ).fetchall()
        ]


def test_a_spare_becomes_the_database_of_the_next_box(cluster, postgres):
    template = cluster.ensure_template("4.0.1")
    cluster.ensure_spares("4.0.1", 1)
    cluster.ensure_spares("4.0.1", 1)
    (spare,) = spares(cluster)
    spare_oid = oid(cluster, spare)
    cluster.ensure_role("box_clinica", "secret", connection_limit=7)
    cluster.ensure_database("clinica", "box_clinica", template=template)
    assert oid(cluster, "clinica") == spare_oid
    assert spares(cluster) == []
    assert cluster.observe("clinica", "box_clinica").complete
    with login(postgres, "clinica") as box:
        box.execute("ALTER TABLE patient ADD COLUMN note text")
        others = box.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relowner <> current_user::regrole"
        ).fetchone()
        assert others == (0,)
        limit = box.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user")
        assert limit.fetchone() == (7,)
        assert box.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("1min",)
    make_box(cluster, "clinicb", template)  # without a spare
    for other in ("clinicb", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            login(postgres, "clinica", other)
    cluster.drop_database("clinica")
    cluster.drop_role("box_clinica")
    assert oid(cluster, "clinica") is None


def test_a_spare_cannot_be_logged_in_to_by_any_box(cluster, postgres):
    template = cluster.ensure_template("4.0.1")
    make_box(cluster, "clinica", template)
    cluster.ensure_spares("4.0.1", 1)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        login(postgres, "clinica", spares(cluster)[0])


def test_spares_of_older_code_and_half_made_ones_are_replaced(
    cluster, postgres, builder, monkeypatch
):
    cluster.ensure_spares("4.0.1", 1)
    (old,) = spares(cluster)
    newer = PostgresCluster(postgres.admin_dsn, python=builder("fedcba98"))

    def killed(*_arguments):
        raise KeyboardInterrupt

    newer.ensure_template("4.0.1")
    with monkeypatch.context() as patch:
        patch.setattr(PostgresCluster, "_hand_over", killed)
        with pytest.raises(KeyboardInterrupt):
            newer.ensure_spares("4.0.1", 1)
    (half,) = spares(cluster)
    newer.ensure_spares("4.0.1", 2)
    fresh = spares(cluster)
    assert len(fresh) == 2
    assert {old, half}.isdisjoint(fresh)
    template = newer.ensure_template("4.0.1")
    cluster.ensure_role("box_clinica", "secret")
    cluster.ensure_database("clinica", "box_clinica", template=template)
    assert len(spares(cluster)) == 1


def test_a_role_that_owns_something_gets_a_database_of_its_own(cluster, postgres):
    template = cluster.ensure_template("4.0.1")
    cluster.ensure_spares("4.0.1", 1)
    cluster.ensure_role("box_clinica", "secret")
    with cluster.connect() as admin:
        admin.execute("CREATE SCHEMA somewhere AUTHORIZATION box_clinica")
    try:
        cluster.ensure_database("clinica", "box_clinica", template=template)
        assert len(spares(cluster)) == 1
        with login(postgres, "clinica") as box:
            box.execute("ALTER TABLE patient ADD COLUMN note text")
    finally:
        with cluster.connect() as admin:
            admin.execute("DROP SCHEMA somewhere")


def test_the_role_that_built_templates_cannot_log_in(cluster, postgres):
    cluster.ensure_template("4.0.1")
    with cluster.connect() as admin:
        row = admin.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'halebox_template'"
        ).fetchone()
    assert row == (False,)


def test_a_role_with_rights_of_its_own_is_never_taken_over(cluster):
    with cluster.connect() as admin:
        admin.execute("CREATE ROLE box_mighty SUPERUSER")
    with pytest.raises(ProvisioningError, match="rights that no box may have"):
        cluster.ensure_role("box_mighty", "secret")


def test_an_administrator_without_superuser_rights_suffices(cluster, postgres, builder):
    with cluster.connect() as admin:
        admin.execute("DROP ROLE IF EXISTS managed")
        admin.execute("CREATE ROLE managed LOGIN CREATEDB CREATEROLE PASSWORD 'secret'")
        admin.execute("GRANT CONNECT ON DATABASE postgres TO managed")
    managed = PostgresCluster(
        postgres.dsn("managed", "secret", "postgres"), python=builder("abcdef34")
    )
    template = managed.ensure_template("4.0.1")
    managed.ensure_spares("4.0.1", 1)
    assert spares(cluster) == [], "only a superuser may adopt one"
    make_box(managed, "clinicm", template)
    with login(postgres, "clinicm") as box:
        box.execute("ALTER TABLE patient ADD COLUMN note text")
    with login(postgres, "clinicm"):
        managed.drop_database("clinicm")
    managed.drop_role("box_clinicm")
    assert not managed.observe("clinicm", "box_clinicm").role_exists
    with cluster.connect() as admin:
        admin.execute(
            sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(sql.Identifier(template))
        )
        cluster.drop_database(template)
        cluster.drop_role("halebox_template")
        admin.execute("DROP OWNED BY managed")
        admin.execute("DROP ROLE managed")


def test_an_unreachable_server_is_an_error_without_the_password():
    cluster = PostgresCluster("postgresql://admin:hush@127.0.0.1:1/postgres")
    with pytest.raises(ProvisioningError) as caught:
        cluster.observe("clinica", "box_clinica")
    assert "hush" not in str(caught.value)
