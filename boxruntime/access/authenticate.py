"""From a request's credentials to a Principal; the first credential present decides.

A secret is verified slowly once; after that the very same header is recognised by its keyed hash
until any client changes, so that no password hash runs on the hot path.
Source: authentication specification, "Authenticating a request", "Basic authentication".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import msgspec

from boxruntime.access.portal import COOKIE, PortalToken, verify_portal_token
from boxruntime.access.principal import ANONYMOUS, Kind, Principal
from boxruntime.access.secrets import hash_secret, is_slow, verify_secret

REMEMBERED = 10_000
PARALLEL_HASHES = 2  # each takes 32 MB and a core

FindClient = Callable[[str], Awaitable[dict[str, Any] | None]]


class CredentialsError(Exception):
    """The credentials are wrong; `challenge` goes into WWW-Authenticate."""

    def __init__(self, challenge: str) -> None:
        super().__init__("credentials refused")
        self.challenge = challenge


BASIC_CHALLENGE = 'Basic realm="box", charset="UTF-8"'
BEARER_CHALLENGE = 'Bearer error="invalid_token"'


@lru_cache(maxsize=1)
def decoy_hash() -> str:
    """Return a hash that no secret has, to verify against where there is no client."""
    return hash_secret("", salt=bytes(16))


class Authenticator:
    """Recognises callers of one box process."""

    def __init__(self, *, box_id: str, access_key: bytes | None, find_client: FindClient) -> None:
        self._box_id = box_id
        self._access_key = access_key
        self._find_client = find_client
        self._key = os.urandom(32)
        self._remembered: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self._hashing = asyncio.Semaphore(PARALLEL_HASHES)
        self._generation = 0
        self._verifying: dict[tuple[int, bytes], asyncio.Future[Principal]] = {}

    def forget(self) -> None:
        """Forget every recognised credential: a client changed."""
        self._generation += 1
        self._remembered.clear()

    async def authenticate(
        self,
        authorization: bytes | None,
        *,
        cookie: bytes | None = None,
        client_authorization: bytes | None = None,
    ) -> Principal:
        """Return the caller; no credential means ANONYMOUS. Raises CredentialsError.

        `client_authorization` (X-Client-Auth) names the program through which a bearer comes; a
        wrong one is refused in any case.
        """
        principal = await self._caller(authorization, cookie)
        if client_authorization is None:
            return principal
        if client_authorization[:6].lower() != b"basic ":
            raise CredentialsError(BASIC_CHALLENGE)
        client = (await self._caller(client_authorization, None)).client
        return msgspec.structs.replace(principal, client=client) if principal.user else principal

    async def _caller(self, authorization: bytes | None, cookie: bytes | None) -> Principal:
        if authorization is None:
            if cookie is None or self._access_key is None:
                return ANONYMOUS
            token = _cookie_value(cookie)
            if token is None:
                return ANONYMOUS
            authorization = b"Bearer " + token
        mark = hashlib.blake2b(authorization, key=self._key, digest_size=16).digest()
        known = self._remembered.get(mark)
        if known is not None and known[1] > time.time():
            return known[0]
        # Many first requests with one credential are one verification: after a start, thirty
        # connections would otherwise hash the same secret thirty times.
        key = (self._generation, mark)
        verification = self._verifying.get(key)
        if verification is None:
            verification = asyncio.ensure_future(self._verify_caller(mark, authorization))
            self._verifying[key] = verification
            verification.add_done_callback(lambda _: self._verifying.pop(key, None))
        return await asyncio.shield(verification)

    async def _verify_caller(self, mark: bytes, authorization: bytes) -> Principal:
        scheme, _, credentials = authorization.partition(b" ")
        name = scheme.lower()
        generation = self._generation
        if name == b"basic":
            principal, until = await self._basic(credentials.strip()), float("inf")
        elif name == b"bearer":
            principal, until = self._bearer(credentials.strip())
        else:
            raise CredentialsError(BASIC_CHALLENGE)
        # A change while we verified makes the answer good for this request only.
        if generation == self._generation:
            self._remembered[mark] = (principal, until)
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return principal

    async def _basic(self, credentials: bytes) -> Principal:
        try:
            text = base64.b64decode(credentials, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise CredentialsError(BASIC_CHALLENGE) from None
        client_id, colon, secret = text.partition(":")
        if not colon or not client_id or "\x00" in text:
            raise CredentialsError(BASIC_CHALLENGE)
        client = await self._find_client(client_id)
        stored = client.get("secret") if client else None
        grants = client.get("grant_types") if client else None
        usable = (
            client is not None
            and isinstance(stored, str)
            and client.get("active") is not False
            and isinstance(grants, list)
            and "basic" in grants
        )
        # An unknown client costs the same time as a known one.
        matches = await self._verify(secret, stored if isinstance(stored, str) else decoy_hash())
        if client is None or not usable or not secret or not matches:
            raise CredentialsError(BASIC_CHALLENGE)
        shown = {key: value for key, value in client.items() if key != "secret"}
        return Principal(kind=Kind.CLIENT, client=shown)

    async def _verify(self, secret: str, stored: str) -> bool:
        if not is_slow(stored):
            return verify_secret(secret, stored)
        async with self._hashing:
            return await asyncio.to_thread(verify_secret, secret, stored)

    def _bearer(self, credentials: bytes) -> tuple[Principal, float]:
        if self._access_key is None:
            raise CredentialsError(BEARER_CHALLENGE)
        token = verify_portal_token(
            credentials.decode("latin-1"), key=self._access_key, box_id=self._box_id, kind="access"
        )
        if token is None:
            raise CredentialsError(BEARER_CHALLENGE)
        return portal_principal(token), float(token.expires)


def portal_principal(token: PortalToken) -> Principal:
    """Return the participant that a verified portal token names."""
    user = {"resourceType": "User", "id": token.subject, "email": token.name}
    return Principal(kind=Kind.PORTAL, user=user, role=token.role)


def _cookie_value(header: bytes) -> bytes | None:
    for item in header.split(b";"):
        name, _, value = item.strip().partition(b"=")
        if name == COOKIE.encode():
            return value
    return None
