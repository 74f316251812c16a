"""Where an installation keeps what: data under `var/`, sockets in a short directory.

Two limits move things out of `var/`: the path of a unix socket has at most 107 bytes, and as root
PostgreSQL runs under another account, which may be unable to enter the checkout (below `/root`,
say). Nothing is ever opened to that account; what it needs is placed where it can go.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.local.accounts import can_enter
from infra.local.problems import SetupError

if TYPE_CHECKING:
    from infra.local.accounts import Account

MAX_SOCKET_PATH = 107
LONGEST_SOCKET = "/boxes/" + "x" * 40 + ".sock"
NEEDED_MB = 400  # a fresh cluster with one template takes 100


@dataclass(frozen=True, kw_only=True)
class Places:
    """The directories of one installation. All exist after `ensure`."""

    project: Path
    var: Path
    run: Path
    """Sockets. Its parent belongs to this installation alone."""
    postgres: Path

    @property
    def secrets(self) -> Path:
        return self.var / "secrets"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def state(self) -> Path:
        return self.var / "state.json"

    @property
    def code(self) -> Path:
        """Fingerprint of the code that runs."""
        return self.var / "code"

    @property
    def environment_file(self) -> Path:
        return self.var / "control.env"

    def secret(self, name: str, size: int = 24) -> str:
        """Return the random text kept under `name`, made now if there is none."""
        file = self.secrets / name
        if not file.exists():
            keep_secret(file, secrets.token_urlsafe(size))
        return file.read_text().strip()


def keep_secret(file: Path, text: str) -> None:
    """Write a secret for its owner's eyes; never half-written."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text + "\n")
    fresh.replace(file)


def ensure_places(project: Path, var: Path, account: Account | None) -> Places:
    """Make the directories and return where they are. Raises SetupError."""
    try:
        var.mkdir(parents=True, exist_ok=True)
        free_mb = shutil.disk_usage(var).free // 2**20
        if free_mb < NEEDED_MB:
            raise SetupError(
                f"Only {free_mb} MB are free on the disk of {var}; {NEEDED_MB} MB are needed."
            )
        for name in ("secrets", "log", "beat"):
            (var / name).mkdir(exist_ok=True)
            (var / name).chmod(0o700)
        reachable = can_enter(account, var)
        run = _run_directory(var, reachable=reachable)
        postgres = (
            var / "postgresql"
            if reachable
            else Path("/var/lib", f"halebox-{_name(var)}/postgresql")
        )
        postgres.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{error.filename or var}: {error.strerror}.") from error
    for record, place in (("run-directory", run.parent), ("postgresql-directory", postgres.parent)):
        # Directories elsewhere are written down, so that `make clean` finds them again.
        (var / record).write_text(f"{place}\n" if place != var else "")
    return Places(project=project, var=var, run=run, postgres=postgres)


def outside_directories(var: Path) -> list[Path]:
    """Return the directories of this installation that are not under `var`."""
    found = []
    for record in ("run-directory", "postgresql-directory"):
        file = var / record
        if file.exists() and file.read_text().strip():
            found.append(Path(file.read_text().strip()))
    return [path for path in found if path.name == f"halebox-{_name(var)}"]


def _name(var: Path) -> str:
    return hashlib.sha256(os.fsencode(var)).hexdigest()[:12]


def _run_directory(var: Path, *, reachable: bool) -> Path:
    run = var / "run"
    if reachable and len(os.fsencode(run)) + len(LONGEST_SOCKET) <= MAX_SOCKET_PATH:
        run.mkdir(exist_ok=True)
        if _holds_sockets(run):
            return run
    # /run needs root; elsewhere only /tmp is sure to outlive a person's session.
    base = Path("/run") if os.geteuid() == 0 and Path("/run").is_dir() else Path("/tmp")  # noqa: S108 - ownership is checked
    home = base / f"halebox-{_name(var)}"
    home.mkdir(mode=0o711, exist_ok=True)
    status = home.lstat()
    if home.is_symlink() or status.st_uid != os.geteuid():
        raise SetupError(f"{home} belongs to somebody else; remove it.")
    home.chmod(0o711)
    run = home / "run"
    run.mkdir(exist_ok=True)
    return run


def _holds_sockets(directory: Path) -> bool:
    """Tell whether the file system knows unix sockets; some shared folders do not."""
    with tempfile.TemporaryDirectory(dir=directory) as probe:
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(os.path.join(probe, "s"))  # noqa: PTH118 - a path as text
        except OSError:
            return False
    return True
