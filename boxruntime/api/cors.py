"""Pages of other origins: which may read answers, and what they may send.

An origin is allowed when some active Client lists it. Cookies never count across origins: pages
come with a token or a client's credentials.
Source: authentication specification, "Client" (allowed_origins); Fetch standard, "CORS protocol".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.http.messages import RawRequest, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

_EXPOSED = b"location, etag, last-modified, x-request-id, retry-after"
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_SENT = (
    b"authorization, content-type, accept, if-match, if-none-match, if-none-exist, "
    b"if-modified-since, prefer, x-request-id, x-correlation-id, x-client-auth, x-audit, "
    b"x-http-method-override, aidbox-validation-skip"
)
_MAX_AGE_S = b"600"


def allowed_origins(clients: Iterable[dict[str, Any]]) -> frozenset[str]:
    """Return the origins that active clients list; "*" means every one."""
    found: set[str] = set()
    for client in clients:
        origins = client.get("allowed_origins")
        if client.get("active") is not False and isinstance(origins, list):
            found.update(each.rstrip("/") for each in origins if isinstance(each, str))
    return frozenset(found)


def cors_headers(request: RawRequest, allowed: frozenset[str]) -> Headers:
    """Return the headers that let a page of an allowed origin read the answer."""
    origin = request.header(b"origin")
    if origin is None or not allowed:
        return []
    if origin not in allowed and "*" not in allowed:
        return [(b"vary", b"origin")]
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"origin"),
    ]


def is_preflight(request: RawRequest) -> bool:
    """Tell whether a browser asks what a page may send. It comes without credentials."""
    return request.method == "OPTIONS" and b"access-control-request-method" in request.headers


def preflight(request: RawRequest, origin: Headers, headers: Headers) -> Response:
    """Return the answer to a preflight, the same for every path: it tells of no route."""
    del request
    if len(origin) < 2:
        return Response(204, headers)
    return Response(
        204,
        [
            *headers,
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _SENT),
            (b"access-control-max-age", _MAX_AGE_S),
        ],
    )
