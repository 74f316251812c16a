"""Rows of people's own queries as resources: a column `resource` with the columns around it.

Source: search specification, 1.1, 8 AidboxQuery.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.formats import to_fhir
from boxruntime.fhir.outcome import Dialect
from boxruntime.storage.rows import instant

if TYPE_CHECKING:
    from boxruntime.api.call import Call
    from boxruntime.fhir.metadata import Metadata

_STAMPS = (("lastUpdated", "ts"), ("createdAt", "cts"))


def resource_of(row: dict[str, Any], resource_type: str) -> dict[str, Any] | None:
    """Return the resource that a row holds in Aidbox format, None if it holds none."""
    document = row.get("resource")
    if not isinstance(document, dict):
        return None
    sent = document.get("meta")
    meta = dict(sent) if isinstance(sent, dict) else {}
    if isinstance(row.get("txid"), int):
        meta["versionId"] = str(row["txid"])
    for member, column in _STAMPS:
        if isinstance(row.get(column), str):
            meta[member] = _microseconds(row[column])
    whole = {"resourceType": None, "id": None, "meta": meta, **document}
    whole["resourceType"] = row.get("resource_type") or resource_type
    whole["id"] = row.get("id", document.get("id"))
    whole["meta"] = meta
    return {name: value for name, value in whole.items() if value not in (None, {})}


def _microseconds(text: str) -> str:
    try:
        return instant(datetime.fromisoformat(text))
    except (ValueError, TypeError):
        return text  # a year that Python does not have, or no time at all


def entry_of(
    metadata: Metadata, call: Call, row: dict[str, Any], resource_type: str, mode: str = "match"
) -> dict[str, Any]:
    """Return the Bundle entry of a row; one that holds no resource is wrapped as it is."""
    resource = resource_of(row, resource_type)
    if resource is None:
        return {"resource": row, "search": {"mode": mode}}
    name, id_ = resource["resourceType"], resource.get("id")
    if call.dialect is Dialect.FHIR and name in metadata.resource_types:
        resource = to_fhir(metadata, resource)
    found: dict[str, Any] = {"resource": resource}
    if id_ is not None:
        found["fullUrl"] = f"{call.fhir_base}/{name}/{id_}"
    found["search"] = {"mode": mode}
    return found
