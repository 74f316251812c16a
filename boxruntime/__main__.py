"""`python -m boxruntime`: one box, configured by environment variables.

Without a command it prepares an empty database by itself and serves on AIDBOX_PORT; `prepare`
only prepares; `fingerprint` names the layout that a prepared database has.
Source: platform specification, "Environment variables".
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import socket
import sys

import asyncpg

from boxruntime.app import (
    UnsupportedVersionError,
    create_application,
    layout_for,
)
from boxruntime.contract import FHIR_VERSIONS, Limits
from boxruntime.http.server import serve
from boxruntime.settings import DEFAULT_FHIR_VERSION, BoxSettings, SettingsError
from boxruntime.storage.database import Database
from boxruntime.storage.prepare import WrongDatabaseError, ensure_prepared

BACKLOG = 2048


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m boxruntime", description=__doc__)
    parser.add_argument(
        "command", nargs="?", choices=("serve", "prepare", "fingerprint"), default="serve"
    )
    parser.add_argument("--fhir-version", choices=FHIR_VERSIONS)
    chosen = parser.parse_args(arguments)
    if chosen.command == "fingerprint":
        sys.stdout.write(layout_for(chosen.fhir_version or DEFAULT_FHIR_VERSION).fingerprint + "\n")
        return 0
    try:
        settings = _settings(chosen.command, chosen.fhir_version)
        if chosen.command == "prepare":
            asyncio.run(_prepare(settings))
            return 0
        return _serve(settings)
    except (SettingsError, UnsupportedVersionError, WrongDatabaseError) as error:
        return _refuse(str(error))
    except (asyncpg.PostgresError, OSError) as error:
        reason = (
            getattr(error, "sqlstate", None)
            or getattr(error, "strerror", None)
            or type(error).__name__
        )
        return _refuse(f"PostgreSQL at PGHOST, PGPORT, PGDATABASE cannot be used ({reason}).")


def _settings(command: str, fhir_version: str | None) -> BoxSettings:
    environment = dict(os.environ)
    if fhir_version:
        environment["AIDBOX_FHIR_VERSION"] = fhir_version
    if command == "prepare":
        # A template has no clients: the secret is asked of boxes that serve.
        environment.setdefault("AIDBOX_CLIENT_SECRET", "unused")
    return BoxSettings.from_environment(environment)


async def _prepare(settings: BoxSettings) -> None:
    database = Database(settings.database, size=1, statement_timeout_ms=0)
    connection = await database.connect()
    try:
        await ensure_prepared(connection, layout_for(settings.fhir_version))
    finally:
        await connection.close()


def _serve(settings: BoxSettings) -> int:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    host = os.environ.get("AIDBOX_HOST") or "127.0.0.1"
    try:
        listener.bind((host, settings.port))
    except OSError as error:
        return _refuse(f"Port {settings.port} on {host} cannot be used ({error.strerror}).")
    listener.listen(BACKLOG)
    application = create_application(settings)
    layout_for(settings.fhir_version)
    # The metadata stays for good: left to the collector, each full collection walked through all
    # of it, 70 to 130 ms in which no request was answered.
    gc.collect()
    gc.freeze()
    sys.stderr.write(f"Box {settings.box_id} listens on http://{host}:{settings.port}\n")
    return serve(application, [listener], idle_exit_s=0.0, limits=Limits(idle_exit_s=0.0))


def _refuse(sentence: str) -> int:
    sys.stderr.write(sentence + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
