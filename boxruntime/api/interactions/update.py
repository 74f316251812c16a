"""FHIR update: PUT [base]/{type}/{id}, PUT [base]/{type}?condition

Spec: https://hl7.org/fhir/R4/http.html#update
Source: core specification, "Update".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.api.atomic import atomically
from boxruntime.api.conditional import Condition, find_one_to_change, search_condition
from boxruntime.api.create_or_replace import replace, store_new
from boxruntime.api.intake import ValidResource, body_object, check_id, take_resource
from boxruntime.api.interactions.binary import find_document
from boxruntime.api.preconditions import refuse_absent
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.api.call import Call, Result


async def update(call: Call, box: Box) -> Result:
    """Replace a resource (200), or create it under the id of the URL (201)."""
    valid = await take_replacement(call, box)
    return await replace(call, box, valid, call.id)


async def take_replacement(call: Call, box: Box) -> ValidResource:
    """Return the body as a valid resource that may stand under the id of the URL."""
    _check_same_id(call, box, check_id(call.id, call.type))
    return await take_resource(call, box)


async def conditional_update(call: Call, box: Box) -> Result:
    """Replace the one resource that the query finds, or create one.

    Without a query the body's id takes its place. Raises OutcomeError: MULTIPLE_MATCHES,
    INVALID without query and id.
    """
    condition = search_condition(call)
    if condition is not None:
        return await atomically(
            box, call.dialect, lambda inner: _search_and_update(call, inner, condition)
        )
    valid = await take_resource(call, box)
    if valid.id is None:
        raise OutcomeError(Fault.INVALID, "An update needs an id or search criteria.")
    return await replace(call, box, valid, valid.id)


async def _search_and_update(call: Call, box: Box, condition: Condition) -> Result:
    return await update_found(call, box, await find_one_to_change(call, box, condition))


async def update_found(
    call: Call, box: Box, found: str | None, *, new_id: str | None = None
) -> Result:
    """Replace what the criteria of a conditional update found, or create what they did not.

    A created one takes `new_id` unless its body has an id.
    """
    if found is not None:
        _check_same_id(call, box, found)
        return await replace(call, box, await take_resource(call, box), found)
    refuse_absent(call)
    valid = await take_resource(call, box)
    return await store_new(call, box, valid, id_=valid.id or new_id)


def _check_same_id(call: Call, box: Box, id_: str) -> None:
    if call.dialect is Dialect.AIDBOX:
        return  # ids never change: another one is ignored
    stated = None if find_document(box.metadata, call) else body_object(call).get("id")
    if isinstance(stated, str) and stated != id_:  # anything else is for validation
        raise OutcomeError(Fault.INVALID, "The id of the body differs from the id of the URL.")
