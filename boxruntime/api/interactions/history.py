"""FHIR history: GET [base]/{type}/{id}/_history, [base]/{type}/_history, /fhir/_history

Spec: https://hl7.org/fhir/R4/http.html#history
Source: core specification, "History".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from boxruntime.api.call import Call, Result
from boxruntime.api.dispatch import may_see
from boxruntime.api.intake import secret_elements
from boxruntime.api.paging import PageRequest, page_links, read_page
from boxruntime.api.preconditions import tags
from boxruntime.api.render import etag, render_resource
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.fhir.search.values import MalformedValueError, date_range
from boxruntime.storage.rows import Stored, instant
from boxruntime.storage.versions import Page, Slice

if TYPE_CHECKING:
    from boxruntime.api.box import Box

_METHODS = {"created": "POST", "recreated": "POST", "updated": "PUT", "deleted": "DELETE"}
_STATUSES = {"POST": "201", "PUT": "200", "DELETE": "204"}


async def history_instance(call: Call, box: Box) -> Result:
    """Return the versions of one resource, deletions included."""
    return await _answer(call, box, id_=call.id)


async def history_type(call: Call, box: Box) -> Result:
    """Return the versions of all resources of a type."""
    return await _answer(call, box, id_=None)


async def history_system(call: Call, box: Box) -> Result:
    """Return the versions of all resources of the box."""
    return await _answer(call, box, id_=None)


async def _answer(call: Call, box: Box, *, id_: str | None) -> Result:
    page = read_page(call)
    slice_ = _slice(call, page)
    resource_type = call.parameters.get("type")
    found: Page
    if resource_type is None:
        found = await box.store.system_history(_visible(call, box), slice_)
    else:
        found = await box.store.history(resource_type, slice_, id_=id_)
    tag = f'W/"{found.newest}"' if call.dialect is Dialect.FHIR else str(found.newest)
    headers = ((b"etag", tag.encode()),)
    known = call.header(b"if-none-match")
    if known is not None and str(found.newest) in tags(known):
        return Result(status=304, headers=headers)
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "history",
        "total": found.total,
        "link": page_links(call, page, found.total),
        "entry": [_entry(call, box, stored) for stored in found.rows],
    }
    if call.dialect is Dialect.FHIR and not bundle["entry"]:
        del bundle["entry"]
    return Result(status=200, value=bundle, headers=headers)


def _entry(call: Call, box: Box, stored: Stored) -> dict[str, Any]:
    method = _METHODS[stored.status]
    url = stored.resource_type
    entry: dict[str, Any] = {}
    if call.dialect is Dialect.FHIR:
        entry["fullUrl"] = f"{call.fhir_base}/{stored.resource_type}/{stored.id}"
        if method != "POST":
            url = f"{stored.resource_type}/{stored.id}"
    resource = render_resource(box.metadata, stored, call.dialect)
    for name in secret_elements(box.metadata, stored.resource_type):
        resource.pop(name, None)
    entry["resource"] = resource
    entry["request"] = {"method": method, "url": url}
    if call.dialect is Dialect.FHIR:
        entry["response"] = {
            "status": _STATUSES[method],
            "etag": etag(stored, call.dialect),
            "lastModified": instant(stored.ts),
        }
    return entry


def _slice(call: Call, page: PageRequest) -> Slice:
    """Return which versions the parameters ask for. Raises OutcomeError INVALID."""
    since = _range(call, "_since")
    at = _range(call, "_at")
    return Slice(
        limit=page.size,
        offset=page.offset,
        after_txid=_after(call),
        since=since[0] if since else None,
        before=at[1] if at else None,
        current_from=at[0] if at else None,
    )


def _visible(call: Call, box: Box) -> list[str]:
    """Return the types whose history the caller may see beside all others."""
    return [name for name in sorted(box.metadata.resource_types) if may_see(call, box, name)]


def _after(call: Call) -> int | None:
    text = call.parameter("_txid")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise OutcomeError(Fault.INVALID, "_txid must be a version number.")
    return int(text)


def _range(call: Call, name: str) -> tuple[datetime, datetime | None] | None:
    """Return the period that a date parameter means, None without one."""
    text = call.parameter(name)
    if not text:
        return None
    try:
        first, end = date_range(text)
    except MalformedValueError:
        raise OutcomeError(Fault.INVALID, f"{name} must be a date or an instant.") from None
    # An instant is a moment, which the version written at it belongs to.
    return first, end if end is None or end > first else first + timedelta(microseconds=1)
