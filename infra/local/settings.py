"""What the operator decided about this installation, and remembers from one `make up` to the next.

A variable that is set in the environment applies and is kept; one that is not set keeps its
last value; one that is set to nothing goes back to its default. So `make up PORT=9000` moves the
platform until someone moves it again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.local.problems import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEPT = (
    "PORT",
    "AIDBOX_SUPERUSER",
    "AIDBOX_CLUSTER_DOMAIN",
    "AIDBOX_CLUSTER_BOX_HEADER",
    "AIDBOX_BASE_URL",
    "DATABASE_URL",
    "REDIS_URL",
    "EMAIL_URL",
    "DJANGO_DEBUG",
    "HALEBOX_LISTEN",
    "HALEBOX_TLS_CERTIFICATE",
    "HALEBOX_TLS_KEY",
    "HALEBOX_H2C",
    "HALEBOX_POSTGRES_BIN",
    "HALEBOX_VALKEY",
    "HALEBOX_NGINX",
)
PASSED_ON = ("EMAIL_URL", "DJANGO_DEBUG")
DEFAULT_PORT = 8888


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """The decisions; None = the default way."""

    port: int
    superuser: str | None
    """user:password"""
    domain: str
    box_header: str
    base_url: str
    database_url: str | None
    """Connection string of an administrator on somebody else's PostgreSQL."""
    redis_url: str | None
    listen: tuple[str, ...]
    tls_certificate: str | None
    tls_key: str | None
    h2c: bool
    """Also HTTP/2 without TLS, for a proxy in front of the edge."""
    postgres_bin: str | None
    valkey: str | None
    nginx: str | None
    passed_on: Mapping[str, str]
    """Variables that only the control plane understands."""


def remember(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is kept in `file` as the environment changes it, and keep the result.

    The file holds passwords: it is readable to its owner only. Raises SetupError before it
    keeps anything that does not make sense.
    """
    try:
        kept: dict[str, str] = json.loads(file.read_text())
    except FileNotFoundError:
        kept = {}
    chosen = kept | {name: environment[name] for name in KEPT if name in environment}
    chosen = {name: value for name, value in sorted(chosen.items()) if value}
    parse_settings(chosen)
    if chosen != kept:
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(chosen, indent=1) + "\n")
        fresh.replace(file)
    return chosen


def parse_settings(chosen: Mapping[str, str]) -> LocalSettings:
    """Read the variables. Raises SetupError, which names one and quotes no secret."""
    port = _port(chosen.get("PORT", str(DEFAULT_PORT)))
    superuser = chosen.get("AIDBOX_SUPERUSER")
    if superuser is not None and not re.fullmatch(r"[^:\s]+:[^\r\n]+", superuser):
        raise SetupError("AIDBOX_SUPERUSER must be user:password.")
    domain = chosen.get("AIDBOX_CLUSTER_DOMAIN", "localhost").lower()
    certificate, key = chosen.get("HALEBOX_TLS_CERTIFICATE"), chosen.get("HALEBOX_TLS_KEY")
    if bool(certificate) != bool(key):
        raise SetupError("HALEBOX_TLS_CERTIFICATE and HALEBOX_TLS_KEY belong together.")
    scheme, usual_port = ("https", 443) if certificate else ("http", 80)
    base_url = f"{scheme}://{domain}" + ("" if port == usual_port else f":{port}")
    for name, value in chosen.items():
        if "\n" in value:
            raise SetupError(f"{name} must not hold a line break.")
    return LocalSettings(
        port=port,
        superuser=superuser,
        domain=domain,
        box_header=chosen.get("AIDBOX_CLUSTER_BOX_HEADER", "x-box"),
        base_url=chosen.get("AIDBOX_BASE_URL", base_url).rstrip("/"),
        database_url=chosen.get("DATABASE_URL"),
        redis_url=chosen.get("REDIS_URL"),
        listen=tuple(chosen.get("HALEBOX_LISTEN", "127.0.0.1").split()),
        tls_certificate=certificate,
        tls_key=key,
        h2c=chosen.get("HALEBOX_H2C", "").lower() in {"1", "true", "yes"},
        postgres_bin=chosen.get("HALEBOX_POSTGRES_BIN"),
        valkey=chosen.get("HALEBOX_VALKEY"),
        nginx=chosen.get("HALEBOX_NGINX"),
        passed_on={name: chosen[name] for name in PASSED_ON if name in chosen},
    )


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise SetupError("PORT must be a number from 1 to 65535.")
    return int(text)
