"""FHIR create: POST [base]/{type}

Spec: https://hl7.org/fhir/R4/http.html#create
Source: core specification, "Create".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.api.atomic import atomically
from boxruntime.api.call import Call, Result
from boxruntime.api.captured_create import store_created
from boxruntime.api.conditional import Condition, create_condition, find_one, hold
from boxruntime.api.intake import ValidResource, take_resource
from boxruntime.fhir.outcome import Dialect
from boxruntime.storage.errors import LostRaceError

if TYPE_CHECKING:
    from boxruntime.api.box import Box


async def create(call: Call, box: Box) -> Result:
    """Store a new resource: 201; with a condition that one resource meets: 200 and that one.

    Raises OutcomeError: CONFLICT for an id in use, MULTIPLE_MATCHES, UNPROCESSABLE.
    """
    condition = create_condition(call)
    if condition is not None:
        return await atomically(
            box, call.dialect, lambda inner: _create_unless(call, inner, condition)
        )
    valid = await take_resource(call, box)
    return await store_created(call, box, valid, id_=_stated_id(call, box, valid))


async def _create_unless(call: Call, box: Box, condition: Condition) -> Result:
    await hold(box, (call.type, condition))
    found = await find_one(call, box, condition)
    if found is not None:
        return await existing(call, box, found.id)
    valid = await take_resource(call, box)
    return await store_created(call, box, valid, id_=_stated_id(call, box, valid))


async def existing(call: Call, box: Box, id_: str) -> Result:
    """Return what a conditional create found, unchanged: 200.

    Raises LostRaceError if it was deleted since: another attempt will not find it.
    """
    stored = await box.store.find(call.type, id_)
    if stored is None:
        raise LostRaceError
    return Result(status=200, stored=stored, is_write=True)


def _stated_id(call: Call, box: Box, valid: ValidResource) -> str | None:
    if box.settings.create_ignores_id and call.dialect is Dialect.FHIR and not call.is_entry:
        return None
    return valid.id
