"""The servers of the local edition, as the test fixtures start them."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis

from infra.local.ports import any_free_port
from infra.local.problems import SetupError
from infra.local.service import Running

if TYPE_CHECKING:
    from infra.local.postgres import PostgresServer
    from tests.fixtures_services import TestDatabase


def test_a_fresh_database_belongs_to_its_own_role(database: TestDatabase):
    with psycopg.connect(database.dsn) as connection:
        row = connection.execute("SELECT current_user, current_database()").fetchone()
    assert row == (database.role, database.name)


def test_postgresql_demands_the_password_on_socket_and_loopback(database: TestDatabase):
    for host in (database.host, "127.0.0.1"):
        options = {
            "host": host,
            "port": database.port,
            "user": database.role,
            "dbname": database.name,
        }
        with psycopg.connect(**options, password=database.password):
            pass
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**options, password="wrong")


def test_postgresql_sorts_by_code_point_and_logs_no_values(postgres: PostgresServer):
    with psycopg.connect(postgres.admin_dsn) as connection:
        provider = connection.execute(
            "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'postgres'"
        ).fetchone()
        assert connection.execute("SHOW log_min_error_statement").fetchone() == ("panic",)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    assert provider == ("b", "C.UTF-8")


def test_ensuring_an_existing_cluster_changes_nothing(postgres: PostgresServer):
    assert postgres.ensure_cluster() == postgres


def test_a_cluster_of_another_major_version_is_refused_with_a_sentence(
    postgres: PostgresServer, service_directory
):
    home = service_directory / "older"
    (home / "data").mkdir(parents=True)
    (home / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(SetupError, match="is of PostgreSQL 9 but"):
        dataclasses.replace(postgres, home=home).ensure_cluster()


def test_valkey_answers_only_with_the_password(valkey_url: str):
    with redis.Redis.from_url(valkey_url) as client:
        assert client.ping()
    address = "redis://127.0.0.1:" + valkey_url.rsplit(":", 1)[1]
    with redis.Redis.from_url(address) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_a_server_whose_keeper_was_killed_is_ended_before_the_next_start(
    postgres: PostgresServer, service_directory
):
    server = dataclasses.replace(
        postgres, home=service_directory / "forgotten", port=any_free_port()
    ).ensure_cluster()
    log = service_directory / "forgotten.log"
    forgotten = Running(server.service(), log)
    server.stop_forgotten()
    assert forgotten.process.wait(10) == 0
    server.stop_forgotten()  # nobody there
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n")
    server.stop_forgotten()  # somebody else
    (server.data / "postmaster.pid").unlink()
    with Running(server.service(), log):
        assert server.answers()
