"""FHIR delete: DELETE [base]/{type}/{id}, DELETE [base]/{type}?condition

Spec: https://hl7.org/fhir/R4/http.html#delete
Source: core specification, "Delete".
"""

from __future__ import annotations

from boxruntime.api.box import Box
from boxruntime.api.call import Call, Result
from boxruntime.api.conditional import find_one, search_condition
from boxruntime.api.preconditions import (
    accepted_versions,
    precondition_failed,
    requires_existing,
)
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError


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
    found = await find_one(call, box, condition)
    if found is None:
        if call.dialect is Dialect.FHIR:
            return Result(status=204)
        raise OutcomeError(Fault.NOT_FOUND, "No resource matches.")
    return await _delete(call, box, found)


async def _delete(call: Call, box: Box, id_: str) -> Result:
    stored = await box.store.delete(
        call.type, id_, if_match=accepted_versions(call), dialect=call.dialect
    )
    if stored is not None:
        await box.note_write(call.type)
        return Result(status=200, stored=stored, is_write=True)
    if requires_existing(call):
        raise precondition_failed("The resource does not exist.")
    if call.dialect is Dialect.FHIR or await box.store.was_used(call.type, id_):
        return Result(status=204)
    raise OutcomeError(Fault.NOT_FOUND, "The resource does not exist.")
