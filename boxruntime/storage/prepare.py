"""Make a database into a box database, or bring one up to date. Safe to repeat and to interrupt.

Everything happens in one transaction under an advisory lock, so that two processes that start
together prepare once and a killed one leaves nothing half-made.
Source: core specification, "Storage model"; platform specification, "Environment variables".
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.storage.schema import FORMAT, schema_ddl
from boxruntime.storage.statements import quoted_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import asyncpg

_LOCK = 0x48_41_4C_45  # one number that all processes of all versions agree on


class BaseRow(NamedTuple):
    """A built-in meta-resource, stored with txid 0."""

    resource_type: str
    id: str
    resource: dict[str, Any]


class Layout(NamedTuple):
    """All that a box database of one FHIR version holds before anybody writes to it.

    `fingerprint`: 16 hex digits that change whenever the prepared database would. It is made
    once, before processes are forked: looking at 8,000 rows in each of them would cost 27 ms
    and unshare their memory.
    """

    fhir_version: str
    script: str
    """Repeatable DDL."""
    base_rows: Sequence[BaseRow]
    fingerprint: str


def make_layout(
    fhir_version: str,
    *,
    resource_types: Sequence[str],
    base_rows: Sequence[BaseRow],
    indexes: Sequence[str],
) -> Layout:
    """Return the layout of a FHIR version with these types, built-in rows and indexes."""
    functions = resources.files("boxruntime.storage").joinpath("functions.sql").read_text()
    statements = "".join(f"{index};\n" for index in indexes)
    script = f"{schema_ddl(resource_types)}\n{functions}\n{statements}"
    digest = hashlib.sha256(f"{FORMAT}\n{fhir_version}\n{script}".encode())
    for row in base_rows:
        digest.update(encode_json([row.resource_type, row.id, row.resource]))
    return Layout(fhir_version, script, base_rows, digest.hexdigest()[:16])


class WrongDatabaseError(Exception):
    """The database belongs to something else; `str(error)` is a sentence for the operator."""


async def ensure_prepared(connection: asyncpg.Connection, layout: Layout) -> bool:
    """Prepare the database unless it is as `layout` wants it; tell whether anything was done.

    Raises WrongDatabaseError for a database of another FHIR version or a newer format.
    """
    if await _is_current(connection, layout):
        return False
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        if await _is_current(connection, layout):
            return False
        # Several DDL scripts of one version are one simple query: no round trip per table.
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute(layout.script)
        await _write_base_rows(connection, layout.base_rows)
        # An unused sequence reads last_value 1, which would hide the first write from
        # "txid > last_value" logic of clients.
        await connection.execute(
            "SELECT nextval('transaction_id_seq') "
            "WHERE NOT (SELECT is_called FROM transaction_id_seq)"
        )
        await connection.execute(
            "INSERT INTO _box (id, resource) VALUES ('format', $1::text::jsonb) "
            "ON CONFLICT (id) DO UPDATE SET resource = excluded.resource",
            encode_json(
                {
                    "format": FORMAT,
                    "fhirVersion": layout.fhir_version,
                    "fingerprint": layout.fingerprint,
                }
            ).decode(),
        )
    return True


async def _is_current(connection: asyncpg.Connection, layout: Layout) -> bool:
    if await connection.fetchval("SELECT to_regclass('_box') IS NULL"):
        foreign = await connection.fetchval(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'v', 'm', 'p') "
            "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"
        )
        if foreign:
            raise WrongDatabaseError(
                "The database is not empty and holds no box: give the box a database of its own."
            )
        return False
    text = await connection.fetchval("SELECT resource::text FROM _box WHERE id = 'format'")
    found = decode_json(text) if text else {}
    version = found.get("fhirVersion")
    if version is not None and version != layout.fhir_version:
        raise WrongDatabaseError(
            f"The database holds a box of FHIR {version}; the version of a box cannot be changed."
        )
    if found.get("format", FORMAT) > FORMAT:
        raise WrongDatabaseError("The database was written by a newer release.")
    return bool(found.get("fingerprint") == layout.fingerprint)


async def _write_base_rows(connection: asyncpg.Connection, rows: Iterable[BaseRow]) -> None:
    """Replace the built-in rows; rows that people changed (txid > 0) stay as they are."""
    by_type: dict[str, list[BaseRow]] = {}
    for row in rows:
        by_type.setdefault(row.resource_type, []).append(row)
    for resource_type, group in by_type.items():
        table = quoted_table(resource_type)
        ids = [row.id for row in group]
        documents = [encode_json(row.resource).decode() for row in group]
        await connection.execute(
            f"DELETE FROM {table} WHERE txid = 0 AND NOT id = ANY($1::text[])", ids
        )
        await connection.execute(
            f"INSERT INTO {table} AS t (id, txid, status, resource) "
            "SELECT new.id, 0, 'created', new.document::jsonb "
            "FROM unnest($1::text[], $2::text[]) AS new(id, document) "
            "ON CONFLICT (id) DO UPDATE SET resource = excluded.resource "
            "WHERE t.txid = 0 AND t.resource <> excluded.resource",
            ids,
            documents,
        )
