"""FHIR update: PUT [base]/{type}/{id}, PUT [base]/{type}?condition

Spec: https://hl7.org/fhir/R4/http.html#update
Source: core specification, "Update".
"""

from __future__ import annotations

from boxruntime.api.box import Box
from boxruntime.api.call import Call, Result
from boxruntime.api.conditional import find_one, search_condition
from boxruntime.api.create_or_replace import replace
from boxruntime.api.intake import check_id, take_resource
from boxruntime.api.interactions.create import store_new
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError


async def update(call: Call, box: Box) -> Result:
    """Replace a resource (200), or create it under the id of the URL (201)."""
    id_ = check_id(call.id, call.type)
    valid = await take_resource(call, box)
    _check_same_id(call, valid.id, id_)
    return await replace(call, box, valid, id_)


async def conditional_update(call: Call, box: Box) -> Result:
    """Replace the one resource that the query finds, or create one.

    Without a query the body's id takes its place. Raises OutcomeError: MULTIPLE_MATCHES,
    INVALID without query and id.
    """
    condition = search_condition(call)
    if condition is None:
        valid = await take_resource(call, box)
        if valid.id is None:
            raise OutcomeError(Fault.INVALID, "An update needs an id or search criteria.")
        return await replace(call, box, valid, valid.id)
    found = await find_one(call, box, condition)
    valid = await take_resource(call, box)
    if found is None:
        return await store_new(call, box, valid)
    _check_same_id(call, valid.id, found)
    return await replace(call, box, valid, found)


def _check_same_id(call: Call, body_id: str | None, id_: str) -> None:
    if body_id is not None and body_id != id_ and call.dialect is Dialect.FHIR:
        raise OutcomeError(Fault.INVALID, "The id of the body differs from the id of the URL.")
