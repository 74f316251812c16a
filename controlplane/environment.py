"""The control plane's environment variables, read and checked in one place.

`make up` sets them for every process and also writes them to `var/control.env`, which is read
only when `DATABASE_URL` is absent: so `python manage.py …` works from a plain shell.
Source: platform specification, "Multi-box variables".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT = Path(__file__).resolve().parent.parent


class EnvironmentVariableError(ValueError):
    """A variable does not hold what it must. The message names it and never its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the operator decided. Field comments name the variable where the name differs."""

    secret_key: str  # DJANGO_SECRET_KEY
    debug: bool  # DJANGO_DEBUG
    database: Mapping[str, str]  # DATABASE_URL, as libpq keywords
    redis_url: str
    cluster_key: str  # HALEBOX_CLUSTER_KEY, hex
    superuser: tuple[str, str] | None  # AIDBOX_SUPERUSER: user, password
    cluster_domain: str
    base_url: str
    email_url: str
    run_dir: Path
    var_dir: Path
    static_root: Path
    box_pghost: str
    box_pgport: str
    loopback_ports: range
    admin_dsn: str  # HALEBOX_ADMIN_DSN; only the worker has it

    @property
    def https(self) -> bool:
        return self.base_url.startswith("https:")

    @property
    def boxhost_socket(self) -> Path:
        return self.run_dir / "boxhost.sock"

    def box_socket(self, name: str) -> Path:
        """Return the unix socket on which a box is served."""
        return self.run_dir / "boxes" / f"{name}.sock"


def get_environment() -> Environment:
    """Return the environment of this process, as Django's settings hold it."""
    from django.conf import settings  # the settings module imports this one

    environment: Environment = settings.HALEBOX
    return environment


def read_environment(variables: Mapping[str, str], *, project: Path = PROJECT) -> Environment:
    """Return the settings. Raises EnvironmentVariableError."""
    if not variables.get("DATABASE_URL"):
        variables = {**_read_file(project / "var" / "control.env"), **variables}
    var_dir = Path(variables.get("HALEBOX_VAR_DIR") or project / "var")
    base_url = variables.get("AIDBOX_BASE_URL", "http://localhost:8888").rstrip("/")
    if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
        raise EnvironmentVariableError("AIDBOX_BASE_URL must be an http or https URL.")
    return Environment(
        secret_key=variables.get("DJANGO_SECRET_KEY", ""),
        debug=variables.get("DJANGO_DEBUG", "").lower() in ("1", "true", "yes"),
        database=_read_database(variables.get("DATABASE_URL", "")),
        redis_url=variables.get("REDIS_URL", "redis://127.0.0.1:6379/0"),
        cluster_key=variables.get("HALEBOX_CLUSTER_KEY", ""),
        superuser=_read_superuser(variables.get("AIDBOX_SUPERUSER", "")),
        cluster_domain=variables.get("AIDBOX_CLUSTER_DOMAIN", "localhost").lower(),
        base_url=base_url,
        email_url=variables.get("EMAIL_URL", ""),
        run_dir=Path(variables.get("HALEBOX_RUN_DIR") or var_dir / "run"),
        var_dir=var_dir,
        static_root=Path(variables.get("HALEBOX_STATIC_ROOT") or var_dir / "static"),
        box_pghost=variables.get("HALEBOX_BOX_PGHOST", "127.0.0.1"),
        box_pgport=variables.get("HALEBOX_BOX_PGPORT", "5432"),
        loopback_ports=_read_range(variables.get("HALEBOX_LOOPBACK_PORTS", "")),
        admin_dsn=variables.get("HALEBOX_ADMIN_DSN", ""),
    )


def _read_file(path: Path) -> dict[str, str]:
    """Return the KEY=value lines of the file; none if it is absent or someone else's."""
    try:
        text = path.read_text()
    except (FileNotFoundError, PermissionError):
        return {}
    lines = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value for key, _, value in lines}


def _read_database(url: str) -> dict[str, str]:
    if not url:
        return {}
    try:
        return {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except Exception as error:  # psycopg.ProgrammingError, whose text would quote the URL
        raise EnvironmentVariableError("DATABASE_URL is not a PostgreSQL URL.") from error


def _read_superuser(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise EnvironmentVariableError("AIDBOX_SUPERUSER must be user:password.")
    return user, password


def _read_range(text: str) -> range:
    if not text:
        return range(0)
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal()):
        raise EnvironmentVariableError("HALEBOX_LOOPBACK_PORTS must be like 20000-29999.")
    return range(int(first), int(last) + 1)


def read_email(url: str) -> dict[str, Any]:
    """Return Django's mail settings for `smtp[s|+tls]://user:password@host:port`; {} for none."""
    if not url:
        return {}
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps", "smtp+tls") or not parts.hostname:
        raise EnvironmentVariableError("EMAIL_URL must be smtp://, smtps:// or smtp+tls://.")
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or {"smtp": 25, "smtps": 465, "smtp+tls": 587}[parts.scheme],
        "EMAIL_HOST_USER": parts.username or "",
        "EMAIL_HOST_PASSWORD": parts.password or "",
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_TIMEOUT": 10,
    }
