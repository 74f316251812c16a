"""POST /$encrypt-key: a fresh key. GET /$decrypt/{type}/{id}: a resource with its secrets. Root only.

Source: core specification, "Encryption of `secret` attributes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.access.encryption import new_key
from boxruntime.api.call import Call, Result
from boxruntime.api.encryption import decrypt_secrets

if TYPE_CHECKING:
    from boxruntime.api.box import Box

_NO_STORE = (b"cache-control", b"no-store")


async def encrypt_key(call: Call, box: Box) -> Result:
    """Return a key that AIDBOX_ENCRYPT_KEY may be set to. Nothing remembers it."""
    del call, box
    plain = (b"content-type", b"text/plain; charset=utf-8")
    return Result(status=200, raw=new_key().encode(), headers=(plain, _NO_STORE))


async def decrypt(call: Call, box: Box) -> Result:
    """Return the current version with its secrets in plain text.

    Raises OutcomeError: NOT_FOUND, GONE; UNPROCESSABLE without the right key.
    """
    stored = await box.store.current(call.type, call.id)
    resource = decrypt_secrets(box, call.type, stored.resource())
    return Result(status=200, value=resource, headers=(_NO_STORE,))
