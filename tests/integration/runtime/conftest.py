"""Fixtures of tests that run boxes as processes."""

from __future__ import annotations

import pytest


@pytest.fixture
def prepared(box_databases):
    name = box_databases.create()
    yield (
        box_databases.environment(name),
        box_databases.postgres.dsn(box_databases.role, box_databases.password, name),
    )
    box_databases.drop(name)
