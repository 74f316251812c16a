"""Replacing a resource under the preconditions of the request; shared by update and patch."""

from __future__ import annotations

from boxruntime.api.box import Box
from boxruntime.api.call import Call, Result
from boxruntime.api.intake import ValidResource, check_references
from boxruntime.api.preconditions import (
    accepted_versions,
    precondition_failed,
    requires_absent,
    requires_existing,
)
from boxruntime.fhir.outcome import Fault, OutcomeError


async def replace(call: Call, box: Box, valid: ValidResource, id_: str) -> Result:
    """Store `valid` as the next version of `id_`: 200, or 201 where it did not exist.

    Raises OutcomeError when If-Match or If-None-Match do not hold.
    """
    await check_references(call, box, valid.type, valid.references)
    if requires_absent(call):
        try:
            stored = await box.store.create(valid.type, id_, valid.resource, fresh=False)
        except OutcomeError as error:
            if error.fault is Fault.CONFLICT:
                raise precondition_failed("The resource exists already.") from None
            raise
    else:
        must_exist = requires_existing(call)
        try:
            stored = await box.store.update(
                valid.type,
                id_,
                valid.resource,
                if_match=accepted_versions(call),
                dialect=call.dialect,
                creates=not must_exist,
            )
        except OutcomeError as error:
            if must_exist and error.fault in {Fault.NOT_FOUND, Fault.GONE}:
                raise precondition_failed("The resource does not exist.") from None
            raise
    await box.note_write(valid.type)
    return Result(
        status=200 if stored.status == "updated" else 201, stored=stored, is_write=True
    )
