"""FHIR history: GET [base]/{type}/{id}/_history, [base]/{type}/_history, /fhir/_history

Spec: https://hl7.org/fhir/R4/http.html#history
Source: core specification, "History".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from boxruntime.api.box import Box
from boxruntime.api.call import Call, Result
from boxruntime.api.paging import page_links, read_page
from boxruntime.api.preconditions import tags
from boxruntime.api.render import etag, render_resource
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.storage.rows import Stored, instant
from boxruntime.storage.store import Page

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
    filters = {"after_txid": _after(call), "since": _since(call)}
    slice_ = {"limit": page.count, "offset": page.offset}
    resource_type = call.parameters.get("type")
    found: Page
    if resource_type is None:
        found = await box.store.system_history(
            sorted(box.metadata.resource_types), **filters, **slice_
        )
    else:
        found = await box.store.history(resource_type, id_=id_, **filters, **slice_)
    newest = max((stored.txid for stored in found.rows), default=0)
    tag = f'W/"{newest}"' if call.dialect is Dialect.FHIR else str(newest)
    headers = ((b"etag", tag.encode()),)
    known = call.header(b"if-none-match")
    if known is not None and str(newest) in tags(known):
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
    entry["resource"] = render_resource(box.metadata, stored, call.dialect)
    entry["request"] = {"method": method, "url": url}
    if call.dialect is Dialect.FHIR:
        entry["response"] = {
            "status": _STATUSES[method],
            "etag": etag(stored, call.dialect),
            "lastModified": instant(stored.ts),
        }
    return entry


def _after(call: Call) -> int | None:
    text = call.parameter("_txid")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise OutcomeError(Fault.INVALID, "_txid must be a version number.")
    return int(text)


def _since(call: Call) -> datetime | None:
    text = call.parameter("_since")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise OutcomeError(Fault.INVALID, "_since must be an instant.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
