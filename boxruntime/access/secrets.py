"""Secrets at rest: hashed when stored, verified in constant time, never shown.

Two forms: "$s0$<params>$<salt>$<key>" (scrypt, base64) and "__sha256:<64 hex digits>".
Source: authentication specification, "Secrets at rest".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re

SCRYPT_PREFIX = "$s0$"
SHA256_PREFIX = "__sha256:"
LOG2_N, R, P = 15, 8, 1  # "f0801": N=32768, r=8, p=1
_SHA256 = re.compile(r"__sha256:[0-9a-fA-F]{64}")
_MAX_MEMORY = 256 * 1024 * 1024


class MalformedHashError(ValueError):
    """A value begins like a hash but is none."""


def is_hashed(value: str) -> bool:
    """Tell whether the value is a stored form. Raises MalformedHashError for a broken one."""
    if value.startswith(SCRYPT_PREFIX):
        _parse_scrypt(value)
        return True
    if value.startswith(SHA256_PREFIX):
        if not _SHA256.fullmatch(value):
            raise MalformedHashError("malformed __sha256 hash")
        return True
    return False


def hash_secret(secret: str, salt: bytes | None = None) -> str:
    """Return the scrypt form of a secret. Takes about 70 ms of CPU and 32 MB; use a thread."""
    salt = os.urandom(16) if salt is None else salt
    key = _scrypt(secret, salt, LOG2_N, R, P)
    parameters = f"{LOG2_N << 16 | R << 8 | P:x}"
    return f"$s0${parameters}${_b64(salt)}${_b64(key)}"


def verify_secret(secret: str, stored: str) -> bool:
    """Tell whether the secret has this stored form; slow for scrypt. Malformed means no."""
    try:
        if stored.startswith(SHA256_PREFIX):
            if not _SHA256.fullmatch(stored):
                return False
            digest = hashlib.sha256(secret.encode()).hexdigest()
            return hmac.compare_digest(digest, stored[len(SHA256_PREFIX) :].lower())
        log2_n, r, p, salt, key = _parse_scrypt(stored)
        return hmac.compare_digest(_scrypt(secret, salt, log2_n, r, p, len(key)), key)
    except MalformedHashError:
        return False


def is_slow(stored: str) -> bool:
    """Tell whether verifying this form belongs in a thread."""
    return stored.startswith(SCRYPT_PREFIX)


def _scrypt(secret: str, salt: bytes, log2_n: int, r: int, p: int, length: int = 32) -> bytes:
    return hashlib.scrypt(
        secret.encode(), salt=salt, n=1 << log2_n, r=r, p=p, dklen=length, maxmem=_MAX_MEMORY
    )


def _parse_scrypt(text: str) -> tuple[int, int, int, bytes, bytes]:
    parts = text.split("$")
    try:
        _, _, parameters, salt_text, key_text = parts
        packed = int(parameters, 16)
        salt = base64.b64decode(salt_text, validate=True)
        key = base64.b64decode(key_text, validate=True)
    except (ValueError, binascii.Error):
        raise MalformedHashError("malformed $s0$ hash") from None
    log2_n, r, p = packed >> 16, packed >> 8 & 0xFF, packed & 0xFF
    # Bounds keep a stored hash from being an attack on memory and time.
    if not (1 <= log2_n <= 20 and 1 <= r <= 16 and 1 <= p <= 4 and salt and len(key) >= 16):
        raise MalformedHashError("malformed $s0$ hash")
    if (128 << log2_n) * r > _MAX_MEMORY // 2:
        raise MalformedHashError("malformed $s0$ hash")
    return log2_n, r, p, salt, key


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
