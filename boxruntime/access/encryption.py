"""Secrets that must be read again: AES-256-GCM under the box's key.

Stored form: "$" + hex(nonce || ciphertext || tag).
Source: core specification, "Encryption of `secret` attributes".
"""

from __future__ import annotations

import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12
_SEALED = re.compile(r"\$(?:[0-9a-fA-F]{2}){28,}")  # a nonce, a tag, and what is between them


class WrongKeyError(Exception):
    """The text is the stored form of a secret, but of another key."""


def is_sealed(text: str) -> bool:
    """Tell whether the text looks like the stored form of a secret."""
    return _SEALED.fullmatch(text) is not None


def new_key() -> str:
    """Return a fresh key: 64 hexadecimal digits, upper case."""
    return os.urandom(KEY_BYTES).hex().upper()


def seal(key: bytes, secret: str) -> str:
    """Return the stored form of a secret; what is one under this key already stays as it is.

    Raises WrongKeyError for the stored form under another key: sealed twice, it could never be
    read again.
    """
    if is_sealed(secret):
        unseal(key, secret)
        return secret
    nonce = os.urandom(_NONCE_BYTES)
    return "$" + (nonce + AESGCM(key).encrypt(nonce, secret.encode(), None)).hex()


def unseal(key: bytes, stored: str) -> str:
    """Return the secret of a stored form. Raises WrongKeyError."""
    data = bytes.fromhex(stored[1:])
    try:
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None).decode()
    except (InvalidTag, UnicodeDecodeError):
        raise WrongKeyError from None
