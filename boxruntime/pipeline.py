"""The stages of a request in order, and the only place where failures become responses.

bytes -> RawRequest -> Call -> Principal -> Grant -> Result -> Response -> bytes
"""

from __future__ import annotations

import asyncio
import os
from itertools import count
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import asyncpg

from boxruntime.access.authenticate import Authenticator, CredentialsError
from boxruntime.access.portal import ISSUER
from boxruntime.access.principal import ANONYMOUS, Kind
from boxruntime.api.asked import Asked
from boxruntime.api.call import Body, Call
from boxruntime.api.cors import cors_headers, is_preflight, preflight
from boxruntime.api.dispatch import authorize, no_route
from boxruntime.api.interactions.binary import takes_any_accept
from boxruntime.api.policy_debug import asks_for_debug, debug_instead
from boxruntime.api.render import render_error, render_result
from boxruntime.api.routing import type_of
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.http.messages import RawRequest, RequestError, Response
from boxruntime.http.negotiation import Format, answer_format
from boxruntime.http.target import MAX_TARGET_BYTES, parse_query, split_path
from boxruntime.storage.errors import LostRaceError, outcome_of
from boxruntime.telemetry.requests import Trail, begin, caller_members
from boxruntime.telemetry.statements import REQUEST

if TYPE_CHECKING:
    from boxruntime.access.principal import Principal
    from boxruntime.api.box import Box
    from boxruntime.fhir.metadata import Metadata
    from boxruntime.telemetry.log import EventLog

_FAULTS = {
    400: Fault.INVALID,
    406: Fault.NOT_ACCEPTABLE,
    413: Fault.TOO_LARGE,
    414: Fault.URI_TOO_LONG,
    415: Fault.UNSUPPORTED_MEDIA_TYPE,
    431: Fault.HEADER_TOO_LARGE,
    503: Fault.TRANSIENT,
}
_OVERRIDES = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OWN_MEDIA = frozenset({b"/_logs", b"/$encrypt-key", b"/%24encrypt-key"})
"""Paths whose answers have a media type of their own, so that any Accept will do."""
_GONE = 499
"""In the log only: the client went away before it was answered (as nginx says)."""
_RETRY_AFTER = (b"retry-after", b"1")
_process = os.urandom(5).hex()
_numbers = count(1)


class Runtime(Protocol):
    """What the pipeline needs of the application."""

    box: Box
    authenticator: Authenticator
    log: EventLog

    @property
    def is_current(self) -> bool: ...

    async def catch_up(self) -> None: ...


async def handle(request: RawRequest, runtime: Runtime) -> Response:
    """Answer one request. Never raises."""
    log = runtime.log
    sent_id = request.headers.get(b"x-request-id")
    request_id = sent_id[:128].decode("latin-1") if sent_id else f"{_process}-{next(_numbers):x}"
    REQUEST.set(request_id)
    trail = begin(
        log,
        request_id,
        request.method,
        request.path,
        request.query,
        request.peer,
        request.headers,
    )
    try:
        response = await _respond(request, runtime, request_id, trail)
    except asyncio.CancelledError:
        trail.end(_GONE)
        raise
    trail.end(response.status)
    return response


async def _respond(
    request: RawRequest, runtime: Runtime, request_id: str, trail: Trail
) -> Response:
    dialect = Dialect.FHIR if _is_fhir(request.path) else Dialect.AIDBOX
    extra = [(b"x-request-id", request_id.encode("latin-1"))]
    format_ = Format.JSON
    query: list[tuple[str, str]] = []
    try:
        query = parse_query(request.query) if request.query else []
        wanted = next((value for name, value in reversed(query) if name == "_format"), None)
        origin_headers = cors_headers(request, runtime.box.allowed_origins)
        extra.extend(origin_headers)
        if is_preflight(request):
            return preflight(request, origin_headers, extra)
        try:
            format_ = answer_format(request.header(b"accept"), wanted)
        except RequestError:
            if not takes_any_accept(request) and request.path not in _OWN_MEDIA:
                raise
        response = await _answer(request, runtime, dialect, query, format_, extra, trail)
    except OutcomeError as error:
        if error.fault is Fault.FORBIDDEN:
            runtime.log.write("a/warn", level="warn", ctx=request_id, msg="No policy allows it.")
        failure = error
    except RequestError as error:
        failure = _failure(error)
    except CredentialsError as error:
        extra.append((b"www-authenticate", error.challenge.encode()))
        runtime.log.write("a/warn", level="warn", ctx=request_id, msg="No valid credentials.")
        failure = OutcomeError(Fault.LOGIN, "The credentials are not valid.")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, LostRaceError, OSError) as error:
        known = outcome_of(error)
        state = getattr(error, "sqlstate", None)
        if known is None:
            runtime.log.write_bug(error, request_id=request_id, event="db/ex", state=state)
        elif not (runtime.log.sql and isinstance(error, asyncpg.PostgresError)):
            # Where statements are logged, the statement has told already.
            name = type(error).__name__
            runtime.log.write("db/ex", level="warn", ctx=request_id, err=name, state=state)
        failure = known or _bug(request_id)
    except RecursionError:
        failure = OutcomeError(Fault.UNPROCESSABLE, "The body is nested too deeply.")
    except Exception as error:  # noqa: BLE001 - the boundary: a bug must not end the process
        runtime.log.write_bug(error, request_id=request_id)
        failure = _bug(request_id)
    else:
        response.headers.extend(extra)
        return response
    if failure.fault is Fault.TRANSIENT:
        extra.append(_RETRY_AFTER)
    pretty = ("_pretty", "true") in query
    return render_error(runtime.box.metadata, failure, dialect, format_, extra, pretty=pretty)


