"""The entries of a batch or transaction Bundle: from the envelope to Calls, from Results back.

Source: core specification, "Batch and transaction".
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.call import Body, Call, Interaction, Result
from boxruntime.api.dispatch import authorize, no_route
from boxruntime.api.render import (
    error_outcome,
    etag,
    is_quiet,
    location,
    preferred_return,
    render_resource,
    success_outcome,
)
from boxruntime.api.routing import type_of
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.fhir.release import binary_data
from boxruntime.http.messages import RequestError
from boxruntime.http.target import parse_query, split_path
from boxruntime.storage.rows import instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxruntime.api.box import Box
    from boxruntime.fhir.metadata import Metadata

_ENDS = frozenset({"", "/", "?"})  # what may follow a whole base
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
MAX_ENTRIES = 100_000
_HEADERS = {
    "ifNoneExist": b"if-none-exist",
    "ifMatch": b"if-match",
    "ifNoneMatch": b"if-none-match",
    "ifModifiedSince": b"if-modified-since",
}
_PASSED_ON = (b"aidbox-validation-skip", b"prefer")


class Entry(msgspec.Struct, kw_only=True):
    """One entry on its way: `call` once it is routed and allowed, `result` once it ran."""

    index: int
    full_url: str | None
    call: Call
    id: str | None = None
    """The id that it will create under; known beforehand for references."""
    target: str | None = None
    """The resource that it will be about, as "Type/id"; None if only its turn tells."""
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


async def read_entry(
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
    path, _, query = _relative(url, box).encode().partition(b"?")
    try:
        segments = split_path(b"/" + path)
        pairs = parse_query(query)
    except RequestError as error:
        raise OutcomeError(Fault.INVALID, error.message) from None
    dialect = outer.dialect
    found = box.routes.find(dialect, method, segments)
    if found is None and segments and dialect is Dialect.FHIR:
        # An entry may address any endpoint, also those that are at root only.
        found = box.routes.find_root_only(method, segments)
        if found is not None:
            dialect = Dialect.AIDBOX
    prefix = "/fhir/" if dialect is Dialect.FHIR else "/"
    uri, body = prefix + "/".join(segments), _entry_body(box.metadata, outer, method, entry)
    asked = outer.asked.inner(
        dialect=dialect,
        method=method,
        uri=uri,
        parameters=found[1] if found else {},
        body=body,
        query=pairs,
        query_string=query,
    )
    await authorize(
        box,
        outer.principal,
        asked,
        route=found[0] if found else None,
        resource_type=found[1].get("type") if found else type_of(segments),
    )
    if found is None:
        raise no_route(box, dialect, method, segments)[0]
    route, parameters = found
    if route.interaction is Interaction.BUNDLE:
        raise OutcomeError(Fault.UNPROCESSABLE, "A Bundle cannot contain a batch or transaction.")
    full_url = entry.get("fullUrl")
    return Entry(
        index=index,
        full_url=full_url if isinstance(full_url, str) else None,
        call=Call(
            route=route,
            method=method,
            dialect=dialect,
            uri=uri,
            parameters=parameters,
            query=pairs,
            headers=_entry_headers(outer, request),
            body=body,
            base=outer.base,
            principal=outer.principal,
            rewrite=rewrite,
            asked=asked,
            is_entry=True,
        ),
    )


def _relative(url: str, box: Box) -> str:
    """Return what follows the base: "/fhir/Patient/p?x=1" and "<base>/Patient/p?x=1" alike."""
    for base in box.authorities.values():
        if url.startswith(base) and url[len(base) : len(base) + 1] in _ENDS:
            url = url.removeprefix(base)
            break
    url = url.removeprefix("/")
    if url.startswith("fhir") and url[4:5] in _ENDS:
        url = url[4:].removeprefix("/")
    return url


def _entry_headers(outer: Call, request: dict[str, Any]) -> dict[bytes, bytes]:
    headers = {
        header: str(request[name]).encode()
        for name, header in _HEADERS.items()
        if isinstance(request.get(name), str | int)
    }
    for name in _PASSED_ON:
        if name in outer.headers:
            headers[name] = outer.headers[name]
    return headers


def _entry_body(metadata: Metadata, outer: Call, method: str, entry: dict[str, Any]) -> Body:
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
            raw = base64.b64decode(resource.get(binary_data(metadata)) or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise OutcomeError(Fault.INVALID, "The patch is not base64.") from None
        content_type = resource.get("contentType")
        return Body(raw, content_type if isinstance(content_type, str) else None)
    return Body(value=resource, within=outer.body)


def render_entry(box: Box, entry: Entry, dialect: Dialect) -> dict[str, Any]:
    """Return the response entry of a result, in the form of the Bundle's dialect."""
    call, result = entry.call, entry.result
    if result is None:
        raise AssertionError("the entry did not run")
    status = 204 if is_quiet(call, result) else result.status
    preference = preferred_return(call.header(b"prefer")) if result.is_write else None
    response: dict[str, Any] = {"status": str(status)}
    rendered: dict[str, Any] = {}
    if preference == "OperationOutcome":
        outcome = success_outcome(dialect)
        if dialect is Dialect.AIDBOX or _knows_outcome(box):
            response["outcome"] = outcome
        else:
            rendered["resource"] = outcome
    elif preference != "minimal" and status not in {204, 304} and call.method != "HEAD":
        resource = _shown(box, call, result)
        if resource is not None:
            rendered["resource"] = resource
    stored = result.stored
    if stored is not None:
        response["location"] = (
            location(call, stored)
            if dialect is Dialect.FHIR
            else f"/{stored.resource_type}/{stored.id}/_history/{stored.txid}"
        )
        response["etag"] = etag(stored, dialect)
        response["lastModified"] = instant(stored.ts)
    return _with_status(rendered, response, dialect, status)


def _shown(box: Box, call: Call, result: Result) -> Any:
    """Return what stands in `resource`: the resource, any other value, or bytes as a Binary."""
    if result.raw is not None:
        named = dict(result.headers).get(b"content-type", b"application/octet-stream")
        return {
            "resourceType": "Binary",
            "contentType": named.decode("latin-1"),
            binary_data(box.metadata): base64.b64encode(result.raw).decode(),
        }
    if result.value is not None or result.stored is None:
        return result.value
    return render_resource(box.metadata, result.stored, call.dialect)


def render_failure(box: Box, dialect: Dialect, error: OutcomeError) -> dict[str, Any]:
    """Return the response entry of a batch entry that failed."""
    outcome = error_outcome(box.metadata, error, dialect)
    response: dict[str, Any] = {"status": str(error.fault.status)}
    if dialect is Dialect.AIDBOX or _knows_outcome(box):
        response["outcome"] = outcome
    is_resource = dialect is Dialect.AIDBOX or not _knows_outcome(box)
    rendered: dict[str, Any] = {"resource": outcome} if is_resource else {}
    return _with_status(rendered, response, dialect, error.fault.status)


def _knows_outcome(box: Box) -> bool:
    """DSTU2 knows no response.outcome: there the outcome is the entry's resource."""
    return box.metadata.find_element("Bundle", ("entry", "response", "outcome")) is not None


def _with_status(
    rendered: dict[str, Any], response: dict[str, Any], dialect: Dialect, status: int
) -> dict[str, Any]:
    if dialect is Dialect.AIDBOX:
        rendered["status"] = status
    rendered["response"] = response
    return rendered
