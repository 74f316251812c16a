"""FHIR read and vread: GET [base]/{type}/{id}, GET [base]/{type}/{id}/_history/{vid}

Spec: https://hl7.org/fhir/R4/http.html#read
Source: core specification, "Read".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.api.call import Call, Result
from boxruntime.api.interactions.binary import content, wants_content
from boxruntime.api.preconditions import is_unchanged
from boxruntime.fhir.formats import to_fhir
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.search.parse import parse_search
from boxruntime.fhir.search.projection import project

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.storage.rows import Stored

_PARTS = frozenset({"_elements", "_summary"})


async def read(call: Call, box: Box) -> Result:
    """Return the current version; 304 when the caller has it already.

    Raises OutcomeError: NOT_FOUND if the id was never used, GONE if it was deleted.
    """
    return _answer(call, box, await box.store.current(call.type, call.id))


async def vread(call: Call, box: Box) -> Result:
    """Return one version. Raises OutcomeError: NOT_FOUND, or GONE for a deletion."""
    return _answer(call, box, await box.store.version(call.type, call.id, call.parameters["vid"]))


def _answer(call: Call, box: Box, stored: Stored) -> Result:
    if is_unchanged(call, stored):
        return Result(status=304, stored=stored)
    if wants_content(call):
        return content(box.metadata, stored)
    parts = [(name, value) for name, value in call.query if name in _PARTS]
    if not parts:
        return Result(status=200, stored=stored)
    return Result(status=200, stored=stored, value=_part(call, box, stored, parts))


def _part(call: Call, box: Box, stored: Stored, parts: list[tuple[str, str]]) -> object:
    """Return what `_elements` or `_summary` leave of the resource, in the call's dialect."""
    query = parse_search(box.metadata, call.type, parts, call.dialect, strict=False)
    fhir = call.dialect is Dialect.FHIR
    part = project(box.metadata, query, stored.resource(), included=False, fhir=fhir)
    return to_fhir(box.metadata, part) if fhir else part
