"""The rows that a box process keeps in memory. Source: architecture, "Coherence"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.json_text import decode_stored
from boxruntime.storage.statements import quoted_table

if TYPE_CHECKING:
    from collections.abc import Collection

    from boxruntime.storage.database import Runner


async def load_all(
    runner: Runner, resource_type: str, *, own_only: bool = False
) -> list[dict[str, Any]]:
    """Return all resources of a type with their ids; `own_only` leaves out built-in rows.

    A document that is no object (people write rows by SQL) is left out.
    """
    where = "WHERE txid > 0" if own_only else ""
    records = await runner.run(
        f"SELECT id, resource::text AS resource FROM {quoted_table(resource_type)} {where} "
        "ORDER BY txid, id"
    )
    documents = [(record["id"], decode_stored(record["resource"])) for record in records]
    return [
        {**document, "resourceType": resource_type, "id": id_}
        for id_, document in documents
        if isinstance(document, dict)
    ]


class OwnMetadata(NamedTuple):
    """The meta-resources that people wrote, and which built-in SearchParameters they deleted."""

    entities: list[dict[str, Any]]
    attributes: list[dict[str, Any]]
    parameters: list[dict[str, Any]]
    compartments: list[dict[str, Any]]
    deleted_parameters: list[str]


NO_METADATA = OwnMetadata([], [], [], [], [])


async def load_metadata(runner: Runner, resource_types: Collection[str]) -> OwnMetadata:
    """Return what a box's metadata differs by from that of a new box.

    `resource_types` are those of the box: DSTU2 has no CompartmentDefinition.
    """
    has_compartments = "CompartmentDefinition" in resource_types
    deleted = await runner.run(
        "SELECT id FROM searchparameter_history AS old WHERE txid = 0 "
        "AND NOT EXISTS (SELECT FROM searchparameter AS now WHERE now.id = old.id) ORDER BY id"
    )
    return OwnMetadata(
        await load_all(runner, "Entity", own_only=True),
        await load_all(runner, "Attribute", own_only=True),
        await load_all(runner, "SearchParameter", own_only=True),
        await load_all(runner, "CompartmentDefinition", own_only=True) if has_compartments else [],
        [record["id"] for record in deleted],
    )
