"""Real servers for tests: one PostgreSQL and one Valkey per session, one database per test.

They are started by the code of `make up` in a temporary directory. PostgreSQL runs without
fsync here: a test that ends a process by force still finds every commit in the kernel's cache.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from infra.local.accounts import server_account
from infra.local.ports import any_free_port
from infra.local.postgres import PostgresServer, find_programs
from infra.local.service import Running
from infra.local.valkey import ValkeyServer, find_program

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class TestDatabase:
    """An empty database that belongs to its own role."""

    __test__ = False

    name: str
    role: str
    password: str
    host: str
    """Directory of PostgreSQL's unix socket."""
    port: int
    dsn: str

    @property
    def environment(self) -> dict[str, str]:
        """Return the PG* variables of a program that shall use the database."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.role,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.name,
        }


@pytest.fixture(scope="session")
def service_directory() -> Iterator[Path]:
    """A short directory that PostgreSQL's account can enter; pytest's own is closed to it."""
    directory = Path(tempfile.mkdtemp(prefix="halebox-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(service_directory: Path) -> Iterator[PostgresServer]:
    """A running PostgreSQL: `.admin_dsn`, `.socket_directory`, `.port`, `.dsn(role, pw, db)`."""
    server = PostgresServer(
        home=service_directory / "postgresql",
        socket_directory=service_directory / "pgsocket",
        port=any_free_port(),
        password=secrets.token_urlsafe(16),
        account=server_account(),
        programs=find_programs(),
        settings={"fsync": "off", "shared_buffers": "64MB", "max_connections": "200"},
    ).ensure_cluster()
    with Running(server.service(), service_directory / "postgresql.log"):
        yield server


@pytest.fixture(scope="session")
def valkey_url(service_directory: Path) -> Iterator[str]:
    """URL of a running, empty Valkey for redis-py and Celery."""
    server = ValkeyServer(
        home=service_directory / "valkey",
        port=any_free_port(),
        password=secrets.token_urlsafe(16),
        program=find_program(),
    )
    server.ensure_configured()
    with Running(server.service(), service_directory / "valkey.log"):
        yield server.url


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[TestDatabase]:
    """A fresh empty database and its role; both are dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    password = secrets.token_urlsafe(16)
    words = {"name": sql.Identifier(name), "password": sql.Literal(password)}
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {name} LOGIN PASSWORD {password}").format(**words))
        admin.execute(sql.SQL("CREATE DATABASE {name} OWNER {name}").format(**words))
    yield TestDatabase(
        name=name,
        role=name,
        password=password,
        host=str(postgres.socket_directory),
        port=postgres.port,
        dsn=postgres.dsn(name, password, name),
    )
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**words))
        admin.execute(sql.SQL("DROP ROLE {name}").format(**words))
