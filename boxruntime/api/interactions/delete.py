"""FHIR delete: DELETE [base]/{type}/{id}, DELETE [base]/{type}?condition

Spec: https://hl7.org/fhir/R4/http.html#delete
Source: core specification, "Delete".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.api.atomic import atomically
from boxruntime.api.call import Call, Result
from boxruntime.api.conditional import Condition, find_one_to_change, search_condition
from boxruntime.api.entities import METADATA, hold_definitions, undefine
from boxruntime.api.manifests import APP, withdraw
from boxruntime.api.preconditions import accepted_versions, refuse_absent
from boxruntime.api.profile_definitions import makes_profiles, note_definition
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.storage.rows import Stored


async def delete(call: Call, box: Box) -> Result:
    """Delete a resource: 200 and what it was; 204 if it was deleted already.

    Raises OutcomeError: NOT_FOUND at root for an id that was never used.
    """
    return await _delete(call, box, call.id)


async def conditional_delete(call: Call, box: Box) -> Result:
    """Delete the one resource that the query finds.

    Raises OutcomeError: INVALID without criteria, MULTIPLE_MATCHES, NOT_FOUND at root.
    """
    condition = search_condition(call)
    if condition is None:
        raise OutcomeError(Fault.INVALID, "A conditional delete needs search criteria.")
    return await atomically(
        box, call.dialect, lambda inner: _search_and_delete(call, inner, condition)
    )


async def _search_and_delete(call: Call, box: Box, condition: Condition) -> Result:
    return await delete_found(call, box, await find_one_to_change(call, box, condition))


async def delete_found(call: Call, box: Box, found: str | None) -> Result:
    """Delete what the criteria of a conditional delete found.

    Raises OutcomeError: NOT_FOUND at root if they found nothing, or what If-Match asks for.
    """
    if found is not None:
        return await _delete(call, box, found)
    refuse_absent(call)
    if call.dialect is Dialect.FHIR:
        return Result(status=204)
    raise OutcomeError(Fault.NOT_FOUND, "No resource matches.")


async def _delete(call: Call, box: Box, id_: str) -> Result:
    if call.type in METADATA:
        stored = await atomically(
            box, call.dialect, lambda inner: _delete_metadata(call, inner, id_)
        )
    elif call.type == APP:
        stored = await atomically(box, call.dialect, lambda inner: _delete_app(call, inner, id_))
    elif makes_profiles(box, call.type):
        stored = await atomically(
            box, call.dialect, lambda inner: _delete_definition(call, inner, id_)
        )
    else:
        stored = await _delete_row(call, box, id_)
    if stored is not None:
        await box.note_write(call.type)
        return Result(status=200, stored=stored, is_write=True)
    refuse_absent(call)
    if call.dialect is Dialect.FHIR or await box.store.was_used(call.type, id_):
        return Result(status=204)
    raise OutcomeError(Fault.NOT_FOUND, "The resource does not exist.")


async def _delete_row(call: Call, box: Box, id_: str) -> Stored | None:
    return await box.store.delete(
        call.type, id_, if_match=accepted_versions(call), dialect=call.dialect
    )


async def _delete_metadata(call: Call, box: Box, id_: str) -> Stored | None:
    await hold_definitions(box)
    stored = await _delete_row(call, box, id_)
    if stored is not None:
        await undefine(box, call.type, id_, stored.resource())
    return stored


async def _delete_app(call: Call, box: Box, id_: str) -> Stored | None:
    await hold_definitions(box)
    stored = await _delete_row(call, box, id_)
    if stored is not None:
        await withdraw(call, box, stored)
    return stored


async def _delete_definition(call: Call, box: Box, id_: str) -> Stored | None:
    stored = await _delete_row(call, box, id_)
    if stored is not None:
        note_definition(call, box, stored.resource(), is_there=False)
    return stored
