"""`make box`: the single-server edition with a PostgreSQL of its own, in the foreground.

Source: platform specification, "Environment variables". Without PG* variables a cluster under
`var/box/` is used; the box itself is `python -m boxruntime`, nothing else.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from infra.local.accounts import server_account
from infra.local.places import Places, ensure_places
from infra.local.ports import kept_port, why_taken
from infra.local.postgres import PostgresServer, find_programs
from infra.local.problems import SetupError
from infra.local.service import Running
from infra.postgres import PostgresCluster, ProvisioningError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "box"  # role and database
FIRST_PORT = 15532
DEFAULT_HTTP_PORT = "8080"


def serve_box(environment: Mapping[str, str], project: Path, var: Path) -> int:
    """Serve one box until Ctrl-C or SIGTERM; return its exit code. Raises SetupError."""
    if not environment.get("AIDBOX_CLIENT_SECRET"):
        raise SetupError(
            "AIDBOX_CLIENT_SECRET is missing: a box never starts without a secret for its first "
            "client, for example: AIDBOX_CLIENT_ID=root AIDBOX_CLIENT_SECRET=secret make box"
        )
    port = environment.get("AIDBOX_PORT") or DEFAULT_HTTP_PORT
    if not port.isdecimal():
        raise SetupError("AIDBOX_PORT must be a number.")
    taken = why_taken(int(port))
    if taken:
        raise SetupError(taken.replace("PORT=", "AIDBOX_PORT="))
    box_environment = dict(environment) | {"AIDBOX_PORT": port}
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack:
        if not any(environment.get(name) for name in ("PGHOST", "PGDATABASE")):
            places = ensure_places(project, var, server_account())
            lock = stack.enter_context((places.var / "lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SetupError("A box runs on this data already.") from None
            box_environment |= _start_database(stack, places)
        return _run(box_environment, project)


def _start_database(stack: ExitStack, places: Places) -> dict[str, str]:
    """Start PostgreSQL for as long as `stack` is open; return the PG* variables of the box."""
    sys.stderr.write("Starting PostgreSQL.\n")
    server = PostgresServer(
        home=places.postgres,
        socket_directory=places.run / "postgresql",
        port=kept_port(places.var / "postgresql-port", FIRST_PORT),
        password=places.secret("postgresql"),
        account=server_account(),
        programs=find_programs(os.environ.get("HALEBOX_POSTGRES_BIN")),
    ).ensure_cluster()
    server.stop_forgotten()
    stack.enter_context(Running(server.service(), places.logs / "postgresql.log"))
    cluster = PostgresCluster(server.admin_dsn)
    try:
        cluster.ensure_role(NAME, places.secret(NAME), connection_limit=100)
        cluster.ensure_database(NAME, NAME)
    except ProvisioningError as error:
        raise SetupError(f"The database could not be made: {error}") from error
    return cluster.environment(NAME, NAME, places.secret(NAME))


def _run(environment: Mapping[str, str], project: Path) -> int:
    """Run the box in our process group, so that Ctrl-C of the terminal reaches it as well."""
    process = subprocess.Popen([sys.executable, "-m", "boxruntime"], env=environment, cwd=project)
    # From here on both signals are for the box; we end when it has ended.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return process.wait()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
