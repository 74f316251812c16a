"""The one place where the parts of a box meet: settings in, an ASGI application out."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from boxruntime import __version__
from boxruntime.access.authenticate import Authenticator, decoy_hash
from boxruntime.access.policies import PolicySet
from boxruntime.access.secrets import MalformedHashError, hash_secret, is_hashed
from boxruntime.api.box import Box
from boxruntime.api.cors import allowed_origins
from boxruntime.api.routes import ROUTES, operations
from boxruntime.api.routing import RouteTable
from boxruntime.fhir.base_rows import base_rows
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.validation import warm
from boxruntime.http.asgi import Disconnected, Receive, Scope, Send, read_request, send_response
from boxruntime.http.messages import RequestError
from boxruntime.pipeline import handle, refuse
from boxruntime.settings import BoxSettings, SettingsError
from boxruntime.storage.bootstrap import ensure_bootstrap
from boxruntime.storage.database import Database
from boxruntime.storage.meta import ChangeListener, load_all
from boxruntime.storage.prepare import (
    BaseRow,
    Layout,
    WrongDatabaseError,
    ensure_prepared,
    make_layout,
)
from boxruntime.storage.search.indexes import default_indexes
from boxruntime.storage.store import Store
from boxruntime.telemetry.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Sequence

SUPPORTED_VERSIONS = ("4.0.1",)
_CLIENT_ID = re.compile(r"[A-Za-z0-9\-._]{1,255}")


def preload(fhir_versions: Sequence[str] = SUPPORTED_VERSIONS) -> None:
    """Build everything that boxes share, before they are forked. Starts nothing."""
    for version in fhir_versions:
        metadata = base_metadata(version)
        warm(metadata)
        layout_for(version)
        decoy_hash()
        _base_routes(metadata.resource_types)


@lru_cache(maxsize=8)
def layout_for(fhir_version: str) -> Layout:
    """Return what a fresh box database of this FHIR version holds. Takes about half a second."""
    metadata = base_metadata(fhir_version)
    rows = [BaseRow(*row) for row in base_rows(metadata)]
    rows.extend(BaseRow("Operation", id_, resource) for id_, resource in operations())
    return make_layout(
        fhir_version,
        resource_types=sorted(metadata.resource_types),
        base_rows=rows,
        indexes=list(default_indexes(metadata)),
    )


@lru_cache(maxsize=8)
def _base_routes(resource_types: frozenset[str]) -> RouteTable:
    return RouteTable(ROUTES, resource_types)


def create_application(settings: BoxSettings) -> Application:
    """Return the ASGI application of one box."""
    return Application(settings)


class Application:
    """One box: an ASGI callable with its lifespan."""

    def __init__(self, settings: BoxSettings) -> None:
        if settings.fhir_version not in SUPPORTED_VERSIONS:
            raise UnsupportedVersionError(
                f"FHIR version {settings.fhir_version} is not supported; "
                f"choose one of {', '.join(SUPPORTED_VERSIONS)}."
            )
        _check_root_client(settings)
        self.settings = settings
        self.log = EventLog(settings.box_id, settings.log_path)
        self.database = Database(
            settings.database,
            size=settings.connections,
            statement_timeout_ms=settings.statement_timeout_ms,
        )
        metadata = base_metadata(settings.fhir_version)
        self.box = Box(
            settings=settings,
            metadata=metadata,
            database=self.database,
            store=Store(self.database),
            policies=PolicySet(()),
            routes=_base_routes(metadata.resource_types),
            changed=self.reload,
            current=lambda: self.box,
            authorities=_authorities(settings),
            allowed_origins=frozenset(),
            started_at=datetime.now(UTC),
        )
        self.authenticator = Authenticator(
            box_id=settings.box_id,
            access_key=settings.access_key,
            find_client=self._find_client,
        )
        self._listener = ChangeListener(self.database, self._heard)
        self._reloading = asyncio.Lock()

    async def startup(self) -> None:
        """Prepare the database where needed, apply the bootstrap, and load what is kept.

        Raises what the database raises, WrongDatabaseError among it.
        """
        connection = await self.database.connect()
        try:
            # Preparing takes longer than a request may.
            await connection.execute("SET statement_timeout = 0")
            await ensure_prepared(connection, layout_for(self.settings.fhir_version))
        finally:
            await connection.close()
        await ensure_bootstrap(
            self.database, self.settings, stored_form=_stored_form, is_hashed=is_hashed
        )
        await self._listener.start()
        await self.reload(None)
        self.log.write("box/start", version=__version__, fhir=self.settings.fhir_version)

    async def shutdown(self) -> None:
        """Close all connections."""
        await self._listener.stop()
        await self.database.close()
        self.log.write("box/stop")
        self.log.close()

    async def reload(self, resource_type: str | None) -> None:
        """Take over changed meta-resources; None = any may have changed."""
        async with self._reloading:
            if resource_type in {None, "Client", "User"}:
                self.authenticator.forget()
            if resource_type in {None, "Client"}:
                origins = allowed_origins(await load_all(self.database, "Client"))
                self.box = msgspec.structs.replace(self.box, allowed_origins=origins)
            if resource_type in {None, "AccessPolicy"}:
                policies = PolicySet(await load_all(self.database, "AccessPolicy"))
                self.box = msgspec.structs.replace(self.box, policies=policies)
            if resource_type in {None, "Entity", "Attribute"}:
                await self._reload_metadata()

    async def _reload_metadata(self) -> None:
        entities = await load_all(self.database, "Entity", own_only=True)
        attributes = await load_all(self.database, "Attribute", own_only=True)
        base = base_metadata(self.settings.fhir_version)
        try:
            metadata = base.with_records(entities, attributes) if entities or attributes else base
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # Rows that people wrote by SQL: the API lets none in that cannot be used. What the
            # box knew before still holds.
            self.log.write_bug(error, request_id="metadata")
            return
        without_history = frozenset(
            name for name, type_def in metadata.types.items() if not type_def.history
        )
        self.box = msgspec.structs.replace(
            self.box,
            metadata=metadata,
            routes=_base_routes(metadata.resource_types),
            store=Store(self.database, without_history=without_history),
        )

    async def _heard(self, table: str | None) -> None:
        by_table = {
            name.lower(): name for name in ("AccessPolicy", "Client", "User", "Entity", "Attribute")
        }
        if table is None or table in by_table:
            await self.reload(None if table is None else by_table[table])

    async def _find_client(self, client_id: str) -> dict[str, Any] | None:
        stored = await self.box.store.find("Client", client_id)
        return None if stored is None else stored.resource()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            raise NotImplementedError(scope["type"])

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await read_request(scope, receive, self.settings.max_body_bytes)
        except Disconnected:
            return
        except RequestError as error:
            refused = refuse(scope["raw_path"], error)
            await send_response(refused, send, accepts_gzip=False, close=True)
            return
        response = await handle(request, self)
        encodings = request.headers.get(b"accept-encoding")
        accepts_gzip = encodings is not None and b"gzip" in encodings
        await send_response(response, send, accepts_gzip=accepts_gzip)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.startup()
                except Exception as error:  # noqa: BLE001 - the server reports it and ends
                    self.log.write("box/failed", level="panic", err=type(error).__name__)
                    sentence = (
                        str(error)
                        if isinstance(error, WrongDatabaseError)
                        else type(error).__name__
                    )
                    await send({"type": "lifespan.startup.failed", "message": sentence})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return


class UnsupportedVersionError(ValueError):
    """The settings ask for a FHIR version that this release does not have."""


def _check_root_client(settings: BoxSettings) -> None:
    """Refuse credentials with which nobody could ever sign in. Raises SettingsError."""
    if not _CLIENT_ID.fullmatch(settings.client_id):
        raise SettingsError("AIDBOX_CLIENT_ID must be 1 to 255 letters, digits, '-', '.' or '_'.")
    for name, secret in (
        ("AIDBOX_CLIENT_SECRET", settings.client_secret),
        ("AIDBOX_ADMIN_PASSWORD", settings.admin_password),
    ):
        try:
            if secret is not None:
                is_hashed(secret)
        except MalformedHashError:
            raise SettingsError(f"{name} begins like a hash but is none.") from None


def _authorities(settings: BoxSettings) -> dict[bytes, str]:
    """Return base URLs by the Host under which clients reach the box."""
    own = urlsplit(settings.base_url)
    bases = {own.netloc.lower().encode(): settings.base_url}
    for name in ("localhost", "127.0.0.1"):
        bases[f"{name}:{settings.port}".encode()] = f"http://{name}:{settings.port}"
    if own.port is not None and own.hostname:
        # Automation names the box by Host without a port.
        bases[own.hostname.encode()] = settings.base_url
    return bases


async def _stored_form(secret: str) -> str:
    return secret if is_hashed(secret) else await asyncio.to_thread(hash_secret, secret)
