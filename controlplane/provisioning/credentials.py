"""The secrets of one box: made once, kept sealed in its row, given to nobody but its process."""

from __future__ import annotations

import hashlib
import secrets

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of a box needs to reach its database and to sign and encrypt."""

    database_password: str
    encrypt_key: str
    """Hex, 256 bits: encrypts `secret` attributes inside the box."""
    signing_key: str
    """PEM: signs the tokens that the box issues."""

    def __repr__(self) -> str:
        return "Credentials(…)"


def make_credentials() -> Credentials:
    """Return fresh secrets; takes about 0.1 s, for the RSA key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Credentials(
        database_password=secrets.token_urlsafe(24),
        encrypt_key=secrets.token_hex(32),
        signing_key=pem.decode(),
    )


def encode_credentials(credentials: Credentials) -> str:
    """Return JSON, to be sealed."""
    return msgspec.json.encode(credentials).decode()


def decode_credentials(text: str) -> Credentials:
    """Return what `encode_credentials` was given. Raises msgspec.DecodeError."""
    return msgspec.json.decode(text, type=Credentials)


def make_client_secret() -> str:
    """Return a secret for a box's first client: 256 random bits.

    Hex, for it is typed into command lines, where a leading hyphen would make it an option.
    """
    return secrets.token_hex(32)


def hash_client_secret(secret: str) -> str:
    """Return the form in which a box takes a secret without learning it.

    Source: authentication specification, "Secrets at rest".
    """
    return "__sha256:" + hashlib.sha256(secret.encode()).hexdigest()
