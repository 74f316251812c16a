"""A real box in the test process: the application on a database of its own, spoken to over HTTP.

One prepared template database per run makes the databases; most tests share one box. A test that
leaves an unexpected error in the box's log fails.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import psycopg
import pytest
from psycopg import sql

from boxruntime.app import Application, create_application, layout_for
from boxruntime.settings import BoxSettings
from boxruntime.storage.prepare import ensure_prepared
from tests.in_process import InProcess, exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from infra.local.postgres import PostgresServer

ROOT = ("root", "secret")
ACCESS_KEY = "ab" * 32
BASE_URL = "http://box.test"
FHIR_VERSION = "4.0.1"


@dataclass(frozen=True)
class BoxDatabases:
    """Makes prepared databases; they and their role end with the run."""

    postgres: PostgresServer
    role: str
    password: str
    template: str

    def create(self) -> str:
        """Return the name of a new prepared database."""
        name = f"test_box_{secrets.token_hex(6)}"
        self._admin(
            "CREATE DATABASE {name} TEMPLATE {template} OWNER {role} STRATEGY wal_log", name=name
        )
        return name

    def create_empty(self) -> str:
        """Return the name of a new database without anything, as a single server may get."""
        name = f"test_box_{secrets.token_hex(6)}"
        self._admin("CREATE DATABASE {name} OWNER {role}", name=name)
        return name

    def drop(self, name: str) -> None:
        self._admin("DROP DATABASE IF EXISTS {name} WITH (FORCE)", name=name)

    def environment(self, name: str) -> dict[str, str]:
        """Return the PG* variables of a box on the database."""
        return {
            "PGHOST": str(self.postgres.socket_directory),
            "PGPORT": str(self.postgres.port),
            "PGUSER": self.role,
            "PGPASSWORD": self.password,
            "PGDATABASE": name,
        }

    def _admin(self, statement: str, **names: str) -> None:
        words = {key: sql.Identifier(value) for key, value in names.items()}
        words |= {"template": sql.Identifier(self.template), "role": sql.Identifier(self.role)}
        with psycopg.connect(self.postgres.admin_dsn, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(**words))


@pytest.fixture(scope="session")
def box_databases(postgres: PostgresServer) -> Iterator[BoxDatabases]:
    """Databases as a new box has them."""
    word = secrets.token_hex(6)
    databases = BoxDatabases(postgres, f"box_{word}", secrets.token_urlsafe(16), f"template_{word}")
    names = {"role": sql.Identifier(databases.role), "name": sql.Identifier(databases.template)}
    password = sql.Literal(databases.password)
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {role} LOGIN CREATEDB PASSWORD {password}").format(
                password=password, **names
            )
        )
        admin.execute(sql.SQL("CREATE DATABASE {name} OWNER {role}").format(**names))
    asyncio.run(_prepare(databases))
    yield databases
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))
        admin.execute(sql.SQL("DROP ROLE {role}").format(**names))


async def _prepare(databases: BoxDatabases) -> None:
    connection = await asyncpg.connect(
        databases.postgres.dsn(databases.role, databases.password, databases.template)
    )
    await ensure_prepared(connection, layout_for(FHIR_VERSION))
    await connection.close()


class RunningBox:
    """A box that answers: `client` speaks to it as its root client."""

    def __init__(self, application: Application, environment: dict[str, str], first: int) -> None:
        self.application = application
        self.environment = environment
        self.log = Path(environment["AIDBOX_LOGS"])
        self.client = self.client_of(ROOT)
        self._first = first

    def client_of(self, auth: tuple[str, str] | None = None, **options: Any) -> httpx.AsyncClient:
        """Return another client of the box; without `auth` it is anonymous."""
        transport = InProcess(self.application)
        return httpx.AsyncClient(transport=transport, base_url=BASE_URL, auth=auth, **options)

    async def sql(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        """Run a statement behind the box's back."""
        connection = await connect(self.environment)
        try:
            return await connection.fetch(statement, *parameters)
        finally:
            await connection.close()

    async def raw(
        self, method: str, target: bytes, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        """Send exactly this target: no client library tidies it up on the way."""
        sent = {"host": "box.test", "authorization": BASIC, **(headers or {})}
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
        response = await exchange(self.application, method, target, pairs, body)
        answered = {k.decode().lower(): v.decode("latin-1") for k, v in response.headers}
        return response.status, answered, response.body

    async def forget_everything(self) -> None:
        """Delete all rows written since the start, as test tooling of clients does."""
        await self.sql(_CLEAN.format(since=self._first))
        await self.application.reload(None)

    def expect_errors(self) -> list[dict[str, Any]]:
        """Return the errors of the log and forget them: the test meant them to happen."""
        found = self.errors()
        self.log.write_text("")
        return found

    def errors(self) -> list[dict[str, Any]]:
        """Return the events of the log that a person must look at."""
        return [event for event in self.events() if event.get("lvl") in {"error", "panic"}]

    def events(self, **fields: Any) -> list[dict[str, Any]]:
        """Return the events of the log that have these fields."""
        self.application.log.drain()
        events = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [event for event in events if fields.items() <= event.items()]


BASIC = httpx.BasicAuth(*ROOT)._auth_header


_CLEAN = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT table_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'txid'
    AND table_name NOT IN ('client', 'accesspolicy') LOOP -- the root client stays
    EXECUTE format('DELETE FROM %I WHERE txid > {since}', name);
  END LOOP;
END $$
"""


async def connect(environment: dict[str, str]) -> asyncpg.Connection:
    """Open a connection to the database that the PG* variables name."""
    return await asyncpg.connect(
        host=environment["PGHOST"],
        port=int(environment["PGPORT"]),
        user=environment["PGUSER"],
        password=environment["PGPASSWORD"],
        database=environment["PGDATABASE"],
    )


def box_environment(databases: BoxDatabases, name: str, log: Path) -> dict[str, str]:
    """Return the variables of a test box on a database."""
    return {
        "AIDBOX_CLIENT_ID": ROOT[0],
        "AIDBOX_CLIENT_SECRET": ROOT[1],
        "AIDBOX_BASE_URL": BASE_URL,
        "AIDBOX_LOGS": str(log),
        "BOX_ACCESS_KEY": ACCESS_KEY,
        "BOX_PARTICIPANTS": '[{"user": "7", "role": "owner"}]',
        **databases.environment(name),
    }


@asynccontextmanager
async def running_box(environment: dict[str, str]) -> AsyncIterator[RunningBox]:
    """Start an application and stop it; an unexpected error in its log fails."""
    application = create_application(BoxSettings.from_environment(environment))
    await application.startup()
    (row,) = await application.database.run("SELECT last_value FROM transaction_id_seq")
    running = RunningBox(application, environment, row["last_value"])
    yield running
    await running.client.aclose()
    await application.shutdown()
    assert running.errors() == []


@pytest.fixture(scope="session")
async def box(
    box_databases: BoxDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningBox]:
    """A box for all tests, which use ids of their own."""
    log = tmp_path_factory.mktemp("box") / "box.log"
    name = box_databases.create()
    try:
        async with running_box(box_environment(box_databases, name, log)) as running:
            yield running
    finally:
        box_databases.drop(name)


@pytest.fixture
async def new_box(box_databases: BoxDatabases, tmp_path: Path) -> AsyncIterator[RunningBox]:
    """A box with a database of its own, for a test that changes what every box has."""
    name = box_databases.create()
    try:
        async with running_box(
            box_environment(box_databases, name, tmp_path / "new.log")
        ) as running:
            yield running
    finally:
        box_databases.drop(name)


@pytest.fixture
async def own_box(box: RunningBox) -> AsyncIterator[RunningBox]:
    """The box without anything that other tests wrote; what this one writes goes as well."""
    await box.forget_everything()
    yield box
    await box.forget_everything()


@pytest.fixture
def make_box(
    box: RunningBox, tmp_path: Path
) -> Callable[..., AbstractAsyncContextManager[RunningBox]]:
    """`async with make_box(BOX_…="…") as box`: another process's view of the same database."""

    def make(**environment: str) -> AbstractAsyncContextManager[RunningBox]:
        more = {"AIDBOX_LOGS": str(tmp_path / "box.log"), **environment}
        return running_box({**box.environment, **more})

    return make
