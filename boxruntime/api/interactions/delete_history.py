"""Removing old versions: DELETE [base]/{type}/{id}/_history, and …/_history/{vid}

The current version always stays; of a deleted resource that is its deletion.
Source: core specification, "Delete".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.api.call import Call, Result

if TYPE_CHECKING:
    from boxruntime.api.box import Box


async def delete_history(call: Call, box: Box) -> Result:
    """Remove all old versions of a resource: 204.

    Raises OutcomeError NOT_FOUND for an id that was never used.
    """
    await box.store.forget_history(call.type, call.id)
    return Result(status=204)


async def delete_version(call: Call, box: Box) -> Result:
    """Remove one old version of a resource: 204.

    Raises OutcomeError: NOT_FOUND for an unknown one, CONFLICT for the current one.
    """
    await box.store.forget_version(call.type, call.id, call.parameters["vid"])
    return Result(status=204)
