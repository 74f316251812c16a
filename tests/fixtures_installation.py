"""The whole platform, as `make up` starts it: for tests that go through every part.

It takes 15 s and more, so it is started once per session, and only if a test asks for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.local.ports import any_free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Installation:
    """A running platform with its own data."""

    var: Path
    port: int
    superuser: tuple[str, str]

    @property
    def base_url(self) -> str:
        """The console's; boxes are at `box_url`."""
        return f"http://localhost:{self.port}"

    def box_url(self, box: str) -> str:
        return f"http://{box}.localhost:{self.port}"

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m infra.local command` on this platform."""
        return run_local(self.var, command, **environment)


def run_local(var: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the local edition on the data directory `var`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "infra.local", command],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=kept | {"HALEBOX_VAR": str(var)} | environment,
    )


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """A running platform: `.base_url`, `.box_url(name)`, `.superuser`, `.var`."""
    home = Path(tempfile.mkdtemp(prefix="hb-"))
    home.chmod(0o711)
    started = Installation(
        var=home / "var", port=any_free_port(), superuser=("root", "only-for-tests")
    )
    result = started.run("up", PORT=str(started.port), AIDBOX_SUPERUSER=":".join(started.superuser))
    try:
        assert result.returncode == 0, result.stdout + result.stderr
        yield started
    finally:
        cleaned = started.run("clean")
        shutil.rmtree(home, ignore_errors=True)
        assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
