"""Source: core specification, "Storage model"."""

from __future__ import annotations

import pytest

from boxruntime.api.entities import MAX_NAME
from boxruntime.fhir.metadata import base_metadata
from boxruntime.storage.schema import WATCHED, schema_ddl, table_ddl
from boxruntime.storage.search.indexes import type_indexes
from boxruntime.storage.statements import quoted_table, statements_for

METADATA = base_metadata("4.0.1")


def test_names_are_lower_case_and_quoted():
    assert quoted_table("FamilyMemberHistory") == '"familymemberhistory"'
    assert quoted_table('x"y') == '"x""y"'


def test_a_type_has_two_tables():
    script = table_ddl("Goal")
    assert 'CREATE TABLE IF NOT EXISTS "goal" (' in script
    assert (
        'CREATE TABLE IF NOT EXISTS "goal_history" (LIKE "goal" INCLUDING DEFAULTS, PRIMARY KEY (id, txid))'
        in script
    )
    assert "DEFAULT 'Goal'" in script


def test_what_is_kept_in_memory_is_watched():
    script = schema_ddl(METADATA.resource_types)
    for name in ("Entity", "Attribute", "Client", "AccessPolicy"):
        assert name in WATCHED
        assert f"ON {quoted_table(name)}" in script


def test_no_name_of_the_longest_type_is_cut():
    longest = "V" * MAX_NAME
    for index in type_indexes(METADATA, longest):
        name = index.split('"')[1]
        assert len(name) <= 63
    assert len(f"{longest}_history") <= 63


def test_no_two_types_share_a_table():
    names = [name.lower() for name in METADATA.resource_types]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("keeps_history", [True, False])
def test_a_type_without_history_never_writes_one(keeps_history):
    found = statements_for("Goal", keeps_history=keeps_history)
    for statement in (found.update, found.delete):
        assert ('INSERT INTO "goal_history"' in statement) is keeps_history
