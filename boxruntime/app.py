"""The one place where the parts of a box meet: settings in, an application out."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from boxruntime import __version__
from boxruntime.access.authenticate import Authenticator, decoy_hash
from boxruntime.access.policies import PolicySet
from boxruntime.access.secrets import MalformedHashError, hash_secret, is_hashed
from boxruntime.api.box import Box
from boxruntime.api.cors import allowed_origins
from boxruntime.api.entities import UNUSABLE, laid_over
from boxruntime.api.own_operations import OwnOperations
from boxruntime.api.routes import ROUTES, operations
from boxruntime.api.routing import RouteTable
from boxruntime.contract import FHIR_VERSIONS
from boxruntime.fhir import fhirpath
from boxruntime.fhir.base_rows import base_rows
from boxruntime.fhir.examination.rules import rules_of
from boxruntime.fhir.json_text import encode_json
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.profiles.registry import NO_PROFILES, ProfileSet
from boxruntime.fhir.secrets import secret_types
from boxruntime.fhir.validation import warm
from boxruntime.http.application import StartupError
from boxruntime.http.messages import RawRequest, RequestError, Response
from boxruntime.pipeline import handle, refuse
from boxruntime.settings import DEFAULT_FHIR_VERSION, BoxSettings, SettingsError
from boxruntime.storage.bootstrap import ensure_bootstrap
from boxruntime.storage.changes import ChangeListener
from boxruntime.storage.database import Database
from boxruntime.storage.meta import NO_METADATA, OwnMetadata, load_all, load_metadata
from boxruntime.storage.prepare import (
    BaseRow,
    Layout,
    WrongDatabaseError,
    ensure_prepared,
    make_layout,
)
from boxruntime.storage.schema import WATCHED
from boxruntime.storage.search.indexes import default_indexes
from boxruntime.storage.shared_statements import SharedStatements
from boxruntime.storage.store import Store
from boxruntime.telemetry.log import EventLog
from boxruntime.telemetry.statements import StatementLog

if TYPE_CHECKING:
    from collections.abc import Collection

    from boxruntime.fhir.metadata import Metadata

_CLIENT_ID = re.compile(r"[A-Za-z0-9\-._]{1,255}")


def preload(fhir_version: str = DEFAULT_FHIR_VERSION) -> None:
    """Build everything that boxes of one FHIR version share, before they are forked.

    Starts nothing.
    """
    metadata = base_metadata(fhir_version)
    warm(metadata)
    constraints = chain.from_iterable(rules_of(fhir_version).constraints.values())
    fhirpath.prepare((each.expression for each in constraints), fhir_version)
    secret_types(metadata)
    layout_for(fhir_version)
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
    """Return the application of one box."""
    return Application(settings)


class Application:
    """One box, as the HTTP server sees it."""

    def __init__(self, settings: BoxSettings) -> None:
        if settings.fhir_version not in FHIR_VERSIONS:
            raise UnsupportedVersionError(
                f"FHIR version {settings.fhir_version} is not supported; "
                f"choose one of {', '.join(FHIR_VERSIONS)}."
            )
        _check_root_client(settings)
        self.settings = settings
        self.max_body_bytes = settings.max_body_bytes
        self.log = _open_log(settings)
        self.database = Database(
            settings.database,
            size=settings.connections,
            statement_timeout_ms=settings.statement_timeout_ms,
            log=StatementLog(self.log) if settings.log_sql else None,
            audit=StatementLog(self.log),
        )
        self._shared = SharedStatements(self.database)
        metadata = self._base_metadata()
        self.box = Box(
            settings=settings,
            metadata=metadata,
            profiles=NO_PROFILES,
            database=self.database,
            store=Store(self.database, shared=self._shared),
            policies=PolicySet(()),
            own_operations=OwnOperations(()),
            routes=_base_routes(metadata.resource_types),
            changed=self._changed,
            current=lambda: self.box,
            routes_for=_base_routes,
            authorities=_authorities(settings),
            allowed_origins=frozenset(),
            started_at=datetime.now(UTC),
            follow_log=self.log.follow,
            write_log=self.log.write,
        )
        self.authenticator = Authenticator(
            box_id=settings.box_id,
            access_key=settings.access_key,
            find_client=self._find_client,
        )
        self._listener = ChangeListener(self.database, self._heard)
        self._reloading = asyncio.Lock()
        self._metadata_mark = _mark(NO_METADATA)
        """Tells the rows that the metadata was made of from others."""

    async def startup(self) -> None:
        """Prepare the database where needed, apply the bootstrap, and load what is kept.

        Raises StartupError for a database of another version, and what the database raises.
        """
        try:
            await self._start()
        except Exception as error:
            self.log.write("box/failed", level="panic", err=type(error).__name__)
            if isinstance(error, WrongDatabaseError):
                raise StartupError(str(error)) from None
            raise
        self.log.write("box/start", version=__version__, fhir=self.settings.fhir_version)

    async def _start(self) -> None:
        layout = layout_for(self.settings.fhir_version)
        await self.database.without_timeout(lambda connection: ensure_prepared(connection, layout))
        await ensure_bootstrap(
            self.database, self.settings, stored_form=_stored_form, is_hashed=is_hashed
        )
        await self._listener.start()

    async def shutdown(self) -> None:
        """Close all connections."""
        await self._listener.stop()
        await self.database.close()
        self.log.write("box/stop")
        self.log.close()

    @property
    def is_current(self) -> bool:
        """Whether no change of a meta-resource can have been missed."""
        return self._listener.is_current

    async def catch_up(self) -> None:
        """Take over what may have been missed. Raises what the database raises."""
        await self._listener.catch_up()

    async def _changed(self, resource_types: Collection[str]) -> None:
        """Take over changed meta-resources, here and in the other processes of the box."""
        await self.reload(frozenset(resource_types))
        await self._listener.settle()

    async def reload(self, resource_types: frozenset[str] | None) -> None:
        """Take over changed meta-resources; None = any may have changed."""

        def concerns(*names: str) -> bool:
            return resource_types is None or not resource_types.isdisjoint(names)

        async with self._reloading:
            if concerns("Client", "User"):
                self.authenticator.forget()
            if concerns("Client"):
                origins = allowed_origins(await load_all(self.database, "Client"))
                self.box = msgspec.structs.replace(self.box, allowed_origins=origins)
            if concerns("Operation"):
                own = await load_all(self.database, "Operation", own_only=True)
                self.box = msgspec.structs.replace(self.box, own_operations=OwnOperations(own))
            if concerns("AccessPolicy"):
                policies = PolicySet(await load_all(self.database, "AccessPolicy"))
                for id_, error in policies.broken:
                    place = ".".join(map(str, error.path))
                    self.log.write("auth/broken-policy", level="warn", policy=id_, at=place)
                self.box = msgspec.structs.replace(self.box, policies=policies)
            if concerns("AidboxProfile"):
                profiles = ProfileSet(await load_all(self.database, "AidboxProfile"))
                self.box = msgspec.structs.replace(self.box, profiles=profiles)
            if concerns("Entity", "Attribute", "CompartmentDefinition", "SearchParameter"):
                await self._reload_metadata()

    def _base_metadata(self) -> Metadata:
        base = base_metadata(self.settings.fhir_version)
        return base.with_created_at_url(self.settings.created_at_url)

    async def _reload_metadata(self) -> None:
        own = await load_metadata(self.database, self.box.metadata.resource_types)
        mark = _mark(own)
        if mark == self._metadata_mark:
            return  # what was compiled for it is still right
        try:
            metadata = laid_over(self._base_metadata(), own)
        except UNUSABLE as error:
            # Rows that people wrote by SQL: the API lets none in that cannot be used. What the
            # box knew before still holds.
            self.log.write_bug(error, request_id="metadata")
            return
        self._metadata_mark = mark
        self.box = self.box.with_metadata(metadata)

    async def _heard(self, tables: frozenset[str] | None) -> None:
        if tables is None:
            await self.reload(None)
        else:
            await self.reload(frozenset(name for name in WATCHED if name.lower() in tables))

    async def _find_client(self, client_id: str) -> dict[str, Any] | None:
        stored = await self.box.store.find("Client", client_id)
        return None if stored is None else stored.resource()

    async def answer(self, request: RawRequest) -> Response:
        """Answer one request. Never raises."""
        return await handle(request, self)

    def refuse(self, path: bytes, error: RequestError) -> Response:
        """Answer a request whose bytes could not be taken in."""
        return refuse(self.box.metadata, path, error, self.log)


class UnsupportedVersionError(ValueError):
    """The settings ask for a FHIR version that this release does not have."""


def _mark(own: OwnMetadata) -> bytes:
    """Return what tells whether metadata are the same."""
    return hashlib.sha256(encode_json(own)).digest()


def _open_log(settings: BoxSettings) -> EventLog:
    """Return the box's log. Raises SettingsError if it cannot be written."""
    try:
        return EventLog(
            settings.box_id, settings.log_path, sql=settings.log_sql, values=settings.log_values
        )
    except OSError as error:
        raise SettingsError(f"AIDBOX_LOGS cannot be opened ({error.strerror}).") from None


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
