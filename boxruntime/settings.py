"""The configuration of one box process, read from environment variables and nothing else.

Source: platform specification, "Environment variables".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.contract import FHIR_VERSIONS, fhir_version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_FHIR_VERSION = next(iter(FHIR_VERSIONS))
ENCRYPT_KEY_BYTES = 32
_TRUE = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


class SettingsError(ValueError):
    """A variable is missing or wrong; `str(error)` names it and never quotes a secret."""


class DatabaseAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the box's PostgreSQL database is; `host` may be a directory of unix sockets."""

    host: str
    port: int
    user: str
    password: str | None
    database: str


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """A person of the platform who takes part in this box."""

    user: str
    role: str


class BoxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that distinguishes one box process from another."""

    box_id: str
    fhir_version: str
    port: int
    base_url: str
    """External base without a trailing slash; issuer and links."""
    database: DatabaseAddress
    client_id: str
    client_secret: str
    admin_id: str
    admin_password: str | None
    access_key: bytes | None
    """Verifies portal tokens for this box; None where no portal exists."""
    encrypt_key: bytes | None
    """Encrypts elements of type `secret`; None = they cannot be stored."""
    participants: tuple[Participant, ...]
    create_ignores_id: bool
    allows_reference_skip: bool
    created_at_url: str
    """Of the extension that tells meta.createdAt at /fhir."""
    enforces_definitions: bool
    """StructureDefinitions that are stored become profiles at once."""
    max_body_bytes: int
    connections: int
    statement_timeout_ms: int
    log_path: str | None
    log_sql: bool
    """Statements are logged too."""
    log_values: bool
    """Query strings and statement parameters are logged in full."""

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> BoxSettings:
        """Read and check all variables. Raises SettingsError naming the first wrong one."""
        secret = env.get("AIDBOX_CLIENT_SECRET", "")
        if not secret:
            raise SettingsError(
                "AIDBOX_CLIENT_SECRET is not set: a box without a root client secret would be open."
            )
        port = _integer(env, "AIDBOX_PORT", 8080, low=1, high=65535)
        wanted = env.get("AIDBOX_FHIR_VERSION") or DEFAULT_FHIR_VERSION
        version = fhir_version_of(wanted) or wanted.removeprefix("fhir-")
        access_key = env.get("BOX_ACCESS_KEY")
        return cls(
            box_id=env.get("BOX_ID") or "box",
            fhir_version=version,
            port=port,
            base_url=(env.get("AIDBOX_BASE_URL") or f"http://localhost:{port}").rstrip("/"),
            database=DatabaseAddress(
                host=env.get("PGHOST") or "localhost",
                port=_integer(env, "PGPORT", 5432, low=1, high=65535),
                user=env.get("PGUSER") or "postgres",
                password=env.get("PGPASSWORD") or None,
                database=env.get("PGDATABASE") or env.get("PGUSER") or "postgres",
            ),
            client_id=env.get("AIDBOX_CLIENT_ID") or "root",
            client_secret=secret,
            admin_id=env.get("AIDBOX_ADMIN_ID") or "admin",
            admin_password=env.get("AIDBOX_ADMIN_PASSWORD") or None,
            access_key=_hex(access_key, "BOX_ACCESS_KEY") if access_key else None,
            encrypt_key=_encrypt_key(env.get("AIDBOX_ENCRYPT_KEY")),
            participants=_participants(env.get("BOX_PARTICIPANTS") or "[]"),
            create_ignores_id=_flag(env, "BOX_FHIR_CREATE_IGNORE_ID"),
            allows_reference_skip=_flag(env, "BOX_FHIR_VALIDATION_SKIP_REFERENCE"),
            created_at_url=env.get("BOX_FHIR_CREATED_AT_URL") or "ex:createdAt",
            enforces_definitions=_flag(env, "BOX_FHIR_ENFORCE_PROFILES"),
            max_body_bytes=_integer(env, "BOX_WEB_MAX_BODY", 128 * 1024 * 1024, low=1024),
            connections=_integer(env, "BOX_DB_CONNECTIONS", 8, low=2, high=200),
            statement_timeout_ms=_integer(env, "BOX_DB_STATEMENT_TIMEOUT", 60_000, low=0),
            log_path=env.get("AIDBOX_LOGS") or None,
            log_sql=_flag(env, "BOX_LOG_SQL"),
            log_values=_flag(env, "BOX_LOG_VALUES"),
        )


def _integer(
    env: Mapping[str, str], name: str, default: int, *, low: int, high: int = 2**31 - 1
) -> int:
    text = env.get(name)
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise SettingsError(f"{name} must be a whole number.") from None
    if not low <= value <= high:
        raise SettingsError(f"{name} must lie between {low} and {high}.")
    return value


def _flag(env: Mapping[str, str], name: str) -> bool:
    try:
        return _TRUE[env.get(name, "").lower()]
    except KeyError:
        raise SettingsError(f"{name} must be true or false.") from None


def _hex(text: str, name: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise SettingsError(f"{name} must be hexadecimal.") from None


def _encrypt_key(text: str | None) -> bytes | None:
    if not text:
        return None
    key = _hex(text.strip(), "AIDBOX_ENCRYPT_KEY")
    if len(key) != ENCRYPT_KEY_BYTES:
        raise SettingsError("AIDBOX_ENCRYPT_KEY must have 64 hexadecimal digits.")
    return key


def _participants(text: str) -> tuple[Participant, ...]:
    try:
        items: Any = json.loads(text)
        return tuple(Participant(user=str(item["user"]), role=item["role"]) for item in items)
    except (ValueError, TypeError, KeyError):
        raise SettingsError('BOX_PARTICIPANTS must be a JSON list of {"user", "role"}.') from None
