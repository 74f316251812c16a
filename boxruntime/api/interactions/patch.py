"""FHIR patch: PATCH [base]/{type}/{id}, PATCH [base]/{type}?condition

Spec: https://hl7.org/fhir/R4/http.html#patch
Source: core specification, "Patch".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from boxruntime.api.atomic import atomically
from boxruntime.api.conditional import Condition, find_one_to_change, search_condition
from boxruntime.api.create_or_replace import replace_version
from boxruntime.api.entities import METADATA
from boxruntime.api.intake import accept
from boxruntime.api.preconditions import accepted_versions, precondition_failed, requires_absent
from boxruntime.api.render import render_resource
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.fhir.patch.fhirpath_operations import parse_fhirpath_patch
from boxruntime.fhir.patch.fhirpath_patch import apply_fhirpath_patch
from boxruntime.fhir.patch.json_patch import apply_json_patch, parse_json_patch
from boxruntime.fhir.patch.merge_patch import apply_merge_patch, parse_merge_patch
from boxruntime.fhir.shapes import shape_of
from boxruntime.http.negotiation import media_type
from boxruntime.storage.errors import LostRaceError
from boxruntime.storage.store import version_mismatch

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.api.call import Call, Result
    from boxruntime.storage.rows import Stored

Change: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""From the document in the call's dialect, which may be used up, to the changed one."""
_JSON, _MERGE, _FHIRPATH = "json-patch", "merge-patch", "fhirpath-patch"
_BY_MEDIA_TYPE = {
    "application/json-patch+json": _JSON,
    "application/merge-patch+json": _MERGE,
}


async def patch(call: Call, box: Box) -> Result:
    """Change a part of a resource: 200.

    Raises OutcomeError: INVALID for a patch that is none or does not fit, CONFLICT for a test
    that fails, NOT_FOUND, GONE, UNPROCESSABLE for what it would leave.
    """
    return await _patch(call, box, call.id)


async def conditional_patch(call: Call, box: Box) -> Result:
    """Change a part of the one resource that the query finds.

    Raises OutcomeError as `patch` does; MULTIPLE_MATCHES; INVALID without criteria.
    """
    condition = search_condition(call)
    if condition is None:
        raise OutcomeError(Fault.INVALID, "A conditional patch needs search criteria.")
    return await atomically(
        box, call.dialect, lambda inner: _search_and_patch(call, inner, condition)
    )


async def _search_and_patch(call: Call, box: Box, condition: Condition) -> Result:
    return await patch_found(call, box, await find_one_to_change(call, box, condition))


async def patch_found(call: Call, box: Box, found: str | None) -> Result:
    """Patch what the criteria of a conditional patch found.

    Raises OutcomeError NOT_FOUND if they found nothing.
    """
    if found is None:
        raise OutcomeError(Fault.NOT_FOUND, "No resource matches.")
    return await _patch(call, box, found)


async def _patch(call: Call, box: Box, id_: str) -> Result:
    """Read, change and write back, without losing what others write meanwhile.

    Usually nobody does, so the row is locked only after a lost race (or where there is a
    transaction anyway): two statements instead of five.
    """
    change = _read_change(call, box)
    if box.transaction is None and call.type not in METADATA:
        try:
            return await _change(call, box, id_, change)
        except LostRaceError:
            pass
    return await atomically(
        box, call.dialect, lambda inner: _change_locked(call, inner, id_, change)
    )


async def _change_locked(call: Call, box: Box, id_: str, change: Change) -> Result:
    await box.store.lock({call.type: [id_]})
    return await _change(call, box, id_, change)


async def _change(call: Call, box: Box, id_: str, change: Change) -> Result:
    stored = await box.store.current(call.type, id_)
    _check_preconditions(call, stored)
    document = change(render_resource(box.metadata, stored, call.dialect))
    # What the server says about a resource is not the patch's to change.
    document |= {"resourceType": call.type, "id": stored.id}
    return await replace_version(call, box, await accept(call, box, document), stored)


def _check_preconditions(call: Call, stored: Stored) -> None:
    versions = accepted_versions(call)
    if versions is not None and stored.txid not in versions:
        raise version_mismatch(call.dialect)
    if requires_absent(call):
        raise precondition_failed("The resource exists.")


def _read_change(call: Call, box: Box) -> Change:
    """Return what the body asks for. Raises OutcomeError INVALID, UNSUPPORTED_MEDIA_TYPE."""
    if call.body.is_empty:
        raise OutcomeError(Fault.INVALID, "The body must be a patch.")
    body = call.body.value(also=_BY_MEDIA_TYPE)
    match _method(call, body):
        case "json-patch":
            return partial(apply_json_patch, operations=parse_json_patch(body))
        case "merge-patch":
            return partial(apply_merge_patch, patch=parse_merge_patch(body))
        case _:
            return _fhirpath_change(box, call.type, body)


def _fhirpath_change(box: Box, type_name: str, body: Any) -> Change:
    operations = parse_fhirpath_patch(box.metadata, body)

    def change(document: dict[str, Any]) -> dict[str, Any]:
        shape = shape_of(box.metadata, type_name, document)
        return apply_fhirpath_patch(document, operations, box.metadata, shape)

    return change


def _method(call: Call, body: Any) -> str:
    """Return the kind of patch: by `_method`, else by the media type, else by its shape."""
    is_fhir = call.dialect is Dialect.FHIR
    stated = call.parameter("_method")
    if stated:
        if stated in {_JSON, _MERGE} or (stated == _FHIRPATH and is_fhir):
            return stated
        known = [_JSON, _MERGE, *([_FHIRPATH] if is_fhir else [])]
        raise OutcomeError(Fault.INVALID, f"_method must be one of {', '.join(known)}.")
    declared = _BY_MEDIA_TYPE.get(media_type(call.body.content_type))
    if declared is not None:
        return declared
    if isinstance(body, list):
        return _JSON
    if is_fhir and isinstance(body, dict) and body.get("resourceType") == "Parameters":
        return _FHIRPATH
    return _MERGE
