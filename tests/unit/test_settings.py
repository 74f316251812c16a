"""Source: platform specification, "Environment variables"."""

from __future__ import annotations

import pytest

from boxruntime.app import create_application
from boxruntime.settings import BoxSettings, Participant, SettingsError

NEEDED = {"AIDBOX_CLIENT_SECRET": "hush"}


def settings(**more):
    return BoxSettings.from_environment({**NEEDED, **more})


def test_a_box_without_a_secret_does_not_start():
    for environment in ({}, {"AIDBOX_CLIENT_SECRET": ""}):
        with pytest.raises(SettingsError, match="AIDBOX_CLIENT_SECRET"):
            BoxSettings.from_environment(environment)


def test_defaults():
    found = settings()
    assert (found.client_id, found.admin_id, found.admin_password) == ("root", "admin", None)
    assert (found.port, found.base_url) == (8080, "http://localhost:8080")
    assert (found.fhir_version, found.box_id) == ("4.0.1", "box")
    assert (found.database.host, found.database.port, found.database.database) == (
        "localhost",
        5432,
        "postgres",
    )
    assert found.access_key is None
    assert found.participants == ()


def test_the_base_url_has_no_slash_at_its_end_and_follows_the_port():
    assert settings(AIDBOX_BASE_URL="https://a.test/").base_url == "https://a.test"
    assert settings(AIDBOX_PORT="9").base_url == "http://localhost:9"


def test_the_database_is_the_roles_own_unless_named():
    found = settings(PGUSER="me", PGPASSWORD="", PGHOST="/run/pg")
    assert (found.database.database, found.database.password, found.database.host) == (
        "me",
        None,
        "/run/pg",
    )


@pytest.mark.parametrize("text", ["4.0.0", "4.0.1", "fhir-4.0.0", "fhir-4.0.1"])
def test_names_of_the_fhir_version(text):
    assert settings(AIDBOX_FHIR_VERSION=text).fhir_version == "4.0.1"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("TRUE", True), ("1", True), ("false", False), ("", False)]
)
def test_flags(text, value):
    assert settings(BOX_FHIR_CREATE_IGNORE_ID=text).create_ignores_id is value
    assert settings(BOX_FHIR_VALIDATION_SKIP_REFERENCE=text).allows_reference_skip is value
    assert settings(BOX_FHIR_ENFORCE_PROFILES=text).enforces_definitions is value


def test_participants():
    found = settings(
        BOX_PARTICIPANTS='[{"user": 7, "role": "owner"}, {"user": "8", "role": "reader"}]'
    )
    assert found.participants == (
        Participant(user="7", role="owner"),
        Participant(user="8", role="reader"),
    )


WRONG = [
    ("AIDBOX_ENCRYPT_KEY", "hush"), ("AIDBOX_ENCRYPT_KEY", "ab" * 31), ("BOX_LOG_VALUES", "hush"),
    ("AIDBOX_PORT", "many"), ("AIDBOX_PORT", "0"), ("AIDBOX_PORT", "65536"), ("PGPORT", "x"),
    ("BOX_ACCESS_KEY", "xyz"), ("BOX_PARTICIPANTS", "{"), ("BOX_PARTICIPANTS", "[1]"), ("BOX_PARTICIPANTS", "5"),
    ("BOX_PARTICIPANTS", '[{"user": 1}]'), ("BOX_FHIR_CREATE_IGNORE_ID", "perhaps"), ("BOX_DB_CONNECTIONS", "1"),
    ("BOX_WEB_MAX_BODY", "-5"), ("BOX_DB_STATEMENT_TIMEOUT", "1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_named_and_no_secret_told(name, value):
    with pytest.raises(SettingsError) as refused:
        settings(**{name: value})
    assert name in str(refused.value)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("AIDBOX_CLIENT_ID", "a:b"), ("AIDBOX_CLIENT_ID", "a b"), ("AIDBOX_CLIENT_ID", "x" * 256),
     ("AIDBOX_CLIENT_SECRET", "__sha256:hush"), ("AIDBOX_ADMIN_PASSWORD", "$s0$hush")],
)  # fmt: skip
def test_credentials_with_which_nobody_could_sign_in(name, value):
    with pytest.raises(SettingsError) as refused:
        create_application(settings(**{name: value}))
    assert name in str(refused.value)
    assert "hush" not in str(refused.value)
