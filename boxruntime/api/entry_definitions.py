"""What the entries of a Bundle or the items of an upsert define: as Entity, Attribute or App.

Source: core specification, "Custom resources" (custom types take part in transactions).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.api.manifests import APP, definitions_of
from boxruntime.fhir.formats import accept_aidbox, to_aidbox
from boxruntime.fhir.outcome import Dialect, OutcomeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.api.box import Box
    from boxruntime.api.call import Call

_URL = re.compile(r"(?:^|/)(Entity|Attribute|App)(?:/([A-Za-z0-9\-._]+))?(?:\?[^#]*)?$")
_DEFINING = frozenset({"Entity", "Attribute", APP})
_WRITES = frozenset({"POST", "PUT"})


async def definitions_in(call: Call, box: Box, raw_entries: Iterable[Any]) -> list[dict[str, Any]]:
    """Return what the entries of a transaction will define, in Aidbox format, with ids.

    Entries of a wrong shape are left out: reading them says what is wrong.
    """
    found = []
    for raw in raw_entries:
        request = raw.get("request") if isinstance(raw, dict) else None
        if not isinstance(request, dict):
            continue
        url = request.get("url")
        match = _URL.search(url) if isinstance(url, str) else None
        if match is not None and request.get("method") in _WRITES:
            found += _accepted(call, box, match[1], match[2], raw.get("resource"))
    return await _told(box, found)


async def definitions_among(call: Call, box: Box, items: Iterable[Any]) -> list[dict[str, Any]]:
    """Return what resources that stand in an array will define."""
    found = []
    for item in items:
        name = item.get("resourceType") if isinstance(item, dict) else None
        if name in _DEFINING:
            found += _accepted(call, box, name, None, item)
    return await _told(box, found)


async def _told(box: Box, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents with what each App stands for in its place."""
    found = []
    for one in documents:
        if one["resourceType"] == APP:
            found += await definitions_of(box, one["id"], one)
        else:
            found.append(one)
    return found


def _accepted(
    call: Call, box: Box, resource_type: str, id_: str | None, document: Any
) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        return []
    convert = to_aidbox if call.dialect is Dialect.FHIR else accept_aidbox
    try:
        resource = convert(box.metadata, resource_type, document).resource
    except OutcomeError:
        return []
    known = id_ or resource.get("id")
    if not isinstance(known, str):
        return []
    return [{**resource, "resourceType": resource_type, "id": known}]
