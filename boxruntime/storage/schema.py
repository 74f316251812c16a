"""The tables of a box database, as SQL text. On-disk format 1; see docs/storage.md.

One table pair per resource type, exactly as users' SQL and client libraries expect it; a trigger
tells every process of the box when meta-resources change.
Source: core specification, "Storage model".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.storage.sequences import SCHEMA
from boxruntime.storage.statements import quoted_table

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1

WATCHED = (
    "AccessPolicy", "AidboxConfig", "AidboxProfile", "App", "Attribute", "Client",
    "CompartmentDefinition", "Entity", "Operation", "Role", "SearchParameter", "User",
)  # fmt: skip
"""Types whose rows the processes keep in memory; each change is announced on CHANGES."""

CHANGES = "box_changes"

BASE = f"""
DO $$ BEGIN
  CREATE TYPE resource_status AS ENUM ('created', 'updated', 'deleted', 'recreated');
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
CREATE SEQUENCE IF NOT EXISTS transaction_id_seq;
CREATE SCHEMA IF NOT EXISTS box;
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
-- What the box knows of itself: row 'self' names its participants, row 'format' this layout.
CREATE TABLE IF NOT EXISTS _box (id text PRIMARY KEY, resource jsonb NOT NULL);
-- One-use tokens that were used, until they expire.
CREATE TABLE IF NOT EXISTS box.spent_token (jti text PRIMARY KEY, expires timestamptz NOT NULL);
-- Scripts of /db/migrations that ran, in their order.
CREATE TABLE IF NOT EXISTS box.migration (
  id text PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY,
  ts timestamptz NOT NULL DEFAULT clock_timestamp(),
  sql text NOT NULL
);
CREATE OR REPLACE FUNCTION box.announce_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('{CHANGES}', TG_TABLE_NAME);
  RETURN NULL;
END $$;
"""


def table_ddl(resource_type: str) -> str:
    """Return the repeatable DDL of one type's table pair."""
    return ";".join(table_statements(resource_type)) + ";"


def table_statements(resource_type: str) -> tuple[str, str]:
    """Return the same one statement each, for a connection that runs them prepared."""
    table = quoted_table(resource_type)
    history = quoted_table(resource_type + "_history")
    literal = "'" + resource_type.replace("'", "''") + "'"
    return (
        f"""
CREATE TABLE IF NOT EXISTS {table} (
  id text PRIMARY KEY,
  txid bigint NOT NULL,
  ts timestamptz DEFAULT CURRENT_TIMESTAMP,
  cts timestamptz DEFAULT CURRENT_TIMESTAMP,
  resource_type text DEFAULT {literal},
  status resource_status NOT NULL,
  resource jsonb NOT NULL
)""",
        f"""
CREATE TABLE IF NOT EXISTS {history} (LIKE {table} INCLUDING DEFAULTS, PRIMARY KEY (id, txid))""",
    )


def watch_ddl(resource_type: str) -> str:
    """Return the repeatable DDL of the trigger that announces changes of one type."""
    table = quoted_table(resource_type)
    return f"""
CREATE OR REPLACE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION box.announce_change();
"""


def schema_ddl(resource_types: Iterable[str]) -> str:
    """Return one repeatable script for all given types."""
    names = sorted(resource_types)
    watched = [name for name in WATCHED if name in names]
    return BASE + "".join(map(table_ddl, names)) + "".join(map(watch_ddl, watched))
