"""Elements of type `secret` on their way into storage, and out of it for those who may.

Source: core specification, "Encryption of `secret` attributes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.access.encryption import WrongKeyError, is_sealed, seal, unseal
from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.fhir.secrets import change_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxruntime.api.box import Box
    from boxruntime.fhir.outcome import Path

_NO_KEY = "the box has no key for secrets: AIDBOX_ENCRYPT_KEY is not set"
_WRONG_KEY = "the secret was encrypted under another key"


def encrypt_secrets(box: Box, type_name: str, resource: dict[str, Any]) -> dict[str, Any]:
    """Return a valid resource with its secrets encrypted; what is encrypted already stays.

    Every resource that is to be stored passes here. Raises OutcomeError UNPROCESSABLE without a
    key, and for a secret encrypted under another one.
    """

    def change(secret: str, path: Path) -> str:
        return _keyed(box, seal, secret, type_name, path)

    return change_secrets(box.metadata, type_name, resource, change)


def decrypt_secrets(box: Box, type_name: str, resource: dict[str, Any]) -> dict[str, Any]:
    """Return a stored resource with its secrets in plain text.

    A secret that was written by SQL in plain text is shown as it is. Raises OutcomeError
    UNPROCESSABLE without a key, or with another one than it was encrypted under.
    """

    def change(stored: str, path: Path) -> str:
        return _keyed(box, unseal, stored, type_name, path) if is_sealed(stored) else stored

    return change_secrets(box.metadata, type_name, resource, change)


def _keyed(
    box: Box, work: Callable[[bytes, str], str], text: str, type_name: str, path: Path
) -> str:
    """Return what `work` makes of a text with the box's key. Raises OutcomeError UNPROCESSABLE."""
    key = box.settings.encrypt_key
    if key is None:
        raise _refused(type_name, path, _NO_KEY)
    try:
        return work(key, text)
    except WrongKeyError:
        raise _refused(type_name, path, _WRONG_KEY) from None


def _refused(type_name: str, path: Path, message: str) -> OutcomeError:
    return OutcomeError(Fault.UNPROCESSABLE, Issue(message=message, path=path, type_name=type_name))
