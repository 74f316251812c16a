"""Batch upsert at root: PUT / with an array of resources, all or nothing.

Source: core specification, "Batch upsert".
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.atomic import atomically, placed
from boxruntime.api.call import Body, Call, Result
from boxruntime.api.dispatch import authorize, may_see
from boxruntime.api.entities import prepared_for
from boxruntime.api.entry_definitions import definitions_among
from boxruntime.api.intake import SKIP_HEADER, check_references
from boxruntime.api.interactions.update import take_replacement, update
from boxruntime.api.render import render_resource
from boxruntime.api.turns import Turns
from boxruntime.api.waiting_writes import WaitingWrites, Write, can_wait
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError

if TYPE_CHECKING:
    from boxruntime.api.box import Box


async def upsert(call: Call, box: Box) -> Result:
    """Create or replace every resource of the body in order; answer them as stored."""
    items = call.body.value()
    if not isinstance(items, list):
        raise OutcomeError(Fault.INVALID, "The body must be an array of resources.")
    stored = await atomically(
        box, call.dialect, lambda inner: _store_all(call, inner, items), one_version=True
    )
    return Result(status=200, value=stored, is_write=True)


async def _store_all(call: Call, box: Box, items: list[Any]) -> list[dict[str, Any]]:
    if may_see(call, box, "Entity"):
        box = await prepared_for(box, await definitions_among(call, box, items))
    await box.store.lock(_rows_of(box, items))
    waiting = WaitingWrites(box)
    done: list[Write | Result] = []
    turns = Turns()
    for index, item in enumerate(items):
        await turns.pass_on()
        if box.transaction is not None and not call.is_entry:
            box.transaction.entry = index
        try:
            one = await item_call(call, box, item)
            write = await _take(one, box, index) if can_wait(one, box) else None
        except OutcomeError as error:
            raise placed(box, error, index, call.dialect) from None
        if write is not None:
            await waiting.add(write)
            done.append(write)
            continue
        await waiting.flush()
        try:
            done.append(await update(one, box))
        except OutcomeError as error:
            raise placed(box, error, index, call.dialect) from None
    await waiting.flush()
    answers = []
    for each in done:
        await turns.pass_on()
        result = each.result if isinstance(each, Write) else each
        if result is not None and result.stored is not None:
            answers.append(render_resource(box.metadata, result.stored, call.dialect))
    return answers


async def _take(call: Call, box: Box, index: int) -> Write:
    valid = await take_replacement(call, box)
    await check_references(call, box, valid.type, valid.references)
    return Write(index=index, dialect=call.dialect, valid=valid, id=call.id, replaces=True)


def _rows_of(box: Box, items: list[Any]) -> dict[str, list[str]]:
    """Return the ids by type that the items name, to be locked in one order."""
    rows: dict[str, list[str]] = defaultdict(list)
    for item in items:
        if not isinstance(item, dict):
            continue
        resource_type, id_ = item.get("resourceType"), item.get("id")
        if (
            isinstance(resource_type, str)
            and isinstance(id_, str)
            and resource_type in box.metadata.resource_types
        ):
            rows[resource_type].append(id_)
    return rows


async def item_call(call: Call, box: Box, item: Any) -> Call:
    """Return the PUT of one resource, if the caller may send it. Raises OutcomeError."""
    resource_type = item.get("resourceType") if isinstance(item, dict) else None
    id_ = item.get("id") if isinstance(item, dict) else None
    if not isinstance(resource_type, str) or not isinstance(id_, str):
        raise OutcomeError(Fault.UNPROCESSABLE, "Every resource needs resourceType and id.")
    found = box.routes.find(call.dialect, "PUT", (resource_type, id_))
    if found is None:
        raise OutcomeError(Fault.UNPROCESSABLE, "The resource type is unknown.")
    route, parameters = found
    prefix = "/fhir/" if call.dialect is Dialect.FHIR else "/"
    body = Body(value=item, within=call.body)
    asked = call.asked.inner(
        dialect=call.dialect,
        method="PUT",
        uri=f"{prefix}{resource_type}/{id_}",
        parameters=parameters,
        body=body,
    )
    await authorize(box, call.principal, asked, route=route, resource_type=resource_type)
    return msgspec.structs.replace(
        call,
        route=route,
        uri=f"/{resource_type}/{id_}",
        parameters=parameters,
        query=[],
        headers={name: value for name, value in call.headers.items() if name == SKIP_HEADER},
        body=body,
        asked=asked,
    )
