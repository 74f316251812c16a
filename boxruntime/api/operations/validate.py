"""$validate: is a resource fit to be created, updated or deleted? Writes nothing.

POST [base]/{type}/$validate, POST [base]/{type}/{id}/$validate, POST /fhir/$validate
Source: core specification, "$validate"; FHIR R4, https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from boxruntime.api.call import Call, Result
from boxruntime.api.dispatch import authorize_type
from boxruntime.api.intake import judge
from boxruntime.api.operations.profile_rules import named_profiles, profile_issues
from boxruntime.api.operations.validate_input import CREATE, DELETE, UPDATE, Asked, read_input
from boxruntime.api.render import render_resource, validation_outcome
from boxruntime.fhir.duplicates import duplicate_members
from boxruntime.fhir.examination.document import examine_document
from boxruntime.fhir.expression import located, sorted_issues, without_explained
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError, Path
from boxruntime.fhir.shapes import shape_of

if TYPE_CHECKING:
    from boxruntime.api.box import Box

_LARGE_BYTES = 32 * 1024
"""About 30 ms of examination: longer would keep other requests waiting."""
_large_documents = ThreadPoolExecutor(max_workers=1, thread_name_prefix="validate")
"""Its thread starts with the first of them, never before a fork."""
_NO_RESOURCE = "There is no resource to validate."


async def validate_system(call: Call, box: Box) -> Result:
    """Validate a resource of any type: its own `resourceType` says which.

    Raises OutcomeError: INVALID without a resource or a type, NOT_FOUND for an unknown type,
    FORBIDDEN for a type that the caller may not ask about.
    """
    asked = read_input(call)
    if asked.resource is None:
        raise OutcomeError(Fault.INVALID, _NO_RESOURCE)
    type_name = asked.resource.get("resourceType")
    if not isinstance(type_name, str):
        raise OutcomeError(Fault.INVALID, "The resource does not say its resourceType.")
    if type_name not in box.metadata.resource_types:
        raise OutcomeError(Fault.NOT_FOUND, "The resource type does not exist.")
    authorize_type(call, box, type_name)
    return await _answer(call, box, asked, type_name, None)


async def validate_type(call: Call, box: Box) -> Result:
    """Validate a resource of the type in the URL. Raises OutcomeError INVALID without one."""
    asked = read_input(call)
    if asked.resource is None and asked.mode != DELETE:
        raise OutcomeError(Fault.INVALID, _NO_RESOURCE)
    return await _answer(call, box, asked, call.type, None)


async def validate_instance(call: Call, box: Box) -> Result:
    """Validate a resource under the id in the URL; without one, what is stored there.

    Raises OutcomeError: NOT_FOUND or GONE if neither is there.
    """
    return await _answer(call, box, read_input(call), call.type, call.id)


async def _answer(call: Call, box: Box, asked: Asked, type_name: str, id_: str | None) -> Result:
    if asked.mode == DELETE:
        issues = await _deletable(box, asked, type_name, id_)
    else:
        resource = asked.resource
        if resource is None:
            assert id_ is not None
            stored = await box.store.current(type_name, id_)
            resource = render_resource(box.metadata, stored, call.dialect)
        issues = [*_mode_issues(call, asked, type_name, id_)]
        issues += await _resource_issues(call, box, asked, type_name, resource)
    return Result(status=200, value=validation_outcome(box.metadata, issues, call.dialect))


async def _deletable(box: Box, asked: Asked, type_name: str, id_: str | None) -> list[Issue]:
    """`mode=delete` asks only whether the resource is there."""
    stated = (asked.resource or {}).get("id") if id_ is None else id_
    if isinstance(stated, str) and await box.store.find(type_name, stated) is not None:
        return []
    return [Issue(message="the resource does not exist", code="not-found", type_name=type_name)]


def _mode_issues(call: Call, asked: Asked, type_name: str, id_: str | None) -> list[Issue]:
    if asked.mode not in {CREATE, UPDATE}:
        message = "expected one of create, update, delete as the mode"
        return [Issue(message=message, code="not-supported", severity="error")]
    stated = (asked.resource or {}).get("id")
    if asked.resource is None or not (asked.mode == UPDATE or id_ is not None):
        return []
    if stated is None and call.dialect is Dialect.FHIR and asked.mode == UPDATE:
        return [Issue(message="an update needs an id", type_name=type_name, code="required")]
    if id_ is not None and stated is not None and stated != id_:
        message = "the id of the resource is not the one in the URL"
        return [Issue(message=message, path=("id",), type_name=type_name)]
    return []


async def _resource_issues(
    call: Call, box: Box, asked: Asked, type_name: str, resource: dict[str, Any]
) -> list[Issue]:
    metadata = box.metadata
    stated = resource.get("resourceType", type_name)
    if stated != type_name:
        message = f"expected resourceType {type_name}"
        return [Issue(message=message, path=("resourceType",), type_name=type_name)]
    issues = [
        Issue(message="a member that is there twice", path=path, type_name=type_name)
        for path in _duplicates(call, asked.place)
    ]
    issues += profile_issues(call.dialect, box, resource, type_name, asked.profiles)
    try:
        shape = shape_of(metadata, type_name, resource)
        if call.dialect is Dialect.FHIR:
            issues += await _examined(call, box, asked, shape, resource)
        # An examination says what is wrong in FHIR's terms; a write may refuse more.
        wanted = named_profiles(box, asked.profiles)
        _, refused = judge(call, box, type_name, resource, extra=wanted)
    except OutcomeError as error:
        refused = error.issues
    except RecursionError:
        refused = [Issue(message="The resource is nested too deeply.", type_name=type_name)]
    placed = [located(metadata, issue, call.dialect, resource, type_name) for issue in issues]
    others = [located(metadata, issue, call.dialect, resource, type_name) for issue in refused]
    serious = [issue for issue in placed if issue.severity != "warning"]
    return sorted_issues([*placed, *without_explained(serious, others)])


async def _examined(
    call: Call, box: Box, asked: Asked, shape: str, resource: dict[str, Any]
) -> list[Issue]:
    """Examine a document; a large one beside the event loop, and one of those at a time."""
    if len(call.body.raw) < _LARGE_BYTES and not call.body.is_empty:
        return examine_document(box.metadata, shape, resource, asked.profiles)

    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(
        _large_documents, examine_document, box.metadata, shape, resource, asked.profiles
    )


def _duplicates(call: Call, place: Path) -> list[Path]:
    """Return the repeated members of the resource, which stands at `place` in the body."""
    length = len(place)
    return [
        path[length:]
        for path in (duplicate_members(call.body.raw) if call.body.is_json else ())
        if path[:length] == place and len(path) > length
    ]
