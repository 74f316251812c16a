"""Requests that broke: written down once for the operator, with an id that the page shows.

Django's own record of them quotes the path, which may carry a token; ours has where in the code
it happened and what kind of error it was, but neither its text nor anything of the request.
"""

from __future__ import annotations

import logging
import secrets
import sys
import traceback
from typing import TYPE_CHECKING, Any

from django.core.signals import got_request_exception

if TYPE_CHECKING:
    from django.http import HttpRequest

log = logging.getLogger(__name__)


def watch() -> None:
    """Write down every exception that nobody expected, from now on. Repeatable."""
    got_request_exception.connect(_write_down, dispatch_uid="controlplane.failures")


def _write_down(sender: object, request: HttpRequest | None = None, **_: Any) -> None:
    error = sys.exception()
    failure = secrets.token_hex(6)
    if request is not None:
        request.failure_id = failure
    log.error(
        "a request broke",
        extra={
            "failure": failure,
            "err": type(error).__name__,
            "etr": "".join(traceback.format_tb(error.__traceback__)) if error else "",
        },
    )


def failure_id(request: HttpRequest) -> str:
    """Return the id under which this request's failure was written down; "" if it was not."""
    return str(getattr(request, "failure_id", ""))
