"""FHIR create: POST [base]/{type}

Spec: https://hl7.org/fhir/R4/http.html#create
Source: core specification, "Create".
"""

from __future__ import annotations

from boxruntime.api.box import Box
from boxruntime.api.call import Call, Result
from boxruntime.api.conditional import create_condition, find_one
from boxruntime.api.intake import ValidResource, check_references, new_id, take_resource
from boxruntime.fhir.outcome import Dialect


async def create(call: Call, box: Box) -> Result:
    """Store a new resource: 201; with a condition that one resource meets: 200 and that one.

    Raises OutcomeError: CONFLICT for an id in use, MULTIPLE_MATCHES, UNPROCESSABLE.
    """
    condition = create_condition(call)
    if condition is not None:
        found = await find_one(call, box, condition)
        if found is not None:
            return Result(status=200, stored=await box.store.current(call.type, found))
    return await store_new(call, box, await take_resource(call, box))


async def store_new(
    call: Call, box: Box, valid: ValidResource, *, id_: str | None = None
) -> Result:
    """Insert a valid resource under `id_`, the id of its body, or a new one."""
    id_ = id_ or valid.id
    if box.settings.create_ignores_id and call.dialect is Dialect.FHIR and box.transaction is None:
        id_ = None
    await check_references(call, box, valid.type, valid.references)
    stored = await box.store.create(
        valid.type, id_ or new_id(), valid.resource, fresh=id_ is None
    )
    await box.note_write(valid.type)
    return Result(status=201, stored=stored, is_write=True)
