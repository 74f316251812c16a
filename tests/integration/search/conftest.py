"""A prepared database with the rows of `data`, filled once; the tests here only read it."""

from __future__ import annotations

import base64
import json
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg
import httpx
import psycopg
import pytest
import pytest_asyncio

from boxruntime.app import create_application
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.search.parse import SearchOptions, parse_search
from boxruntime.http.target import parse_query
from boxruntime.settings import BoxSettings
from boxruntime.storage.schema import schema_ddl
from boxruntime.storage.search.compile import compile_search
from boxruntime.storage.search.indexes import type_indexes
from boxruntime.storage.search.run import prepare_query
from tests.in_process import InProcess
from tests.integration.search.data import ROWS

if TYPE_CHECKING:
    from infra.local.postgres import PostgresServer

NAME = "search"
OPTIONS = SearchOptions(bases=("http://box.example", "https://box.example"))


@pytest.fixture(scope="session")
def metadata():
    return base_metadata("4.0.1")


@pytest.fixture(scope="session")
def search_dsn(postgres: PostgresServer, metadata) -> str:
    """The address of the database, as its owner."""
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {NAME} LOGIN PASSWORD '{NAME}'")
        admin.execute(f"CREATE DATABASE {NAME} OWNER {NAME}")
    dsn = postgres.dsn(NAME, NAME, NAME)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(schema_ddl(ROWS))
        functions = resources.files("boxruntime.storage").joinpath("functions.sql")
        connection.execute(functions.read_text())
        for type_name in ROWS:
            for statement in type_indexes(metadata, type_name):
                connection.execute(statement)
        number = 0
        for type_name, rows in ROWS.items():
            for id_, resource in rows.items():
                number += 1
                connection.execute(
                    f'INSERT INTO "{type_name.lower()}" (id, txid, ts, cts, status, resource) '
                    "VALUES (%s, %s, %s, %s, 'created', %s)",
                    (
                        id_,
                        number,
                        f"2020-01-{min(number, 28):02}T00:00:00Z",
                        "2019-01-01T00:00:00Z",
                        json.dumps(resource),
                    ),
                )
    return dsn


@pytest_asyncio.fixture(scope="session")
async def connection(search_dsn: str):
    """A connection to the database."""
    opened = await asyncpg.connect(search_dsn)
    yield opened
    await opened.close()


class Connection:
    """What runs statements elsewhere, over one connection."""

    def __init__(self, connection) -> None:
        self._connection = connection

    async def run(self, sql: str, *parameters):
        return await self._connection.fetch(sql, *parameters)

    run_planned = run


@pytest.fixture
def search(connection, metadata):
    """Run "Type?query" and return the ids on the page, in order."""

    async def run(url: str, dialect: Dialect = Dialect.FHIR, *, strict: bool = True) -> list[str]:
        type_name, _, text = url.partition("?")
        query = parse_search(
            metadata,
            type_name or None,
            parse_query(text.encode()),
            dialect,
            strict=strict,
            options=OPTIONS,
        )
        statement = compile_search(await prepare_query(Connection(connection), query))
        records = await connection.fetch(statement.sql, *statement.parameters)
        return [record["id"] for record in records]

    return run


BASE = "http://box.example"
BOX = "search_http"


@pytest_asyncio.fixture(scope="session")
async def client(postgres, tmp_path_factory):
    """A client of a whole box with the same rows, in a database of its own."""
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {BOX} LOGIN PASSWORD '{BOX}'")
        admin.execute(f"CREATE DATABASE {BOX} OWNER {BOX}")
    settings = BoxSettings.from_environment(
        {
            "AIDBOX_BASE_URL": BASE,
            "AIDBOX_LOGS": str(tmp_path_factory.mktemp("search") / "box.log"),
            "AIDBOX_CLIENT_ID": "root",
            "AIDBOX_CLIENT_SECRET": "secret-of-tests",
            "PGHOST": str(postgres.socket_directory),
            "PGPORT": str(postgres.port),
            "PGUSER": BOX,
            "PGPASSWORD": BOX,
            "PGDATABASE": BOX,
        }
    )
    application = create_application(settings)
    await application.startup()
    with psycopg.connect(postgres.dsn(BOX, BOX, BOX), autocommit=True) as connection:
        for type_name, rows in ROWS.items():
            for id_, resource in rows.items():
                connection.execute(
                    f'INSERT INTO "{type_name.lower()}" (id, txid, status, resource) '
                    "VALUES (%s, nextval('transaction_id_seq'), 'created', %s)",
                    (id_, json.dumps(resource)),
                )
    authorization = "Basic " + base64.b64encode(b"root:secret-of-tests").decode()
    async with httpx.AsyncClient(
        transport=InProcess(application),
        base_url=BASE,
        headers={"authorization": authorization},
    ) as opened:
        yield opened
    await application.shutdown()
