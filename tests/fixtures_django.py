"""The control plane in a test: its database on the test PostgreSQL, its settings, its broker."""

from __future__ import annotations

import importlib
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connections
from kombu import pools
from psycopg.conninfo import conninfo_to_dict

from controlplane.celery import app
from controlplane.environment import read_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.local.postgres import PostgresServer
    from tenants.models import Account

PASSWORD = "violet kettle orbit"
SUPERUSER = ("root", "superuser:password")
NO_BROKER = "redis://127.0.0.1:1/0"  # nothing listens on port 1


@pytest.fixture(autouse=True, scope="session")
def _test_environment() -> None:
    """Forget what a platform running on this machine wrote for its own commands."""
    settings.HALEBOX = replace(
        read_environment({"DATABASE_URL": "postgresql:///"}, project=Path("/nowhere")),
        cluster_key=secrets.token_hex(32),
        superuser=SUPERUSER,
    )
    use_broker(NO_BROKER, 0.1)


def use_broker(url: str, timeout_s: float = 4) -> None:
    """Let tasks be sent to another broker from now on."""
    settings.CELERY_BROKER_URL = url
    app.conf.broker_url = app.conf.broker_write_url = url
    app.conf.broker_connection_timeout = timeout_s
    pools.reset()
    app._pool = None
    app.amqp._producer_pool = None


@pytest.fixture
def broker(valkey_url: str) -> Iterator[str]:
    """A broker that answers; without this fixture there is none."""
    use_broker(valkey_url)
    yield valkey_url
    use_broker(NO_BROKER, 0.1)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: PostgresServer) -> None:
    """Let pytest-django make its test database on the session's server."""
    admin = conninfo_to_dict(postgres.admin_dsn)
    place = {
        "NAME": "control",
        "USER": admin["user"],
        "PASSWORD": admin.get("password") or "",
        "HOST": admin["host"],
        "PORT": str(admin["port"]),
    }
    settings.DATABASES["default"].update(place)
    connections["default"].settings_dict.update(place)


@pytest.fixture
def tiers(db: None) -> None:
    """The tiers of a new installation, which a test that truncates tables takes away."""
    seed = importlib.import_module("tenants.migrations.0002_seed")
    seed.seed_tiers(apps, None)


@pytest.fixture
def make_account(tiers: None, settings) -> Callable[[str], Account]:
    """Make a confirmed account per call: `make_account("ada")`, with the password PASSWORD."""
    from tenants.services import accounts

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

    def make(name: str = "ada") -> Account:
        return accounts.ensure_account(f"{name}@example.org", PASSWORD)

    return make


@pytest.fixture
def ada(make_account: Callable[[str], Account]) -> Account:
    return make_account("ada")


@pytest.fixture
def eve(make_account: Callable[[str], Account]) -> Account:
    """Someone who takes part in nothing."""
    return make_account("eve")
