"""Entity and Attribute as they are written: what they may say, and the tables they need.

Source: core specification, "Entity", "Custom resources".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.fhir.validation import validate
from boxruntime.storage.meta import load_all
from boxruntime.storage.schema import table_statements
from boxruntime.storage.search.indexes import type_indexes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.api.box import Box

METADATA = frozenset({"Entity", "Attribute"})
MAX_NAME = 46
"""PostgreSQL cuts names at 63 bytes; "<type>_history_txid_idx" is the longest of a type."""
_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")


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
    if entity.get("type") != "resource" or id_ in box.metadata.resource_types:
        return
    for statement in (*table_statements(id_), *type_indexes(box.metadata, id_)):
        await box.store.runner.run(statement)


async def check_compiles(box: Box, owners: Iterable[str]) -> None:
    """Return if the metadata, with what the transaction wrote, can be used.

    `owners`: the types that were changed. A schema that does not compile would otherwise make
    the type, or the whole box, unusable. Raises OutcomeError UNPROCESSABLE.
    """
    changed = frozenset(owners)
    if not changed:
        return
    runner = box.store.runner
    try:
        attributes = await load_all(runner, "Attribute", own_only=True)
        metadata = base_metadata(box.settings.fhir_version).with_records(
            await load_all(runner, "Entity", own_only=True), attributes
        )
        users = {
            one["resource"].get("id")
            for one in attributes
            for used in (one.get("type", {}), *one.get("union", ()))
            if used.get("id") in changed
        }
        for name in {*changed, *users}:
            if name in metadata.types and metadata.types[name].kind != "primitive":
                validate(metadata, name, {"resourceType": name}, Dialect.AIDBOX)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, RecursionError):
        raise OutcomeError(
            Fault.UNPROCESSABLE,
            Issue(message="the metadata cannot be used: a type, path or schema is not right"),
        ) from None


def owner_of(resource_type: str, id_: str, resource: dict[str, Any]) -> str | None:
    """Return the type that a written Entity or Attribute describes."""
    if resource_type == "Entity":
        return id_
    owner = resource.get("resource")
    return owner.get("id") if isinstance(owner, dict) else None


def _refused(member: str, message: str) -> OutcomeError:
    issue = Issue(message=message, path=(member,), type_name="Entity")
    return OutcomeError(Fault.UNPROCESSABLE, issue)
