"""The cluster key and what is made of it: sealed secrets, boxes' access keys, portal tokens.

Whoever holds the cluster key is the control plane. A box holds only its own access key, which
verifies the tokens minted for it and tells nothing about the cluster key or other boxes.
Source: platform specification, "Routing to a box" and "Multi-box variables".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from typing import Literal

from cryptography.fernet import Fernet, InvalidToken
from joserfc import jwt
from joserfc.jwk import OctKey

KEY_BYTES = 32
LIFETIME_S = {"access": 600, "sudo": 120}
ROLES = frozenset({"owner", "admin", "writer", "reader"})
_SEAL_PURPOSE = b"halebox control plane: secrets at rest"
_ACCESS_PURPOSE = b"halebox box access:"


class SealError(Exception):
    """A sealed text cannot be opened: altered, or sealed with another cluster key."""


class ClusterKey:
    """32 secret bytes, the same on every machine of one platform and for its whole life."""

    __slots__ = ("_key", "_seal")

    def __init__(self, key: bytes) -> None:
        """Raises ValueError for a key of another length; never quotes it."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"The cluster key has {KEY_BYTES} bytes.")
        self._key = key
        # Each use has a key of its own, so that none can stand in for another.
        self._seal = Fernet(base64.urlsafe_b64encode(self._derive(_SEAL_PURPOSE)))

    @classmethod
    def generate(cls) -> ClusterKey:
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_hex(cls, text: str) -> ClusterKey:
        """Read HALEBOX_CLUSTER_KEY. Raises ValueError; never quotes the text."""
        try:
            key = bytes.fromhex(text)
        except ValueError:
            raise ValueError("The cluster key is not hexadecimal.") from None
        return cls(key)

    def hex(self) -> str:
        """Return the key itself, for the file or variable it is kept in."""
        return self._key.hex()

    def __repr__(self) -> str:
        return "ClusterKey(…)"

    def seal(self, text: str) -> str:
        """Encrypt a secret for rest in a database. Two seals of one text differ."""
        return self._seal.encrypt(text.encode()).decode()

    def unseal(self, token: str) -> str:
        """Return the text that `seal` was given. Raises SealError."""
        try:
            return self._seal.decrypt(token).decode()
        except InvalidToken:
            raise SealError("A sealed secret does not belong to this cluster key.") from None

    def access_key(self, box: str) -> str:
        """Return BOX_ACCESS_KEY of the box: hex of 32 bytes."""
        return self._derive(_ACCESS_PURPOSE + box.encode()).hex()

    def mint_token(
        self,
        box: str,
        *,
        subject: str,
        name: str,
        role: str,
        kind: Literal["access", "sudo"] = "access",
        now: float | None = None,
    ) -> str:
        """Return a token that lets one person into one box, for minutes.

        `subject` is the account's id as text ("root" for the superuser), `name` its email. A
        "sudo" token is only good for `GET /__sudo`, once. Raises ValueError for another role.
        """
        if role not in ROLES:
            raise ValueError(f"Unknown role {role!r}.")
        issued = int(time.time() if now is None else now)
        claims = {
            "iss": "halebox",
            "aud": box,
            "sub": subject,
            "name": name,
            "role": role,
            "typ": kind,
            "jti": secrets.token_hex(16),
            "iat": issued,
            "exp": issued + LIFETIME_S[kind],
        }
        key = OctKey.import_key(bytes.fromhex(self.access_key(box)))
        return jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, key)

    def _derive(self, purpose: bytes) -> bytes:
        return hmac.digest(self._key, purpose, hashlib.sha256)
