"""The unprivileged account under which PostgreSQL runs when a person starts Halebox as root.

PostgreSQL refuses to run as root. Its files must then be readable to another account, and that
must not be brought about by opening directories that are not ours: what an account cannot reach
is copied or placed elsewhere instead.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.problems import SetupError

PREFERRED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An entry of the password database. A bare uid will not do: initdb looks its name up."""

    name: str
    uid: int
    gid: int

    def popen_options(self) -> dict[str, Any]:
        """Return the arguments that make subprocess start a program as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give `path` itself (nothing below it) to the account."""
        os.chown(path, self.uid, self.gid)


def server_account() -> Account | None:
    """Return the account to change to, or None when we already run without privileges."""
    if os.geteuid() != 0:
        return None
    for name in PREFERRED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise SetupError(
        "PostgreSQL does not run as root and this machine has neither an account named "
        "'postgres' nor one named 'nobody': create one, or start Halebox as another user."
    )


def can_enter(account: Account | None, directory: Path) -> bool:
    """Tell whether the account may traverse `directory`, which must exist, and all its parents.

    Asks the kernel, by a shell that runs as the account: access lists count as well.
    """
    if account is None:
        return os.access(directory, os.X_OK)
    probe = subprocess.run(
        ["/bin/sh", "-c", 'cd -- "$0"', str(directory)],
        check=False,
        capture_output=True,
        cwd="/",
        **account.popen_options(),
    )
    return probe.returncode == 0


def readable_copy(source: Path, target: Path) -> Path:
    """Return `target`, a copy of the directory `source` that every account can read.

    Repeatable; a copy that was interrupted is never taken for a whole one.
    """
    if target.is_dir():
        return target
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True)
    for directory, _, files in os.walk(partial):
        Path(directory).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    partial.rename(target)
    return target
