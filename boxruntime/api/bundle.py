"""The entries of a batch or transaction Bundle: from the envelope to Calls, from Results back.

Source: core specification, "Batch and transaction".
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.call import Body, Call, Interaction, Result
from boxruntime.api.dispatch import authorize
from boxruntime.api.render import error_outcome, etag, is_quiet, location, render_resource
from boxruntime.api.routing import type_of
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.http.messages import RequestError
from boxruntime.http.target import parse_query, split_path
from boxruntime.storage.rows import instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxruntime.api.box import Box

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
MAX_ENTRIES = 100_000
_HEADERS = {
    "ifNoneExist": b"if-none-exist",
    "ifMatch": b"if-match",
    "ifNoneMatch": b"if-none-match",
    "ifModifiedSince": b"if-modified-since",
}
_PASSED_ON = (b"aidbox-validation-skip",)


class Entry(msgspec.Struct, kw_only=True):
    """One entry on its way: `call` once it is routed and allowed, `result` once it ran."""

    index: int
    full_url: str | None
    call: Call
    id: str | None = None
    """The id that it will create under; known beforehand for references."""
    searched: bool = False
    """Its condition was searched before anything was written, and found `found`."""
    found: str | None = None
    result: Result | None = None


def read_envelope(call: Call) -> tuple[str, list[Any]]:
    """Return type and entries of the Bundle that is the call's body. Raises OutcomeError.

    The envelope is lax on purpose: clients send it without resourceType or with extra members.
    """
    value = call.body.value()
    if not isinstance(value, dict):
        raise OutcomeError(Fault.INVALID, "The body must be a Bundle.")
    kind = value.get("type")
    if kind not in {"batch", "transaction"}:
        raise OutcomeError(
            Fault.UNPROCESSABLE,
            Issue(message="expected one of batch, transaction", expression="Bundle.type"),
        )
    entries = value.get("entry")
    if entries is None:
        entries = []
    if not isinstance(entries, list):
        raise OutcomeError(
            Fault.UNPROCESSABLE, Issue(message="expected array", expression="Bundle.entry")
        )
    if len(entries) > MAX_ENTRIES:
        raise OutcomeError(Fault.TOO_LARGE, f"A Bundle has at most {MAX_ENTRIES} entries.")
    return kind, entries


def read_entry(
    outer: Call, box: Box, index: int, entry: Any, rewrite: Mapping[str, str] | None
) -> Entry:
    """Route and authorize one entry as if it had been sent alone. Raises OutcomeError."""
    if not isinstance(entry, dict):
        raise OutcomeError(Fault.UNPROCESSABLE, "expected type of object")
    request = entry.get("request")
    method = request.get("method") if isinstance(request, dict) else None
    url = request.get("url") if isinstance(request, dict) else None
    if not isinstance(request, dict) or method not in METHODS or not isinstance(url, str):
        raise OutcomeError(Fault.UNPROCESSABLE, "An entry needs request.method and request.url.")
    path, _, query = _relative(url, outer).encode().partition(b"?")
    try:
        segments = split_path(b"/" + path.lstrip(b"/"))
        pairs = parse_query(query)
    except RequestError as error:
        raise OutcomeError(Fault.INVALID, error.message) from None
    found = box.routes.find(outer.dialect, method, segments)
    authorize(
        box,
        outer.principal,
        route=found[0] if found else None,
        dialect=outer.dialect,
        method=method,
        resource_type=found[1].get("type") if found else type_of(segments),
    )
    if found is None:
        raise OutcomeError(Fault.NOT_FOUND, "The route does not exist.")
    route, parameters = found
    if route.interaction is Interaction.BUNDLE:
        raise OutcomeError(Fault.UNPROCESSABLE, "A Bundle cannot contain a batch or transaction.")
    prefix = "/fhir/" if outer.dialect is Dialect.FHIR else "/"
    full_url = entry.get("fullUrl")
    return Entry(
        index=index,
        full_url=full_url if isinstance(full_url, str) else None,
        call=Call(
            route=route,
            method=method,
            dialect=outer.dialect,
            uri=prefix + "/".join(segments),
            parameters=parameters,
            query=pairs,
            headers=_entry_headers(outer, request),
            body=_entry_body(outer, method, entry),
            base=outer.base,
            principal=outer.principal,
            rewrite=rewrite,
            is_entry=True,
        ),
    )


def _relative(url: str, outer: Call) -> str:
    for prefix in (outer.base + "/", "/"):
        url = url.removeprefix(prefix)
    return url.removeprefix("fhir/")


def _entry_headers(outer: Call, request: dict[str, Any]) -> dict[bytes, bytes]:
    headers = {
        header: str(request[name]).encode("latin-1", "replace")
        for name, header in _HEADERS.items()
        if isinstance(request.get(name), str | int)
    }
    for name in _PASSED_ON:
        if name in outer.headers:
            headers[name] = outer.headers[name]
    return headers


def _entry_body(outer: Call, method: str, entry: dict[str, Any]) -> Body:
    if "resource" not in entry:
        return Body()
    resource = entry["resource"]
    if (
        method == "PATCH"
        and outer.dialect is Dialect.FHIR
        and isinstance(resource, dict)
        and resource.get("resourceType") == "Binary"
    ):
        try:
            raw = base64.b64decode(resource.get("data") or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise OutcomeError(Fault.INVALID, "The patch is not base64.") from None
        content_type = resource.get("contentType")
        return Body(raw, content_type if isinstance(content_type, str) else None)
    return Body(value=resource, within=outer.body)


def render_entry(box: Box, entry: Entry) -> dict[str, Any]:
    """Return the response entry of a result."""
    call, result = entry.call, entry.result
    if result is None:
        raise AssertionError("the entry did not run")
    rendered: dict[str, Any] = {}
    stored = result.stored
    status = 204 if is_quiet(call, result) else result.status
    response: dict[str, Any] = {"status": str(status)}
    if stored is not None:
        if status not in {204, 304} and call.method != "HEAD":
            rendered["resource"] = (
                render_resource(box.metadata, stored, call.dialect)
                if result.value is None
                else result.value
            )
        response["location"] = (
            location(call, stored)
            if call.dialect is Dialect.FHIR
            else f"/{stored.resource_type}/{stored.id}/_history/{stored.txid}"
        )
        response["etag"] = etag(stored, call.dialect)
        response["lastModified"] = instant(stored.ts)
    elif result.value is not None and status != 204:
        rendered["resource"] = result.value
    return _with_status(rendered, response, call.dialect, status)


def render_failure(box: Box, dialect: Dialect, error: OutcomeError) -> dict[str, Any]:
    """Return the response entry of a batch entry that failed."""
    outcome = error_outcome(box.metadata, error, dialect)
    rendered: dict[str, Any] = {"resource": outcome} if dialect is Dialect.AIDBOX else {}
    response = {"status": str(error.fault.status), "outcome": outcome}
    return _with_status(rendered, response, dialect, error.fault.status)


def _with_status(
    rendered: dict[str, Any], response: dict[str, Any], dialect: Dialect, status: int
) -> dict[str, Any]:
    if dialect is Dialect.AIDBOX:
        rendered["status"] = status
    rendered["response"] = response
    return rendered
