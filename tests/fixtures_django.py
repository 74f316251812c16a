"""The control plane's own database on the test PostgreSQL, and accounts to act as."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.db import connections
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from infra.local.postgres import PostgresServer
    from tenants.models import Account

PASSWORD = "violet kettle orbit"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: PostgresServer) -> None:
    """Let pytest-django make its test database on the session's server."""
    admin = conninfo_to_dict(postgres.admin_dsn)
    place = {
        "NAME": "postgres",
        "USER": admin["user"],
        "PASSWORD": admin.get("password") or "",
        "HOST": admin["host"],
        "PORT": str(admin["port"]),
    }
    settings.DATABASES["default"].update(place)
    connections["default"].settings_dict.update(place)


@pytest.fixture(autouse=True)
def _quick_passwords(request: pytest.FixtureRequest) -> None:
    """Hash with a fast algorithm where accounts are made by the dozen."""
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        django_settings = request.getfixturevalue("settings")
        django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def make_account(db: None):
    """Make a confirmed account per call: `make_account("ada")`."""
    from tenants.services import accounts

    def make(name: str = "ada") -> Account:
        return accounts.ensure_account(f"{name}@example.org", PASSWORD)

    return make
