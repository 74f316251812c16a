"""References between the entries of a transaction, beyond those that equal a fullUrl.

Source: core specification, "Batch and transaction"; FHIR R4 Bundle, "Resolving references".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.conditional import find_matches
from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.http.messages import RequestError
from boxruntime.http.target import parse_query

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.api.bundle import Entry
    from boxruntime.api.call import Call
    from boxruntime.fhir.formats import FoundReference

_ABSOLUTE = re.compile(r"(?P<root>https?://.+/)(?P<reference>[A-Za-z]+/[A-Za-z0-9\-._]{1,255})")


def relative_targets(entries: list[Entry], rewrite: dict[str, str]) -> None:
    """Let relative references mean the entries under the same root, in place.

    In an entry with fullUrl <root>/Type/id, "Patient/p" also means the entry with fullUrl
    <root>/Patient/p. All entries share `rewrite`; those under one root share another one.
    """
    roots: dict[str, dict[str, str]] = {}
    for url, target in rewrite.items():
        found = _ABSOLUTE.fullmatch(url)
        if found is not None and found["reference"] != target:
            roots.setdefault(found["root"], {})[found["reference"]] = target
    # One mapping a root, not one an entry: 10,000 entries have 10,000 targets.
    merged = {root: {**targets, **rewrite} for root, targets in roots.items()}
    for entry in entries:
        found = _ABSOLUTE.fullmatch(entry.full_url or "")
        if found is not None and found["root"] in merged:
            entry.call = msgspec.structs.replace(entry.call, rewrite=merged[found["root"]])


def has_query(value: Any) -> bool:
    """Tell whether a FHIR document has a reference with a question mark."""
    if isinstance(value, dict):
        return any(
            "?" in item if isinstance(item, str) and key == "reference" else has_query(item)
            for key, item in value.items()
        )
    return isinstance(value, list) and any(map(has_query, value))


async def fill_queries(
    call: Call, box: Box, resource_type: str, references: list[FoundReference]
) -> None:
    """Replace each `Type?query` reference of a resource by what it finds, in place.

    Raises OutcomeError: MULTIPLE_MATCHES or PRECONDITION_FAILED unless exactly one is found.
    """
    for found in references:
        if found.query is None:
            continue
        try:
            criteria = parse_query(found.query.encode())
        except RequestError as error:
            raise OutcomeError(Fault.INVALID, error.message) from None
        matches = await find_matches(call, box, found.resource_type, criteria)
        if len(matches) > 1:
            message = "Several resources match the reference."
            raise _refused(Fault.MULTIPLE_MATCHES, message, found.path, resource_type)
        if not matches:
            message = "No resource matches the reference."
            raise _refused(Fault.PRECONDITION_FAILED, message, found.path, resource_type)
        found.holder.pop("uri", None)
        rest = dict(found.holder)
        found.holder.clear()
        found.holder.update({"resourceType": found.resource_type, "id": matches[0].id, **rest})
        found.id, found.query = matches[0].id, None


def _refused(
    fault: Fault, message: str, path: tuple[str | int, ...], resource_type: str
) -> OutcomeError:
    return OutcomeError(fault, Issue(message=message, path=path, type_name=resource_type))
