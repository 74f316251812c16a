"""The Bundle of a search: entries, total, links.

Source: search specification, 2.1 Response Bundle, 7.3; FHIR R4 search, 3.1.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.render import search_warnings
from boxruntime.fhir.formats import to_fhir
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.search.projection import project
from boxruntime.fhir.search.query import Query, encode_parts

if TYPE_CHECKING:
    from boxruntime.api.call import Call
    from boxruntime.fhir.metadata import Metadata
    from boxruntime.storage.rows import Stored
    from boxruntime.storage.search.statement import Statement

_PAGE_KEYS = frozenset({"page", "_page"})


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found: one page of matches and what they bring along."""

    matches: list[Stored]
    included: list[Stored]
    total: int | None
    """None = nobody asked for it."""
    has_next: bool
    """Another page follows; only needed where the total is unknown or estimated."""
    is_exact: bool
    version: int
    """Newest txid of the searched types."""
    statement: Statement | None
    elapsed_ms: int


def search_bundle(metadata: Metadata, call: Call, query: Query, found: Found) -> dict[str, Any]:
    """Return the searchset Bundle in the call's dialect."""
    entries = [_entry(metadata, call, query, stored, "match") for stored in found.matches]
    entries.extend(_entry(metadata, call, query, stored, "include") for stored in found.included)
    fhir = call.dialect is Dialect.FHIR
    if fhir and query.ignored:
        outcome = search_warnings(metadata, list(query.ignored), call.dialect)
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "meta": {"versionId": str(found.version)},
    }
    if entries or not fhir:
        bundle["entry"] = entries
    if found.total is not None:
        bundle["total"] = found.total
    bundle["link"] = search_links(call, query, found)
    if not fhir and found.statement is not None:
        bundle["query-sql"] = found.statement.as_jdbc()
        bundle["query-timeout"] = query.timeout_ms
        bundle["query-time"] = found.elapsed_ms
    if query.counts_only and not fhir:
        bundle["entry"] = []
    return bundle


def search_resources(
    metadata: Metadata, call: Call, query: Query, found: Found
) -> list[dict[str, Any]]:
    """Return the bare resources of `_result=array`, includes after the matches."""
    rendered = [
        render_found(metadata, query, stored, call.dialect, included=False)
        for stored in found.matches
    ]
    rendered.extend(
        render_found(metadata, query, stored, call.dialect, included=True)
        for stored in found.included
    )
    return rendered


def render_found(
    metadata: Metadata, query: Query, stored: Stored, dialect: Dialect, *, included: bool
) -> dict[str, Any]:
    """Return one resource, cut down to what the query wants of it."""
    fhir = dialect is Dialect.FHIR
    resource = project(metadata, query, stored.resource(), included=included, fhir=fhir)
    return to_fhir(metadata, resource) if fhir else resource


def _entry(
    metadata: Metadata, call: Call, query: Query, stored: Stored, mode: str
) -> dict[str, Any]:
    resource = render_found(metadata, query, stored, call.dialect, included=mode == "include")
    return {
        "resource": resource,
        "fullUrl": f"{call.fhir_base}/{stored.resource_type}/{stored.id}",
        "search": {"mode": mode},
    }


def search_links(call: Call, query: Query, found: Found) -> list[dict[str, str]]:
    """Return the links of a page: relative at root, absolute at /fhir.

    They lead to GET requests and repeat what was understood, so a search by POST can be paged.
    """
    prefix = call.base if call.dialect is Dialect.FHIR else ""
    path = call.uri.removesuffix("/_search") or "/"
    kept = tuple(part for part in query.parts if part[0] not in _PAGE_KEYS)

    def link(relation: str, page: int | None) -> dict[str, str]:
        parts = kept if page is None else (*kept, ("page", str(page)))
        text = encode_parts(parts)
        return {"relation": relation, "url": f"{prefix}{path}{'?' if text else ''}{text}"}

    if query.counts_only:
        return [link("self", None)]
    last = None
    if found.total is not None and found.is_exact:
        last = max(1, -(-found.total // query.count))
    links = [link("first", 1), link("self", query.page)]
    if query.page < last if last is not None else found.has_next:
        links.append(link("next", query.page + 1))
    if query.page > 1:
        before = query.page - 1
        links.append(link("previous", before if last is None else min(before, last)))
    if last is not None and (last > 1 or query.page > 1):
        links.append(link("last", last))
    return links
