"""The first client, the first user and their policies, made from the environment at start.

A value is applied when it differs from the one applied last, so that changing a variable takes
effect, while what people change inside the box stays. What was applied is remembered as a hash.
Source: platform specification, "Environment variables" (Startup).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.fhir.outcome import Dialect
from boxruntime.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from boxruntime.settings import BoxSettings
    from boxruntime.storage.database import Database, Runner


async def ensure_bootstrap(
    database: Database,
    settings: BoxSettings,
    *,
    stored_form: Callable[[str], Awaitable[str]],
    is_hashed: Callable[[str], bool],
) -> bool:
    """Create or update what the settings name; tell whether anything was done.

    `stored_form` hashes a secret unless it is a hash already; it is slow and asked only for
    values that changed.
    """
    wanted = bootstrap_marks(settings, is_hashed)
    applied = await applied_marks(database)
    if applied == wanted:
        return False

    async def work(runner: Runner) -> None:
        store = await Store.in_transaction(runner, without_history=frozenset())
        if applied.get("client") != wanted["client"]:
            await _client(store, settings, await stored_form(settings.client_secret))
        password = settings.admin_password
        if password is not None and applied.get("admin") != wanted["admin"]:
            await _admin(store, settings, await stored_form(password))
        participants = [
            {"role": one.role, "user": {"resourceType": "User", "id": one.user}}
            for one in settings.participants
        ]
        for id_, resource in (
            ("self", {"id": settings.box_id, "participant": participants}),
            ("bootstrap", wanted),
        ):
            await runner.run(
                "INSERT INTO _box (id, resource) VALUES ($1, $2::text::jsonb) "
                "ON CONFLICT (id) DO UPDATE SET resource = excluded.resource",
                id_,
                encode_json(resource).decode(),
            )

    await database.in_transaction(work)
    return True


async def applied_marks(database: Database) -> dict[str, str]:
    """Return the marks of the values that were applied last."""
    records = await database.run(
        "SELECT resource::text AS resource FROM _box WHERE id = 'bootstrap'"
    )
    found: dict[str, str] = decode_json(records[0]["resource"]) if records else {}
    return found


def bootstrap_marks(settings: BoxSettings, is_hashed: Callable[[str], bool]) -> dict[str, str]:
    """Return a mark of each part of the bootstrap; secrets only as salted hashes."""
    marks = {
        "client": _mark(
            settings,
            settings.client_id,
            settings.client_secret,
            is_hashed=is_hashed(settings.client_secret),
        ),
        "participants": hashlib.sha256(msgspec.json.encode(settings.participants)).hexdigest(),
    }
    if settings.admin_password is not None:
        marks["admin"] = _mark(
            settings,
            settings.admin_id,
            settings.admin_password,
            is_hashed=is_hashed(settings.admin_password),
        )
    return marks


def _mark(settings: BoxSettings, id_: str, secret: str, *, is_hashed: bool) -> str:
    """Return a mark that tells equal values, and no more about a secret than its stored form.

    A value that is a hash already (all that the platform gives) needs no slow hash again; a
    plain secret gets one, beside which the fast one would be the easier to guess.
    """
    salt = f"bootstrap {settings.box_id}".encode()
    text = f"{id_}\x00{secret}".encode()
    if is_hashed:
        return hmac.new(salt, text, hashlib.sha256).hexdigest()[:32]
    return hashlib.scrypt(text, salt=salt, n=1 << 14, r=8, p=1, dklen=16).hex()


async def _client(store: Store, settings: BoxSettings, secret: str) -> None:
    id_ = settings.client_id
    await _put(store, "Client", id_, {"secret": secret, "grant_types": ["basic"]})
    await _put(store, "AccessPolicy", f"{id_}-client", _allow("Client", id_))


async def _admin(store: Store, settings: BoxSettings, password: str) -> None:
    id_ = settings.admin_id
    await _put(store, "User", id_, {"password": password})
    await _put(store, "AccessPolicy", f"{id_}-user", _allow("User", id_))


def _allow(resource_type: str, id_: str) -> dict[str, Any]:
    return {"engine": "allow", "link": [{"resourceType": resource_type, "id": id_}]}


async def _put(store: Store, resource_type: str, id_: str, resource: dict[str, Any]) -> None:
    await store.update(resource_type, id_, resource, dialect=Dialect.AIDBOX)
