"""FHIR read and vread: GET [base]/{type}/{id}, GET [base]/{type}/{id}/_history/{vid}

Spec: https://hl7.org/fhir/R4/http.html#read
Source: core specification, "Read".
"""

from __future__ import annotations

from boxruntime.api.box import Box
from boxruntime.api.call import Call, Result
from boxruntime.api.preconditions import is_unchanged


async def read(call: Call, box: Box) -> Result:
    """Return the current version; 304 when the caller has it already.

    Raises OutcomeError: NOT_FOUND if the id was never used, GONE if it was deleted.
    """
    stored = await box.store.current(call.type, call.id)
    return Result(status=304 if is_unchanged(call, stored) else 200, stored=stored)


async def vread(call: Call, box: Box) -> Result:
    """Return one version. Raises OutcomeError: NOT_FOUND, or GONE for a deletion."""
    stored = await box.store.version(call.type, call.id, call.parameters["vid"])
    return Result(status=304 if is_unchanged(call, stored) else 200, stored=stored)
