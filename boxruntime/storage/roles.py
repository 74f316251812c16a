"""The Role resources of one user. Source: authentication specification, "Role policies"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.json_text import decode_json

if TYPE_CHECKING:
    from boxruntime.storage.database import Runner

MAX_ROLES = 1000


async def roles_of(runner: Runner, user_id: str) -> list[dict[str, Any]]:
    """Return the roles of a user as resources, in the order of their ids."""
    records = await runner.run(
        "SELECT id, resource::text AS text FROM role WHERE resource #>> '{user,id}' = $1 "
        "ORDER BY id LIMIT " + str(MAX_ROLES),
        user_id,
    )
    return [
        {**decode_json(record["text"].encode()), "resourceType": "Role", "id": record["id"]}
        for record in records
    ]
