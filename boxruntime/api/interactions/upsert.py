"""Batch upsert at root: PUT / with an array of resources, all or nothing.

Source: core specification, "Batch upsert".
"""

from __future__ import annotations

from typing import Any

import msgspec

from boxruntime.api.box import Box, Transaction
from boxruntime.api.call import Body, Call, Result
from boxruntime.api.dispatch import authorize
from boxruntime.api.interactions.transaction import check_dangling, placed
from boxruntime.api.interactions.update import update
from boxruntime.api.render import render_resource
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.storage.database import Runner
from boxruntime.storage.rows import Stored
from boxruntime.storage.store import Store


async def upsert(call: Call, box: Box) -> Result:
    """Create or replace every resource of the body in order; answer them as stored."""
    items = call.body.value()
    if not isinstance(items, list):
        raise OutcomeError(Fault.INVALID, "The body must be an array of resources.")

    async def work(runner: Runner) -> tuple[set[str], list[Stored]]:
        store = await Store.in_transaction(runner, without_history=box.store.without_history)
        transaction = Transaction()
        inner = msgspec.structs.replace(box, store=store, transaction=transaction)
        stored = []
        for index, item in enumerate(items):
            transaction.entry = index
            try:
                result = await update(_item_call(call, inner, item), inner)
            except OutcomeError as error:
                raise placed(inner, error, index, call.dialect) from None
            if result.stored is not None:
                stored.append(result.stored)
        await check_dangling(inner, transaction)
        return transaction.touched, stored

    touched, stored = await box.database.in_transaction(work)
    for resource_type in touched:
        await box.changed(resource_type)
    value = [render_resource(box.metadata, one, call.dialect) for one in stored]
    return Result(status=200, value=value)


def _item_call(call: Call, box: Box, item: Any) -> Call:
    resource_type = item.get("resourceType") if isinstance(item, dict) else None
    id_ = item.get("id") if isinstance(item, dict) else None
    if not isinstance(resource_type, str) or not isinstance(id_, str):
        raise OutcomeError(Fault.UNPROCESSABLE, "Every resource needs resourceType and id.")
    found = box.routes.find(call.dialect, "PUT", (resource_type, id_))
    if found is None:
        raise OutcomeError(Fault.UNPROCESSABLE, "The resource type is unknown.")
    route, parameters = found
    authorize(
        box,
        call.principal,
        route=route,
        dialect=call.dialect,
        method="PUT",
        resource_type=resource_type,
    )
    return msgspec.structs.replace(
        call,
        route=route,
        uri=f"/{resource_type}/{id_}",
        parameters=parameters,
        query=[],
        body=Body(value=item),
    )
