"""Portal tokens: short-lived, signed for one box, naming one person of the platform.

JWT HS256 under the box's access key with iss "halebox", aud the box, sub the account, role, typ
"access" or "sudo", jti, exp.
Source: platform specification, "Routing to a box"; authentication specification, "Multi-tenancy".
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

ISSUER = "halebox"
ROLES = frozenset({"owner", "admin", "writer", "reader"})
MAX_LIFETIME_S = 3600
COOKIE = "aidbox-auth-token"


class PortalToken(msgspec.Struct, frozen=True):
    """What a verified token says."""

    subject: str
    name: str
    role: str
    jti: str
    expires: int


def verify_portal_token(
    text: str, *, key: bytes, box_id: str, kind: str, now: float | None = None
) -> PortalToken | None:
    """Return what the token says, None if it is not one for this box, kind and moment."""
    now = time.time() if now is None else now
    try:
        token = jwt.decode(text, OctKey.import_key(key), algorithms=["HS256"])
    except (JoseError, ValueError):
        return None
    claims: dict[str, Any] = token.claims
    expires, issued = claims.get("exp"), claims.get("iat")
    if not isinstance(expires, int) or not isinstance(issued, int):
        return None
    if not (now < expires <= now + MAX_LIFETIME_S and issued <= now + 60):
        return None
    subject, role, jti = claims.get("sub"), claims.get("role"), claims.get("jti")
    valid = (
        claims.get("iss") == ISSUER
        and claims.get("aud") == box_id
        and claims.get("typ") == kind
        and isinstance(subject, str)
        and isinstance(jti, str)
        and isinstance(role, str)
        and role in ROLES
    )
    if not valid:
        return None
    return PortalToken(
        subject=str(subject),
        name=str(claims.get("name") or subject),
        role=str(role),
        jti=str(jti),
        expires=expires,
    )


def issue_portal_token(
    token: PortalToken, *, key: bytes, box_id: str, lifetime_s: int, now: float | None = None
) -> str:
    """Return an access token for the person that a verified sudo token names."""
    now = time.time() if now is None else now
    claims = {
        "iss": ISSUER,
        "aud": box_id,
        "sub": token.subject,
        "name": token.name,
        "role": token.role,
        "typ": "access",
        "jti": secrets.token_hex(16),
        "iat": int(now),
        "exp": int(now) + lifetime_s,
    }
    return jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, OctKey.import_key(key))
