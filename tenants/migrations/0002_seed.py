"""The tiers that every installation starts with, and the guard of the audit trail."""

from __future__ import annotations

from django.db import migrations

TIERS = (
    {
        "id": "free",
        "title": "Free",
        "summary": "To try things out. Sleeps when unused and wakes in a blink.",
        "position": 1,
        "boxes_per_account": 5,
        "memory_mb": 512,
        "cpu_percent": 100,
        "database_connections": 8,
        "http_connections": 256,
        "idle_exit_s": 300,
    },
    {
        "id": "standard",
        "title": "Standard",
        "summary": "For teams: more memory, more connections, longer awake.",
        "position": 2,
        "boxes_per_account": 20,
        "memory_mb": 1024,
        "cpu_percent": 100,
        "database_connections": 16,
        "http_connections": 512,
        "idle_exit_s": 900,
    },
    {
        "id": "dedicated",
        "title": "Dedicated",
        "summary": "For production: two cores, and never asleep.",
        "position": 3,
        "boxes_per_account": 20,
        "memory_mb": 2048,
        "cpu_percent": 200,
        "database_connections": 24,
        "http_connections": 1024,
        "idle_exit_s": 0,
    },
)

GUARD = """
CREATE FUNCTION tenants_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'audit records are never changed'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON tenants_auditrecord
FOR EACH ROW EXECUTE FUNCTION tenants_audit_append_only();
"""
UNGUARD = """
DROP TRIGGER append_only ON tenants_auditrecord;
DROP FUNCTION tenants_audit_append_only();
"""


def seed_tiers(apps, schema_editor):
    """Add the tiers; an operator may change them afterwards."""
    tier = apps.get_model("tenants", "Tier")
    for row in TIERS:
        tier.objects.get_or_create(id=row["id"], defaults=row)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]
    operations = [
        migrations.RunPython(seed_tiers, migrations.RunPython.noop),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
