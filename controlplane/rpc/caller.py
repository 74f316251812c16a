"""Who calls the RPC API: the cluster's superuser with Basic, or a person with a console session.

Source: platform specification, "RPC API".
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from controlplane.console import throttle
from controlplane.environment import get_environment
from controlplane.rpc.errors import RpcError
from tenants.services import accounts

if TYPE_CHECKING:
    from tenants.models import Account


@dataclass(frozen=True, slots=True)
class Caller:
    """`account` is None for the anonymous; the superuser's account is `root`."""

    account: Account | None
    is_superuser: bool = False


def find_caller(request: HttpRequest) -> Caller:
    """Return who calls. Raises RpcError if credentials were given and are wrong."""
    authorization = request.headers.get("authorization", "")
    if authorization:
        address = throttle.client_address(request)
        # Asked before the password is looked at: else guessing could go on unhindered. Only
        # failures count, so the superuser's own calls never use the attempts up.
        if throttle.is_used_up(throttle.RPC_ADDRESS, "rpc", address):
            raise RpcError("Too many attempts")
        if not _is_superuser(authorization):
            throttle.count(throttle.RPC_ADDRESS, "rpc", address)
            raise RpcError("No user session")
        return Caller(accounts.ensure_superuser(), is_superuser=True)
    if request.user.is_authenticated:
        if _csrf_is_missing(request):
            # Another site could make the person's browser send this.
            raise RpcError("No user session")
        return Caller(request.user)
    return Caller(None)


def _is_superuser(authorization: str) -> bool:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or get_environment().superuser is None:
        return False
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    expected = ":".join(get_environment().superuser).encode()
    return hmac.compare_digest(given, expected)


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> str:  # type: ignore[override]
        return reason


def _csrf_is_missing(request: HttpRequest) -> bool:
    check = _CsrfCheck(lambda _: HttpResponse())
    check.process_request(request)
    return check.process_view(request, lambda _: None, (), {}) is not None
