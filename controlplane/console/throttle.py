"""Limits on guessing: attempts per address, per email and per pair of both."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from tenants.services import limits

if TYPE_CHECKING:
    from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Limit:
    attempts: int
    window_s: int


# A person mistypes a few times; a list of passwords has thousands.
SIGN_IN_PAIR = Limit(8, 15 * 60)
SIGN_IN_EMAIL = Limit(30, 15 * 60)
SIGN_IN_ADDRESS = Limit(100, 15 * 60)
SIGN_UP_ADDRESS = Limit(60, 60 * 60)
RESET_EMAIL = Limit(5, 60 * 60)
RESET_ADDRESS = Limit(60, 60 * 60)
RPC_ADDRESS = Limit(30, 15 * 60)


def client_address(request: HttpRequest) -> str:
    """Return the peer's address as the edge saw it; the edge drops what clients send."""
    forwarded = request.headers.get("x-forwarded-for", "")
    return forwarded.split(",")[-1].strip() or request.META.get("REMOTE_ADDR", "") or "local"


def is_allowed(limit: Limit, *parts: str) -> bool:
    """Count one attempt under the key and return whether it is within the limit."""
    return count(limit, *parts) <= limit.attempts


def count(limit: Limit, *parts: str) -> int:
    """Count one attempt under the key and return how many the running window has."""
    return limits.count_attempt(_key(*parts), window_s=limit.window_s, now=timezone.now())


def is_used_up(limit: Limit, *parts: str) -> bool:
    """Return whether the key has no attempt left, counting none."""
    made = limits.attempts_so_far(_key(*parts), window_s=limit.window_s, now=timezone.now())
    return made >= limit.attempts


def forget(*parts: str) -> None:
    """Start afresh after a success."""
    limits.forget_attempts(_key(*parts))


def may_sign_in(request: HttpRequest, email: str) -> bool:
    """Count an attempt to sign in and return whether it may be made."""
    address = client_address(request)
    verdicts = (
        is_allowed(SIGN_IN_PAIR, "sign-in", email.lower(), address),
        is_allowed(SIGN_IN_EMAIL, "sign-in", email.lower()),
        is_allowed(SIGN_IN_ADDRESS, "sign-in-from", address),
    )
    return all(verdicts)


def signed_in(request: HttpRequest, email: str) -> None:
    """Forget the failures of this email from this address."""
    forget("sign-in", email.lower(), client_address(request))


def _key(*parts: str) -> str:
    text = "\0".join(parts).encode()
    return hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()
