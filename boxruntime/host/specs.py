"""Box specs at rest: one encrypted file a box, so that a restarted host serves without help.

`<directory>/<box>.spec` is a Fernet token over the JSON of `Kept`; the key is derived from the
cluster key, which only the manager process holds. The directory is readable to its owner only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from boxruntime.contract import BoxSpec
from boxruntime.host.errors import HostError
from boxruntime.host.names import check_name

_logger = logging.getLogger("boxhost.specs")
_PURPOSE = b"halebox box host: specs at rest"
MIN_KEY_BYTES = 16


class Kept(msgspec.Struct, frozen=True):
    """A spec with what the host itself decided about the box."""

    spec: BoxSpec
    number: int
    """Counts up from 0 and is never given to a second box: its user id is made of it."""


def parse_key(text: str | None) -> bytes:
    """Return the cluster key of HALEBOX_CLUSTER_KEY. Raises HostError; never quotes the text."""
    try:
        key = bytes.fromhex(text or "")
    except ValueError:
        raise HostError("HALEBOX_CLUSTER_KEY is not hexadecimal.") from None
    if len(key) < MIN_KEY_BYTES:
        raise HostError(f"HALEBOX_CLUSTER_KEY must hold at least {MIN_KEY_BYTES} bytes in hex.")
    return key


class SpecStore:
    """The directory of specs. Every write is complete or absent, also after a power cut."""

    def __init__(self, directory: Path, cluster_key: bytes) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._directory = directory
        derived = hmac.digest(cluster_key, _PURPOSE, hashlib.sha256)
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def load(self) -> list[Kept]:
        """Return all boxes. A file that cannot be read is logged, left alone and skipped."""
        boxes = []
        for path in sorted(self._directory.glob("*.spec")):
            try:
                boxes.append(self._read(path))
            except (InvalidToken, msgspec.MsgspecError, HostError, OSError) as error:
                _logger.error(  # noqa: TRY400 - the traceback adds nothing
                    "The spec file %s is unreadable (%s): written with another cluster key?",
                    path.name,
                    type(error).__name__,
                )
        return boxes

    def save(self, kept: Kept) -> None:
        """Write durably, replacing the previous spec of the box."""
        token = self._fernet.encrypt(msgspec.json.encode(kept))
        self._write(f"{check_name(kept.spec.id)}.spec", token)

    def delete(self, box: str) -> None:
        """Delete durably; nothing happens when there is none."""
        (self._directory / f"{check_name(box)}.spec").unlink(missing_ok=True)
        self._sync_directory()

    def take_number(self) -> int:
        """Return a number that no box had before."""
        path = self._directory / "next-number"
        try:
            number = int(path.read_text())
        except (FileNotFoundError, ValueError):
            number = max((kept.number + 1 for kept in self.load()), default=0)
        self._write("next-number", str(number + 1).encode())
        return number

    def _read(self, path: Path) -> Kept:
        kept = msgspec.json.decode(self._fernet.decrypt(path.read_bytes()), type=Kept)
        if check_name(kept.spec.id) != path.stem:
            raise HostError("The file belongs to another box.")
        return kept

    def _write(self, name: str, data: bytes) -> None:
        new = self._directory / f".{name}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        new.rename(self._directory / name)
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
