"""Conformance resources by their canonical URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.storage.statements import quoted_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.storage.database import Runner


async def load_by_url(
    runner: Runner, resource_type: str, urls: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the resources that have one of the URLs, in Aidbox format, the latest last."""
    wanted = [encode_json({"url": url}).decode() for url in sorted(urls)]
    if not wanted:
        return []
    records = await runner.run(
        f"SELECT id, resource::text AS resource FROM {quoted_table(resource_type)} "
        "WHERE resource @> ANY ($1::text[]::jsonb[]) ORDER BY txid, id",
        wanted,
    )
    found = [(record["id"], decode_json(record["resource"])) for record in records]
    return [{**resource, "resourceType": resource_type, "id": id_} for id_, resource in found]
