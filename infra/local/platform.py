"""The stages of `make up`: what runs on this machine, in which order, with which environment.

Source: docs/architecture.md, "One machine"; platform specification, "Multi-box variables".
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis
from psycopg import conninfo

from infra.boxhost import BoxHostError, LocalBoxRuntime
from infra.edge import Edge, TlsFiles
from infra.environment import base_environment
from infra.local import nginx, renewal, valkey
from infra.local.accounts import server_account
from infra.local.places import keep_secret
from infra.local.ports import kept_port, kept_range, recorded_port, why_taken
from infra.local.postgres import PostgresServer, find_programs
from infra.local.probe import status_on_socket
from infra.local.problems import SetupError
from infra.local.service import Service, listen_for_ourselves, log_tail
from infra.local.supervisor import Stage
from infra.postgres import PostgresCluster, ProvisioningError
from infra.secrets import ClusterKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.local.places import Places
    from infra.local.settings import LocalSettings

POSTGRES_PORT = 15432  # the first port tried, as for VALKEY_PORT
VALKEY_PORT = 16379
LOOPBACK_PORTS = (20000, 29999)  # below the kernel's range for outgoing connections
LOOPBACK_PORTS_EACH = 1000  # for one installation
FHIR_VERSION = "4.0.1"
SPARES = 1  # the sweep makes more
CONTROL = "halebox_control"  # role and database of the control plane
CONTROL_CONNECTIONS = 60


class Platform:
    """The stages share what earlier ones found out: addresses and connection strings."""

    def __init__(self, places: Places, settings: LocalSettings) -> None:
        self._places = places
        self._settings = settings
        self._admin_dsn = ""
        self._redis_url = ""

    def stages(self) -> list[Stage]:
        """Return everything in the order of starting."""
        return [
            Stage("PostgreSQL", self._postgres),
            Stage("Valkey", self._valkey),
            Stage("Control plane database", self._control_database),
            Stage(f"Box template for FHIR {FHIR_VERSION}", self._template),
            Stage("Box host", self._box_host),
            Stage("Control plane tables", self._migrate),
            Stage("Control plane", self._control_plane),
            Stage("Worker", self._worker),
            Stage("Scheduler", self._beat),
            Stage("Edge", self._edge),
        ]

    def renewal(self, running: Callable[[str], int | None]) -> list[Stage]:
        """Return the stages that give a running platform the code on disk, refusing nobody.

        `running`: title of a stage -> id of its process, None while it does not answer.
        """
        settings, control_socket = self._settings, self._places.run / "boxhost.sock"
        # The servers listen at their ports: these are taken as they stand written.
        self._admin_dsn = settings.database_url or self._postgres_server(recorded_port).admin_dsn
        self._redis_url = settings.redis_url or self._valkey_server(recorded_port).url

        def renew(title: str, change: Callable[[int], None]) -> Stage:
            def prepare() -> None:
                pid = running(title)
                if pid is None:
                    raise SetupError(f"{title} does not answer: `make down`, then `make up`.")
                change(pid)

            return Stage(title, prepare)

        return [
            Stage(f"Box template for FHIR {FHIR_VERSION}", self._template),
            Stage("Control plane tables", self._migrate),
            renew("Box host", lambda pid: renewal.renew_box_host(pid, control_socket)),
            renew("Control plane", renewal.renew_gunicorn),
            renew("Worker", lambda pid: renewal.restart("Worker", pid, running)),
            renew("Scheduler", lambda pid: renewal.restart("Scheduler", pid, running)),
        ]

    def _postgres_server(self, find_port: Callable[[Path], int]) -> PostgresServer:
        return PostgresServer(
            home=self._places.postgres,
            socket_directory=self._places.run / "postgresql",
            port=find_port(self._places.var / "postgresql-port"),
            password=self._places.secret("postgresql"),
            account=server_account(),
            programs=find_programs(self._settings.postgres_bin),
        )

    def _valkey_server(self, find_port: Callable[[Path], int]) -> valkey.ValkeyServer:
        return valkey.ValkeyServer(
            home=self._places.var / "valkey",
            port=find_port(self._places.var / "valkey-port"),
            password=self._places.secret("valkey"),
            program=valkey.find_program(self._settings.valkey),
        )

    def _postgres(self) -> Service | None:
        if self._settings.database_url:
            self._admin_dsn = self._settings.database_url
            try:
                with PostgresCluster(self._admin_dsn).connect():
                    return None
            except ProvisioningError as error:
                raise SetupError(f"DATABASE_URL cannot be used: {error}") from error
        server = self._postgres_server(
            lambda record: kept_port(record, POSTGRES_PORT)
        ).ensure_cluster()
        server.stop_forgotten()
        self._admin_dsn = server.admin_dsn
        return server.service()

    def _valkey(self) -> Service | None:
        if self._settings.redis_url:
            self._redis_url = self._settings.redis_url
            try:
                with redis.Redis.from_url(self._redis_url, socket_timeout=5) as client:
                    client.ping()
            except (redis.RedisError, ValueError) as error:
                raise SetupError(f"REDIS_URL cannot be used: {type(error).__name__}.") from error
            return None
        server = self._valkey_server(lambda record: kept_port(record, VALKEY_PORT))
        server.ensure_configured()
        self._redis_url = server.url
        return server.service()

    def _control_database(self) -> None:
        cluster = PostgresCluster(self._admin_dsn)
        try:
            cluster.ensure_role(
                CONTROL, self._places.secret("control"), connection_limit=CONTROL_CONNECTIONS
            )
            cluster.ensure_database(CONTROL, CONTROL)
        except ProvisioningError as error:
            raise SetupError(f"The control plane's database could not be made: {error}") from error
        lines = [f"{name}={value}\n" for name, value in sorted(self._control_environment().items())]
        keep_secret(self._places.environment_file, "".join(lines).rstrip("\n"))

    def _template(self) -> None:
        try:
            PostgresCluster(self._admin_dsn).ensure_spares(FHIR_VERSION, SPARES)
        except ProvisioningError as error:
            raise SetupError(f"The template for new boxes could not be made: {error}") from error

    def _box_host(self) -> Service:
        runtime = LocalBoxRuntime(self._places.run / "boxhost.sock", timeout_s=5)

        def ready() -> bool:
            try:
                return runtime.ping()
            except BoxHostError:
                return False

        return Service(
            name="boxhost",
            title="The box host",
            command=(*_python("boxruntime.host"), "--run-dir", str(self._places.run)),
            environment=self._program_environment()
            | {
                "HALEBOX_CLUSTER_KEY": self._cluster_key(),
                "HALEBOX_VAR_DIR": str(self._places.var),
            },
            directory=self._places.project,
            ready=ready,
            start_s=120.0,
            stop_s=90.0,  # it lets requests in work finish
        )

    def _migrate(self) -> None:
        log = self._places.logs / "migrate.log"
        for arguments in (("ensure_platform",), ("collectstatic", "--noinput")):
            with log.open("ab") as output:
                result = subprocess.run(
                    [sys.executable, "manage.py", *arguments],
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._places.project,
                    env=self._control_environment(),
                )
            if result.returncode != 0:
                raise SetupError(f"manage.py {arguments[0]} failed; {log} says:\n{log_tail(log)}")

    def _control_plane(self) -> Service:
        console = self._places.run / "console.sock"
        domain = self._settings.domain

        def ready() -> bool:
            # The socket takes the question before anybody is there to answer it.
            return status_on_socket(console, "/__healthcheck", domain, timeout_s=2) == 200

        return Service(
            name="console",
            title="The control plane",
            command=(
                *_python("gunicorn"),
                "controlplane.wsgi",
                *("--workers", "2", "--threads", "8"),
                # Time for the longest remote call, creating a box: it waits until the box serves.
                *("--timeout", "120", "--graceful-timeout", "20", "--no-control-socket"),
            ),
            environment=self._control_environment(),
            directory=self._places.project,
            # Of our user alone: only the edge may say where a request came from.
            listener=listen_for_ourselves(console),
            ready=ready,
        )

    def _worker(self) -> Service:
        def ready() -> bool:
            """Tell whether somebody waits for jobs."""
            try:
                with redis.Redis.from_url(self._redis_url, socket_timeout=5) as client:
                    return any(each["cmd"] == "brpop" for each in client.client_list())
            except redis.RedisError:
                return False

        return Service(
            name="worker",
            title="The worker",
            command=(
                *_python("celery"),
                *("-A", "controlplane", "worker", "--loglevel", "INFO", "--concurrency", "2"),
                *("--without-gossip", "--without-mingle"),  # there is one worker
            ),
            environment=self._control_environment() | {"HALEBOX_ADMIN_DSN": self._admin_dsn},
            directory=self._places.project,
            ready=ready,
        )

    def _beat(self) -> Service:
        home = self._places.var / "beat"
        for file in home.iterdir():  # the file's suffix depends on the Python
            file.unlink()  # all of the schedule stands in the code
        return Service(
            name="scheduler",
            title="The scheduler",
            command=(
                *_python("celery"),
                *("-A", "controlplane", "beat", "--loglevel", "INFO"),
                *("--schedule", str(home / "schedule"), "--pidfile", ""),
            ),
            environment=self._control_environment(),
            directory=self._places.project,
            ready=lambda: any(home.iterdir()),
        )

    def _edge(self) -> Service:
        settings = self._settings
        tls = (
            TlsFiles(
                certificate=_absolute(settings.tls_certificate), key=_absolute(settings.tls_key)
            )
            if settings.tls_certificate and settings.tls_key
            else None
        )
        public_host = urlsplit(settings.base_url).hostname
        try:
            edge = Edge(
                port=settings.port,
                run_directory=self._places.run,
                domain=settings.domain,
                shared_hosts=(public_host,) if public_host else (),
                box_header=settings.box_header,
                addresses=settings.listen,
                tls=tls,
                h2c=settings.h2c,
            )
        except ValueError as error:
            raise SetupError(str(error)) from error
        server = nginx.NginxServer(
            home=self._places.var / "nginx",
            edge=edge,
            program=nginx.find_program(settings.nginx),
        )
        taken = why_taken(settings.port, settings.listen[0])
        if taken:
            raise SetupError(taken)
        server.ensure_configured()
        return server.service()

    def _program_environment(self) -> dict[str, str]:
        return base_environment() | {"PYTHONUNBUFFERED": "1"}

    def _control_environment(self) -> dict[str, str]:
        """Return what every program of the control plane gets, secrets included."""
        places, settings = self._places, self._settings
        address = conninfo.conninfo_to_dict(self._admin_dsn)
        host = str(address.get("host") or "localhost")
        port = str(address.get("port") or 5432)
        target = {"dbname": CONTROL, "user": CONTROL, "password": places.secret("control")}
        return (
            self._program_environment()
            | dict(settings.passed_on)
            | {
                "DJANGO_SETTINGS_MODULE": "controlplane.settings",
                "DJANGO_SECRET_KEY": places.secret("django", 48),
                "DATABASE_URL": conninfo.make_conninfo(self._admin_dsn, **target),
                "REDIS_URL": self._redis_url,
                "HALEBOX_RUN_DIR": str(places.run),
                "HALEBOX_VAR_DIR": str(places.var),
                "HALEBOX_LOG_DIR": str(places.logs),
                "HALEBOX_STATIC_ROOT": str(places.var / "static"),
                "HALEBOX_CLUSTER_KEY": self._cluster_key(),
                "HALEBOX_BOX_PGHOST": host,
                "HALEBOX_BOX_PGPORT": port,
                "HALEBOX_LOOPBACK_PORTS": kept_range(
                    places.var / "loopback-ports", *LOOPBACK_PORTS, LOOPBACK_PORTS_EACH
                ),
                "AIDBOX_SUPERUSER": superuser(places, settings),
                "AIDBOX_CLUSTER_DOMAIN": settings.domain,
                "AIDBOX_CLUSTER_BOX_HEADER": settings.box_header,
                "AIDBOX_BASE_URL": settings.base_url,
            }
        )

    def _cluster_key(self) -> str:
        file = self._places.secrets / "cluster-key"
        if not file.exists():
            keep_secret(file, ClusterKey.generate().hex())
        return file.read_text().strip()


def superuser(places: Places, settings: LocalSettings) -> str:
    """Return user:password of the platform's superuser: as set, else made once and kept."""
    file = places.secrets / "superuser"
    if settings.superuser:
        if not file.exists() or file.read_text().strip() != settings.superuser:
            keep_secret(file, settings.superuser)
    elif not file.exists():
        keep_secret(file, f"root:{secrets.token_urlsafe(15)}")
    return file.read_text().strip()


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module)


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - a link stays a link
