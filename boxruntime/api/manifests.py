"""What App manifests and POST /$metadata bring about: the resources they stand for.

All of it happens in the transaction that stores the manifest; every failure names its place in it.
Source: core specification, "App.entities shorthand", "$metadata"; platform specification,
"Manifest".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from boxruntime.api.atomic import in_manifest
from boxruntime.api.box import Box, Shorthand
from boxruntime.api.call import Body
from boxruntime.api.dispatch import authorize
from boxruntime.api.entities import (
    METADATA,
    define,
    find_built_in,
    hold_definitions,
    prepared_for,
    undefine,
)
from boxruntime.api.intake import accept, check_id, check_references
from boxruntime.fhir.manifest import Definition, Expansion, expand_entities, expand_resources
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.storage.meta import load_all
from boxruntime.storage.rows import Stored, document_of
from boxruntime.storage.unique import not_unique

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from boxruntime.api.call import Call

APP = "App"
_RESOURCES = "resources"


async def register(
    call: Call, box: Box, id_: str | None, work: Callable[[Box], Awaitable[Stored]]
) -> Stored:
    """Store an App by `work` and let its manifest take effect, in a transaction.

    What the manifest before it had, and this one has not, is removed; but never what every box
    has, nor tables. Raises OutcomeError UNPROCESSABLE with the place in the manifest.
    """
    await hold_definitions(box)
    before = await box.store.find(APP, id_) if id_ is not None else None
    stored = await work(box)
    old = {} if before is None else before.resource()
    await _replace(call, box, stored.id, old, stored.resource())
    return stored


async def withdraw(call: Call, box: Box, app: Stored) -> None:
    """Remove what a deleted App brought."""
    await _replace(call, box, app.id, app.resource(), {})


async def define_all(call: Call, box: Box, definitions: Any) -> list[Stored]:
    """Write what the body of POST /$metadata stands for. Raises OutcomeError UNPROCESSABLE."""
    await hold_definitions(box)
    metadata = box.current().metadata
    foreign = {name: each.kind for name, each in metadata.types.items()}
    expansion = expand_entities(_base(box), definitions, (), foreign=foreign, module=None)
    return await _write_all(call, box, expansion, "definitions")


async def _replace(
    call: Call, box: Box, app_id: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    before = await _expanded(box, app_id, old)
    after = await _expanded(box, app_id, new)
    await _write_all(call, box, after, APP)
    kept = {(one.type, one.id) for one in after.definitions}
    gone = [one for one in reversed(before.definitions) if (one.type, one.id) not in kept]
    others = await _named_by_others(box, app_id) if gone else frozenset()
    for definition in gone:
        if (definition.type, definition.id) not in others:
            await _remove(box, definition)


async def definitions_of(box: Box, app_id: str, app: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the metadata that an App will bring, with types and ids; none of a wrong manifest.

    Writing the App says what is wrong with it.
    """
    expansion = await _expanded(box, app_id, app)
    return [] if expansion.findings else _metadata_of(expansion)


async def _expanded(box: Box, app_id: str, app: dict[str, Any]) -> Expansion:
    expansion = Expansion()
    if "entities" in app:
        foreign = {
            one["id"]: str(one.get("type"))
            for one in await load_all(box.store.runner, "Entity", own_only=True)
            if one.get("module") != app_id
        }
        expansion = expand_entities(
            _base(box), app["entities"], ("entities",), foreign=foreign, module=app_id
        )
    if _RESOURCES in app:
        more = expand_resources(app[_RESOURCES], (_RESOURCES,))
        expansion.definitions += more.definitions
        expansion.findings += more.findings
    return expansion


async def _named_by_others(box: Box, app_id: str) -> frozenset[tuple[str, str]]:
    """Return what the `resources` of other Apps name: it is theirs too."""
    found: set[tuple[str, str]] = set()
    for app in await load_all(box.store.runner, APP):
        if app["id"] != app_id and _RESOURCES in app:
            theirs = expand_resources(app[_RESOURCES], (_RESOURCES,))
            found.update((one.type, one.id) for one in theirs.definitions)
    return frozenset(found)


