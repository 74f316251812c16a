"""What FHIR says about Bundles in prose: identities of entries, and what a document must hold.

Source: FHIR R4, Bundle ("fullUrl", "Resolving references in Bundles"), Documents, Search.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.examination.references import TARGET
from boxruntime.fhir.fhir_members import Kind
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.shape import Visit

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.+")
_SEARCHED = re.compile(r"(?:^|.*/)([A-Z][A-Za-z]+)(?:/_search)?(?:\?.*)?")
_IDENTIFIED = frozenset({"document", "message", "searchset", "collection"})
"""Types of Bundle whose entries must all have a fullUrl."""


def bundle_issues(metadata: Metadata, visits: Iterable[Visit]) -> Iterator[Issue]:
    """Yield what is wrong with the Bundles of a document, and with references of its documents."""
    visits = list(visits)
    for visit in visits:
        if visit.member.kind is not Kind.RESOURCE or visit.scope.type_name != "Bundle":
            continue
        bundle, path = visit.value, visit.path
        entries = bundle.get("entry")
        if not isinstance(entries, list):
            continue
        for index, entry in enumerate(entries):
            if isinstance(entry, dict):
                yield from _entry(str(bundle.get("type")), entry, (*path, "entry", index))
        if bundle.get("type") == "searchset":
            yield from _search(metadata, bundle, entries, path)
        elif bundle.get("type") == "document":
            yield from _document(entries, visits)


def _entry(bundle_type: str, entry: dict[str, Any], path: Path) -> Iterator[Issue]:
    full_url, resource = entry.get("fullUrl"), entry.get("resource")
    if full_url is None:
        is_result = isinstance(resource, dict) and not _is_outcome(resource)
        if bundle_type in _IDENTIFIED and is_result:
            yield _issue(path, "an entry of this type of Bundle needs a fullUrl")
        return
    if not isinstance(full_url, str):
        return
    if not _ABSOLUTE.fullmatch(full_url):
        yield _issue((*path, "fullUrl"), "the fullUrl of an entry must be absolute")
        return
    id_ = resource.get("id") if isinstance(resource, dict) else None
    if isinstance(id_, str) and full_url.startswith("http") and not full_url.endswith(f"/{id_}"):
        yield _issue(path, "the id of the resource is not the one in its fullUrl")


def _search(
    metadata: Metadata, bundle: dict[str, Any], entries: list[Any], path: Path
) -> Iterator[Issue]:
    wanted = _searched_type(metadata, bundle)
    for index, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or _is_outcome(resource):
            continue
        place = (*path, "entry", index, "resource")
        if "id" not in resource:
            yield _issue(place, "a search result must have an id")
        search = entry.get("search")
        is_match = isinstance(search, dict) and search.get("mode") == "match"
        if is_match and wanted is not None and resource.get("resourceType") != wanted:
            yield _issue(place, f"a match of a search for {wanted} must be one")


def _is_outcome(resource: dict[str, Any]) -> bool:
    """An OperationOutcome among results says something about the search: it has no identity."""
    return resource.get("resourceType") == "OperationOutcome"


def _searched_type(metadata: Metadata, bundle: dict[str, Any]) -> str | None:
    links = bundle.get("link")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == "self":
            match = _SEARCHED.fullmatch(str(link.get("url")))
            if match is not None and match[1] in metadata.resource_types:
                return match[1]
    return None


def _document(entries: list[Any], visits: list[Visit]) -> Iterator[Issue]:
    """Whatever the Composition refers to must be in the document."""
    composition = entries[0].get("resource") if entries and isinstance(entries[0], dict) else None
    known: set[str] = set()
    for entry in entries:
        if isinstance(entry, dict):
            known.add(str(entry.get("fullUrl")))
            resource = entry.get("resource")
            if isinstance(resource, dict):
                known.add(f"{resource.get('resourceType')}/{resource.get('id')}")
    for visit in visits:
        if visit.member.element.type != "Reference" or visit.scope.resource is not composition:
            continue
        text = visit.value.get("reference")
        if not isinstance(text, str) or text.startswith("#"):
            continue
        plain = text.partition("/_history/")[0]
        match = TARGET.fullmatch(plain)
        relative = match is not None and plain == f"{match['type']}/{match['id']}"
        if plain not in known and (relative or _ABSOLUTE.fullmatch(plain)):
            yield _issue(visit.path, "the document does not hold what its Composition refers to")


def _issue(path: Path, message: str) -> Issue:
    return Issue(message=message, path=path, code="invalid")
