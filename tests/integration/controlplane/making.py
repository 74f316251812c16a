"""Boxes in tests: asked for, made by running their jobs here, looked for afterwards."""

from __future__ import annotations

import itertools

import psycopg

from controlplane import boxes as verbs
from controlplane.provisioning.run import run_job
from tenants.models import Box
from tenants.services.boxes import BoxDraft

_numbers = itertools.count(1)


def draft(name: str | None = None, **fields) -> BoxDraft:
    fields = {"fhir_version": "4.0.1", **fields}
    return BoxDraft(name=name or f"testbox{next(_numbers)}", **fields)


def ask_for_box(account, name: str | None = None, **fields):
    """Record a box without making it; the broker is away."""
    return verbs.create_box(account, draft(name, **fields), show_later=True)


def make_box(account, platform, name: str | None = None, **fields) -> Box:
    """Return a box that is ready."""
    created = ask_for_box(account, name, **fields)
    run_job(created.job.id, platform)
    created.box.refresh_from_db()
    assert created.box.state == "ready", created.box.fault_code
    return created.box


def traces_of(name: str, platform) -> list[str]:
    """Return what there is of a box outside the control plane's own tables."""
    found = []
    with psycopg.connect(platform.environment.admin_dsn) as admin:
        if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            found.append("database")
        if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [f"box_{name}"]).fetchone():
            found.append("role")
    if platform.runtime.status(name) is not None:
        found.append("host")
    run_dir = platform.environment.run_dir
    found += sorted(str(path.relative_to(run_dir)) for path in run_dir.rglob(f"*{name}*"))
    return found