async def _write_all(call: Call, box: Box, expansion: Expansion, type_name: str) -> list[Stored]:
    if expansion.findings:
        raise OutcomeError(Fault.UNPROCESSABLE, expansion.issues(type_name))
    box = await prepared_for(box, _metadata_of(expansion))
    stored = []
    for definition in expansion.definitions:
        is_literal = definition.place[:1] == (_RESOURCES,)
        shorthand = Shorthand(type_name, definition.place, is_literal)
        if box.transaction is not None:
            box.transaction.shorthand = shorthand
        try:
            stored.append(await _write(call, box, definition, is_literal=is_literal))
        except OutcomeError as error:
            raise OutcomeError(
                error.fault, [in_manifest(issue, shorthand) for issue in error.issues]
            ) from None
    if box.transaction is not None:
        box.transaction.shorthand = None
    return stored


def _metadata_of(expansion: Expansion) -> list[dict[str, Any]]:
    return [
        {**one.resource, "resourceType": one.type, "id": one.id}
        for one in expansion.definitions
        if one.type in METADATA
    ]


async def _write(call: Call, box: Box, definition: Definition, *, is_literal: bool) -> Stored:
    """Create or replace one resource, unless it is stored like that already."""
    resource_type, id_ = definition.type, check_id(definition.id, definition.type)
    inner = await _call_for(call, box, definition, is_literal=is_literal)
    valid = await accept(inner, box, {**definition.resource, "id": id_})
    present = await box.store.find(resource_type, id_)
    if present is not None and document_of(present.resource()) == document_of(valid.resource):
        return present
    await check_references(inner, box, resource_type, valid.references)
    try:
        stored = await box.store.update(resource_type, id_, valid.resource, dialect=Dialect.AIDBOX)
    except asyncpg.UniqueViolationError as error:
        raise not_unique(error) or error from None
    if resource_type in METADATA:
        await define(box, resource_type, id_, valid.resource)
    await box.note_write(resource_type)
    return stored


async def _call_for(call: Call, box: Box, definition: Definition, *, is_literal: bool) -> Call:
    """Return the PUT that a definition stands for.

    A resource that the manifest holds itself needs the rights that this request would need;
    Entity and Attribute are what an App, or the metadata, consists of.
    """
    found = box.routes.find(Dialect.AIDBOX, "PUT", (definition.type, definition.id))
    if found is None:
        raise OutcomeError(
            Fault.UNPROCESSABLE,
            Issue(message="unknown resource type", type_name=definition.type),
        )
    route, parameters = found
    uri = f"/{definition.type}/{definition.id}"
    body = Body(value=definition.resource, within=call.body)
    asked = call.asked.inner(
        dialect=Dialect.AIDBOX, method="PUT", uri=uri, parameters=parameters, body=body
    )
    if is_literal:
        await authorize(box, call.principal, asked, route=route, resource_type=definition.type)
    return msgspec.structs.replace(
        call,
        route=route,
        method="PUT",
        dialect=Dialect.AIDBOX,
        uri=uri,
        parameters=parameters,
        query=[],
        headers={},
        body=body,
        asked=asked,
    )


async def _remove(box: Box, definition: Definition) -> None:
    """Delete what a manifest brought, or give back what every box has in its place."""
    resource_type, id_ = definition.type, definition.id
    stored = await box.store.find(resource_type, id_)
    if stored is None:
        return
    is_literal = definition.place[:1] == (_RESOURCES,)
    if not is_literal and stored.resource().get("module") != definition.resource.get("module"):
        return  # somebody else has taken it over
    built_in = await find_built_in(box, resource_type, id_)
    if built_in is not None:
        await box.store.update(resource_type, id_, built_in, dialect=Dialect.AIDBOX)
        if resource_type in METADATA:
            await define(box, resource_type, id_, built_in)
    else:
        await box.store.delete(resource_type, id_, dialect=Dialect.AIDBOX)
        if resource_type in METADATA:
            await undefine(box, resource_type, id_, stored.resource())
    await box.note_write(resource_type)


def _base(box: Box) -> Any:
    return base_metadata(box.settings.fhir_version)
