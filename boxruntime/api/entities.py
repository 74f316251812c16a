"""Entity and Attribute as they are written: what they may say, and the tables they need.

What a transaction defines is looked at as a whole before it commits: `api/definition_checks.py`.
Source: core specification, "Entity", "Attribute", "Custom resources".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.api.box import Box, WrittenDefinition
from boxruntime.fhir.definition_rules import form_issues
from boxruntime.fhir.metadata import Metadata, base_metadata
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.fhir.validation import validate
from boxruntime.storage.meta import OwnMetadata, load_metadata
from boxruntime.storage.schema import table_statements
from boxruntime.storage.search.indexes import type_indexes

if TYPE_CHECKING:
    from collections.abc import Sequence

METADATA = frozenset({"Entity", "Attribute", "SearchParameter"})
MAX_NAME = 46
"""PostgreSQL cuts names at 63 bytes; "<type>_history_txid_idx" is the longest of a type."""
UNUSABLE = (AttributeError, KeyError, TypeError, ValueError, IndexError, RecursionError)
"""What records that are no sound metadata make the overlay and the schema compiler raise."""
_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_LOCK = 0x48_41_4C_46


async def hold_definitions(box: Box) -> None:
    """Let no other transaction change metadata until this one ends.

    Each looks at the metadata as it will be, and tables are made: two at once would not see each
    other's.
    """
    await box.store.runner.run(f"SELECT pg_advisory_xact_lock({_LOCK})")


async def define(box: Box, resource_type: str, id_: str, resource: dict[str, Any]) -> None:
    """Do what a written Entity or Attribute needs at once; the rest is for `check_definitions`.

    Raises OutcomeError UNPROCESSABLE.
    """
    if resource_type == "Entity":
        check_entity(box, id_, resource)
        await make_tables(box, id_, resource)
    elif resource_type == "Attribute" and (issues := form_issues(resource)):
        raise OutcomeError(Fault.UNPROCESSABLE, issues)
    _note(box, resource_type, id_, resource)


async def undefine(box: Box, resource_type: str, id_: str, resource: dict[str, Any]) -> None:
    """Note that a meta-resource was deleted. Raises OutcomeError for what every box has.

    But a built-in SearchParameter may go: its name is unknown then.
    """
    if (
        resource_type != "SearchParameter"
        and await find_built_in(box, resource_type, id_) is not None
    ):
        message = f"a built-in {resource_type} cannot be deleted"
        raise OutcomeError(
            Fault.UNPROCESSABLE, Issue(message=message, path=("id",), type_name=resource_type)
        )
    _note(box, resource_type, id_, resource, is_deletion=True)


async def find_built_in(box: Box, resource_type: str, id_: str) -> dict[str, Any] | None:
    """Return a meta-resource as every box has it, None if it is none of those."""
    try:
        stored = await box.store.version(resource_type, id_, "0")
    except OutcomeError:
        return None
    return stored.resource()


def _note(
    box: Box, resource_type: str, id_: str, resource: dict[str, Any], *, is_deletion: bool = False
) -> None:
    transaction = box.transaction
    if transaction is None:
        raise AssertionError("metadata is written in a transaction")
    transaction.definitions.append(
        WrittenDefinition(
            entry=transaction.entry,
            type=resource_type,
            id=id_,
            resource=resource,
            is_deletion=is_deletion,
            shorthand=transaction.shorthand,
        )
    )


def check_entity(box: Box, id_: str, entity: dict[str, Any]) -> None:
    """Return if the box may have this Entity. Raises OutcomeError UNPROCESSABLE."""
    kind = entity.get("type")
    base = base_metadata(box.settings.fhir_version)
    known = base.find_type(id_)
    if known is not None:
        if kind is not None and kind != known.kind:
            raise _refused("type", "the type of a built-in Entity cannot be changed")
        return
    if kind == "primitive":
        raise _refused("type", "primitives cannot be created")
    if kind != "resource":
        return
    if not _NAME.fullmatch(id_) or len(id_) > MAX_NAME:
        raise _refused(
            "id", f"expected a capital letter and up to {MAX_NAME - 1} letters and digits"
        )
    for name in box.metadata.resource_types:
        if name != id_ and name.lower() == id_.lower():
            raise _refused("id", "another resource type differs only in case")


async def make_tables(box: Box, id_: str, entity: dict[str, Any]) -> None:
    """Create the table pair of a new resource type, in the transaction of its Entity."""
    known = box.current().metadata.resource_types
    if entity.get("type") != "resource" or id_ in known:
        return
    for statement in (*table_statements(id_), *type_indexes(box.metadata, id_)):
        await box.store.runner.run(statement)


async def prepared_for(box: Box, documents: Sequence[dict[str, Any]]) -> Box:
    """Return the box as the Entity and Attribute resources of a transaction will make it.

    So the other entries may use what these define, wherever they stand. Documents that cannot be
    used change nothing here: their own entries are refused. The tables of new types are made.
    """
    if not documents:
        return box
    await hold_definitions(box)
    entities = [one for one in documents if one["resourceType"] == "Entity"]
    for entity in entities:
        try:
            check_entity(box, entity["id"], entity)
        except OutcomeError:
            return box
        await make_tables(box, entity["id"], entity)
    attributes = [one for one in documents if one["resourceType"] == "Attribute"]
    try:
        metadata = await own_metadata(box, entities, attributes)
        for name in {owner_of(one["resourceType"], one["id"], one) for one in documents}:
            if name is not None:
                try_out(metadata, name)
    except UNUSABLE:
        return box
    return box.with_metadata(metadata)


async def own_metadata(
    box: Box, entities: Sequence[dict[str, Any]], attributes: Sequence[dict[str, Any]]
) -> Metadata:
    """Return the metadata of the box's own rows, and of these resources over them."""
    own = await load_metadata(box.store.runner, box.metadata.resource_types)
    return laid_over(
        base_metadata(box.settings.fhir_version),
        own._replace(
            entities=_replaced(own.entities, entities),
            attributes=_replaced(own.attributes, attributes),
        ),
    )


def laid_over(base: Metadata, own: OwnMetadata) -> Metadata:
    """Return the metadata of a box that has these rows of its own. Raises one of UNUSABLE."""
    return base.with_records(
        own.entities,
        own.attributes,
        own.parameters,
        without_parameters=own.deleted_parameters,
    ).with_compartments(own.compartments)


def _replaced(
    stored: list[dict[str, Any]], written: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    new = {one["id"] for one in written}
    return [*(one for one in stored if one["id"] not in new), *written]


def try_out(metadata: Metadata, type_name: str) -> None:
    """Compile what a type needs. Raises one of UNUSABLE."""
    type_def = metadata.find_type(type_name)
    if type_def is not None and type_def.kind != "primitive":
        validate(metadata, type_name, {"resourceType": type_name}, Dialect.AIDBOX)


def owner_of(resource_type: str, id_: str, resource: dict[str, Any]) -> str | None:
    """Return the type that a written Entity or Attribute describes."""
    if resource_type == "Entity":
        return id_
    owner = resource.get("resource")
    return owner.get("id") if isinstance(owner, dict) else None


def _refused(member: str, message: str) -> OutcomeError:
    issue = Issue(message=message, path=(member,), type_name="Entity")
    return OutcomeError(Fault.UNPROCESSABLE, issue)
