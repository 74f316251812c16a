"""The SQL of single resources, written once per table.

Every write is one statement that draws its version from `transaction_id_seq`; inside a Bundle
the version and the time come as parameters ($txid, $ts) instead, for all entries share them.

The row is locked before it is copied: without FOR UPDATE two concurrent updates copy the same
stale version to history, which was seen within seconds of load.

A transaction draws its version before it holds any lock, so another writer may have given a row a
higher one meanwhile. Then, and for a second write to one row, the row takes a fresh version:
otherwise its versions would not rise with time. For the same reason a create and a delete of one id
follow one another by an advisory lock: a create that waits for a row to be deleted would go on
with the version it drew before. Not inside of transactions, whose locks would fill the lock table.
Source: core specification, "Storage model".
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import msgspec

from boxruntime.storage.rows import COLUMNS


class Statements(msgspec.Struct, frozen=True):
    """All statements of one table; parameters are named in the comments of `statements_for`."""

    read: str
    read_many: str
    version: str
    ever: str
    create: str
    create_fresh: str
    create_fresh_many: str
    create_many: str
    update: str
    update_many: str
    delete: str
    forget: str
    versions: str
    lock: str
    existing: str


def quoted_table(resource_type: str) -> str:
    """Return the quoted table name of a resource type: Patient -> "patient"."""
    return '"' + resource_type.lower().replace('"', '""') + '"'


@lru_cache(maxsize=4096)
def statements_for(resource_type: str, *, keeps_history: bool = True) -> Statements:
    """Return the statements of one resource type."""
    table = quoted_table(resource_type)
    history = quoted_table(resource_type + "_history")
    row = "id, txid, ts, cts, resource_type, status, resource"
    # `resource_type` may be absent from the INSERT: its default is the table's own type.
    old = f"old AS MATERIALIZED (SELECT {row} FROM {table} WHERE id = $1 FOR UPDATE)"
    seed = zlib.crc32(table.encode())
    gate = (
        "gate AS MATERIALIZED (SELECT CASE WHEN {when} "
        f"THEN pg_advisory_xact_lock(hashtextextended($1, {seed}))::text END AS held)"
    )
    old_behind_gate = (
        f"{gate.format(when='$2::bigint IS NULL')}, old AS MATERIALIZED (SELECT {row} "
        f"FROM gate, {table} AS t WHERE t.id = $1 FOR UPDATE OF t)"
    )
    txid = "CASE WHEN $2::bigint > coalesce({before}, -1) THEN $2 ELSE nextval('transaction_id_seq') END"
    ts = "CASE WHEN $2::bigint > coalesce({before}, -1) THEN $3::timestamptz ELSE clock_timestamp() END"
    stamp = (
        f"stamp AS (SELECT {txid.format(before='old.txid')} AS txid, "
        f"{ts.format(before='old.txid')} AS ts FROM old "
        "WHERE $4::bigint[] IS NULL OR old.txid = ANY($4::bigint[]))"
    )
    past = f"(SELECT max(txid) FROM {history} WHERE id = {{id}})"
    keep = (
        f", kept AS (INSERT INTO {history} ({row}) SELECT old.* FROM old, stamp)"
        if keeps_history
        else ""
    )
    keep_many = (
        f", kept AS (INSERT INTO {history} ({row}) SELECT old.* FROM old)" if keeps_history else ""
    )
    keep_deleted = (
        f", gone AS (INSERT INTO {history} ({row}) SELECT old.id, stamp.txid, stamp.ts, old.cts, "
        "old.resource_type, 'deleted', old.resource FROM old, stamp)"
        if keeps_history
        else ""
    )
    return Statements(
        # $1 id
        read=f"SELECT {COLUMNS} FROM {table} WHERE id = $1",
        # $1 ids
        read_many=f"SELECT {COLUMNS} FROM {table} WHERE id = ANY($1::text[])",
        # $1 id, $2 txid
        version=(
            f"SELECT {COLUMNS} FROM {table} WHERE id = $1 AND txid = $2 UNION ALL "
            f"SELECT {COLUMNS} FROM {history} WHERE id = $1 AND txid = $2 LIMIT 1"
        ),
        # $1 id -> a row if the id was ever used
        ever=f"SELECT 1 FROM {history} WHERE id = $1 LIMIT 1",
        # $1 id that nobody knows yet, $2 txid, $3 ts, $4 document
        create_fresh=(
            "WITH stamp AS (SELECT coalesce($2::bigint, nextval('transaction_id_seq')) AS txid, "
            "coalesce($3::timestamptz, clock_timestamp()) AS ts) "
            f"INSERT INTO {table} (id, txid, ts, cts, status, resource) "
            "SELECT $1, stamp.txid, stamp.ts, stamp.ts, 'created', $4::text::jsonb FROM stamp "
            "ON CONFLICT (id) DO NOTHING RETURNING txid, ts, cts, status::text AS status"
        ),
        # $1 ids that nobody knows yet, $2 documents; each row draws a version of its own
        create_fresh_many=(
            "WITH sent AS MATERIALIZED (SELECT id, document, nextval('transaction_id_seq') AS txid, "
            "clock_timestamp() AS ts FROM unnest($1::text[], $2::text[]) AS sent(id, document)) "
            f"INSERT INTO {table} (id, txid, ts, cts, status, resource) "
            "SELECT id, txid, ts, ts, 'created', document::jsonb FROM sent "
            "ON CONFLICT (id) DO NOTHING RETURNING id, txid, ts, cts, status::text AS status"
        ),
        # $1 id, $2 txid, $3 ts, $4 document
        create=(
            f"WITH {gate.format(when='$2::bigint IS NULL')}, "
            f"past AS MATERIALIZED (SELECT coalesce({past.format(id='$1')}, "
            f"(SELECT txid FROM {table} WHERE id = $1)) AS txid FROM gate), "
            f"stamp AS (SELECT {txid.format(before='past.txid')} AS txid, "
            f"{ts.format(before='past.txid')} AS ts, past.txid AS past FROM past) "
            f"INSERT INTO {table} (id, txid, ts, cts, status, resource) "
            "SELECT $1, stamp.txid, stamp.ts, stamp.ts, CASE WHEN stamp.past IS NULL "
            "THEN 'created' ELSE 'recreated' END::resource_status, $4::text::jsonb FROM stamp "
            "ON CONFLICT (id) DO NOTHING RETURNING txid, ts, cts, status::text AS status"
        ),
        # $1 ids, $2 txid, $3 ts, $4 documents; answers the ids that were free
        create_many=(
            f"WITH new AS MATERIALIZED (SELECT sent.*, {past.format(id='sent.id')} AS past "
            "FROM unnest($1::text[], $4::text[]) AS sent(id, document)), "
            f"stamp AS MATERIALIZED (SELECT new.*, {txid.format(before='new.past')} AS txid, "
            f"{ts.format(before='new.past')} AS ts FROM new) "
            f"INSERT INTO {table} (id, txid, ts, cts, status, resource) "
            "SELECT id, txid, ts, ts, CASE WHEN past IS NULL THEN 'created' ELSE 'recreated' END"
            "::resource_status, document::jsonb FROM stamp "
            "ON CONFLICT (id) DO NOTHING RETURNING id, txid, ts, cts, "
            "status::text AS status"
        ),
        # $1 id, $2 txid, $3 ts, $4 accepted versions or NULL, $5 document
        update=(
            f"WITH {old}, {stamp}{keep}, new AS ("
            f"UPDATE {table} AS t SET txid = stamp.txid, ts = stamp.ts, status = 'updated', "
            "resource = $5::text::jsonb FROM stamp WHERE t.id = $1 "
            "RETURNING t.txid, t.ts, t.cts, t.status::text AS status) "
            "SELECT old.txid AS old_txid, new.txid, new.ts, new.cts, new.status "
            "FROM old LEFT JOIN new ON true"
        ),
        # $1 ids, each once, $2 txid, $3 ts, $4 documents; answers the ids that exist
        update_many=(
            "WITH sent AS MATERIALIZED (SELECT * FROM unnest($1::text[], $4::text[]) "
            "AS sent(id, document)), "
            f"old AS MATERIALIZED (SELECT {row} FROM {table} WHERE id = ANY($1::text[]) "
            "ORDER BY id FOR UPDATE), "
            f"stamp AS MATERIALIZED (SELECT old.id, {txid.format(before='old.txid')} AS txid, "
            f"{ts.format(before='old.txid')} AS ts FROM old)"
            f"{keep_many} UPDATE {table} AS t SET txid = stamp.txid, ts = stamp.ts, "
            "status = 'updated', resource = sent.document::jsonb FROM stamp JOIN sent USING (id) "
            "WHERE t.id = stamp.id RETURNING t.id, t.txid, t.ts, t.cts, t.status::text AS status"
        ),
        # $1 id, $2 txid, $3 ts, $4 accepted versions or NULL
        delete=(
            f"WITH {old_behind_gate}, {stamp}{keep}{keep_deleted}, gone_row AS ("
            f"DELETE FROM {table} AS t USING stamp WHERE t.id = $1 RETURNING t.id) "
            "SELECT old.id, old.cts, old.resource_type, old.resource::text AS resource, "
            "old.resource ?| '{id,resourceType,meta}' AS overlaps, stamp.txid, stamp.ts, "
            "'deleted' AS status FROM old LEFT JOIN stamp ON true"
        ),
        # $1 id, $2 txid or NULL for all; answers what went. The current version stays, and where
        # the resource is deleted that is its deletion.
        forget=(
            f"DELETE FROM {history} WHERE id = $1 AND ($2::bigint IS NULL OR txid = $2) "
            f"AND txid < coalesce((SELECT txid FROM {table} WHERE id = $1), {past.format(id='$1')}) "
            "RETURNING txid"
        ),
        # all versions; the caller appends WHERE, ORDER and LIMIT
        versions=(
            f"SELECT {COLUMNS} FROM (SELECT {row} FROM {table} UNION ALL "
            f"SELECT {row} FROM {history}) AS v"
            if keeps_history
            else f"SELECT {COLUMNS} FROM {table} AS v"
        ),
        # $1 ids; locks those that exist, in an order that all transactions have
        lock=f"SELECT id, txid FROM {table} WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE",
        # $1 ids -> those that exist
        existing=f"SELECT id FROM {table} WHERE id = ANY($1::text[])",
    )