def refuse(metadata: Metadata, path: bytes, error: RequestError, log: EventLog) -> Response:
    """Answer a request whose bytes could not be taken in."""
    request_id = f"{_process}-{next(_numbers):x}"
    begin(log, request_id, "", path, b"", "", {}).end(error.status)
    dialect = Dialect.FHIR if _is_fhir(path) else Dialect.AIDBOX
    failure = _failure(error)
    later = [_RETRY_AFTER] if failure.fault is Fault.TRANSIENT else []
    return render_error(metadata, failure, dialect, Format.JSON, later)


def _failure(error: RequestError) -> OutcomeError:
    return OutcomeError(_FAULTS[error.status], error.message)


def _is_fhir(path: bytes) -> bool:
    return path == b"/fhir" or path.startswith(b"/fhir/")


async def _answer(
    request: RawRequest,
    runtime: Runtime,
    dialect: Dialect,
    query: list[tuple[str, str]],
    format_: Format,
    extra: list[tuple[bytes, bytes]],
    trail: Trail,
) -> Response:
    box = runtime.box
    if len(request.path) + len(request.query) > MAX_TARGET_BYTES:
        raise RequestError(414, "The URL is too long.")
    segments = split_path(request.path)
    if segments[:1] == ("fhir",):
        dialect = Dialect.FHIR  # however it was encoded
    inner = segments[1:] if dialect is Dialect.FHIR else segments
    method = _effective_method(request)
    headers = request.headers
    found = box.routes.find(dialect, method, inner)
    is_public = found is not None and found[0].public
    if not runtime.is_current and not is_public:
        await runtime.catch_up()
        box = runtime.box
        found = box.routes.find(dialect, method, inner)
    principal = await runtime.authenticator.authenticate(
        headers.get(b"authorization"),
        # A browser sends an expired cookie along; that is no reason to keep it from signing in.
        cookie=None if is_public else headers.get(b"cookie"),
        client_authorization=headers.get(b"x-client-auth"),
    )
    if principal is not ANONYMOUS:
        trail.caller = _caller(principal)
    base = box.authorities.get(headers.get(b"host", b"").lower(), box.settings.base_url)
    if method in _UNSAFE and b"authorization" not in headers:
        _check_same_origin(request, base, principal)
    asked = Asked(
        dialect=dialect,
        method=method,
        uri="/" + "/".join(segments),
        parameters=found[1] if found else {},
        query=query,
        query_string=request.query,
        headers=headers,
        body=Body(request.body, request.header(b"content-type")),
        peer=request.peer,
        scheme=base.partition(":")[0],
        request_id=extra[0][1].decode("latin-1"),
    )
    if query and asks_for_debug(query):
        found = debug_instead(box, principal, found)
    else:
        resource_type = found[1].get("type") if found else type_of(inner)
        await authorize(
            box, principal, asked, route=found[0] if found else None, resource_type=resource_type
        )
    if found is None:
        failure, methods = no_route(box, dialect, method, inner)
        if methods:
            extra.append((b"allow", ", ".join(methods).encode()))
        raise failure
    route, parameters = found
    call = Call(
        route=route,
        method=method,
        dialect=dialect,
        uri=asked.uri,
        parameters=parameters,
        query=query,
        headers=headers,
        body=asked.body,
        base=base,
        principal=principal,
        asked=asked,
    )
    response = render_result(box.metadata, call, await route.handler(call, box), format_)
    if method == "HEAD" and request.method == "POST":
        return Response(response.status, response.headers)  # the server keeps a POST's body
    return response


def _caller(principal: Principal) -> str:
    token = principal.user_id if principal.kind is Kind.PORTAL else None
    issuer = None if token is None else ISSUER
    return caller_members(principal.client_id, principal.user_id, token, issuer)


def _effective_method(request: RawRequest) -> str:
    if request.method != "POST":
        return request.method
    override = request.header(b"x-http-method-override")
    if override is None:
        return "POST"
    method = override.strip().upper()
    if method == "POST":
        return method
    if method not in _OVERRIDES:
        raise RequestError(400, "X-HTTP-Method-Override names no method.")
    return method


def _check_same_origin(request: RawRequest, base: str, principal: Principal) -> None:
    """Refuse a write that a foreign page sends with the cookie of a person.

    Programs send no Origin and no Referer; browsers always do on unsafe methods.
    Source: authentication specification, "Authenticating a request".
    """
    if principal.role is None:
        return
    origin = request.header(b"origin") or request.header(b"referer")
    if origin is not None and _origin(origin) != _origin(base):
        raise OutcomeError(Fault.FORBIDDEN, "Access Denied")
    if request.header(b"sec-fetch-site") in {"cross-site", "same-site"}:
        raise OutcomeError(Fault.FORBIDDEN, "Access Denied")


def _origin(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.scheme, parts.netloc.lower()


def _bug(request_id: str) -> OutcomeError:
    return OutcomeError(
        Fault.EXCEPTION, f"An unexpected error occurred; it was logged as {request_id}."
    )
