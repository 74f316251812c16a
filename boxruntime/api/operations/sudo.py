"""GET /__sudo: let a person of the platform into the box, by a one-use token.

Source: platform specification, "Routing to a box".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from boxruntime.access.portal import COOKIE, PortalToken, issue_portal_token, verify_portal_token
from boxruntime.api.call import Call, Result
from boxruntime.fhir.outcome import Fault, OutcomeError

if TYPE_CHECKING:
    from boxruntime.api.box import Box

SESSION_S = 600
SUPERUSER = "root"


async def sudo(call: Call, box: Box) -> Result:
    """Exchange a sudo token for the box's session cookie and redirect to a local path.

    Raises OutcomeError: LOGIN for a token that is wrong, expired, used, or for another box;
    INVALID for a redirect that leaves the box.
    """
    target = call.parameter("redirect-uri") or "/"
    if not _is_local(target):
        raise OutcomeError(Fault.INVALID, "redirect-uri must be a path of this box.")
    key = box.settings.access_key
    token = call.parameter("token") or ""
    known = None
    if key is not None:
        known = verify_portal_token(token, key=key, box_id=box.settings.box_id, kind="sudo")
    if known is None or key is None:
        raise OutcomeError(Fault.LOGIN, "The token is not valid.")
    role = _role_now(box, known)
    if role is None:
        raise OutcomeError(Fault.LOGIN, "The account does not take part in this box.")
    spent = await box.database.run(
        "WITH expired AS (DELETE FROM box.spent_token WHERE expires < now()) "
        "INSERT INTO box.spent_token (jti, expires) VALUES ($1, $2) "
        "ON CONFLICT DO NOTHING RETURNING jti",
        known.jti,
        datetime.fromtimestamp(known.expires, UTC),
    )
    if not spent:
        raise OutcomeError(Fault.LOGIN, "The token was used already.")
    session = issue_portal_token(
        msgspec.structs.replace(known, role=role),
        key=key,
        box_id=box.settings.box_id,
        lifetime_s=SESSION_S,
    )
    cookie = f"{COOKIE}={session}; Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Lax"
    if call.base.startswith("https:"):
        cookie += "; Secure"
    return Result(
        status=302,
        headers=(
            (b"location", target.encode("latin-1", "replace")),
            (b"set-cookie", cookie.encode()),
            (b"cache-control", b"no-store"),
        ),
        raw=b"",
    )


def _role_now(box: Box, token: PortalToken) -> str | None:
    """Return the role that the account has by now; the cluster's superuser takes part in none."""
    if token.subject == SUPERUSER:
        return token.role
    for one in box.settings.participants:
        if one.user == token.subject:
            return one.role
    return None


def _is_local(target: str) -> bool:
    return (
        target.startswith("/")
        and not target.startswith("//")
        and "\\" not in target
        and all(" " < character < "\x7f" for character in target)
    )
