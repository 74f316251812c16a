"""Stages five and six for every write: a document as sent becomes a resource fit to be stored.

Source: core specification, "When and on what", "Create", "References".
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import defaultdict
from typing import Any

import msgspec

from boxruntime.access.secrets import MalformedHashError, hash_secret, is_hashed
from boxruntime.api.box import Box
from boxruntime.api.call import Call
from boxruntime.fhir.empties import strip_empty
from boxruntime.fhir.formats import FoundReference, accept_aidbox, to_aidbox
from boxruntime.fhir.metadata import Metadata
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.fhir.validation import validate

_ID = re.compile(r"[A-Za-z0-9\-._]{1,255}")
SKIP_HEADER = b"aidbox-validation-skip"


class ValidResource(msgspec.Struct, frozen=True, kw_only=True):
    """A resource in Aidbox format that passed validation; only `take_resource` makes it."""

    type: str
    id: str | None
    """The id that the body names."""
    resource: dict[str, Any]
    references: list[FoundReference]


def new_id() -> str:
    """Return a fresh id: a lower-case UUID v4."""
    return str(uuid.uuid4())


def check_id(id_: object, resource_type: str) -> str:
    """Return the id if a resource may have it. Raises OutcomeError UNPROCESSABLE."""
    if isinstance(id_, str) and _ID.fullmatch(id_) and id_ not in {".", ".."}:
        return id_
    raise OutcomeError(
        Fault.UNPROCESSABLE,
        Issue(
            message="expected an id of 1 to 255 letters, digits, '-', '.' or '_'",
            path=("id",),
            type_name=resource_type,
        ),
    )


def body_object(call: Call) -> dict[str, Any]:
    """Return the body if it is an object. Raises OutcomeError."""
    value = call.body.value()
    if not isinstance(value, dict):
        raise OutcomeError(Fault.INVALID, "The body must be one resource, a JSON object.")
    return value


async def take_resource(call: Call, box: Box) -> ValidResource:
    """Return the call's body as a valid resource of the call's type.

    Raises OutcomeError: INVALID for a body that is no object, UNPROCESSABLE with all findings.
    """
    return await accept(call, box, body_object(call))


async def accept(call: Call, box: Box, document: dict[str, Any]) -> ValidResource:
    """Convert and validate one document of the call's type and dialect."""
    resource_type = call.type
    metadata = box.metadata
    stated = document.get("resourceType")
    if stated is not None and stated != resource_type:
        raise OutcomeError(
            Fault.UNPROCESSABLE,
            Issue(
                message=f"expected resourceType {resource_type}",
                path=("resourceType",),
                type_name=resource_type,
            ),
        )
    document = strip_empty(document)
    convert = to_aidbox if call.dialect is Dialect.FHIR else accept_aidbox
    converted = convert(metadata, resource_type, document, rewrite=call.rewrite)
    resource = converted.resource
    resource["resourceType"] = resource_type
    id_ = resource.get("id")
    if id_ is not None:
        check_id(id_, resource_type)
    issues = converted.issues + validate(metadata, resource_type, resource, call.dialect)
    if issues:
        raise OutcomeError(Fault.UNPROCESSABLE, issues)
    await _hash_passwords(metadata, resource_type, resource)
    return ValidResource(
        type=resource_type, id=id_, resource=resource, references=converted.references
    )


async def check_references(
    call: Call, box: Box, resource_type: str, references: list[FoundReference]
) -> None:
    """Return if every reference to this box has a target, or will be checked at commit.

    Raises OutcomeError UNPROCESSABLE naming each dangling reference.
    """
    if not references or skips_references(call, box):
        return
    if box.transaction is not None:
        index = box.transaction.entry
        box.transaction.references.extend((index, resource_type, found) for found in references)
        return
    issues = await dangling(box, references)
    if issues:
        raise OutcomeError(
            Fault.UNPROCESSABLE,
            [msgspec.structs.replace(issue, type_name=resource_type) for issue in issues],
        )


def skips_references(call: Call, box: Box) -> bool:
    """Tell whether the request may be written without reference checks."""
    if not box.settings.allows_reference_skip:
        return False
    header = call.header(SKIP_HEADER)
    return header is not None and "reference" in {part.strip() for part in header.split(",")}


async def dangling(box: Box, references: list[FoundReference]) -> list[Issue]:
    """Return an issue for each reference whose target does not exist."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for found in references:
        if found.resource_type in box.metadata.resource_types:
            wanted[found.resource_type].add(found.id)
    existing = await box.store.existing(wanted)
    return [
        Issue(
            message=f"Reference to {found.resource_type}/{found.id} which does not exist",
            path=found.path,
            code="invalid",
        )
        for found in references
        if (found.resource_type, found.id) not in existing
    ]


async def _hash_passwords(
    metadata: Metadata, resource_type: str, resource: dict[str, Any]
) -> None:
    """Replace plain values of elements of type `password` by their hash, in place."""
    definition = metadata.find_type(resource_type)
    if definition is None:
        return
    for name, element in definition.elements.items():
        if element.type != "password" or name not in resource:
            continue
        secret = resource[name]
        try:
            hashed = is_hashed(secret)
        except MalformedHashError:
            raise OutcomeError(
                Fault.UNPROCESSABLE,
                Issue(message="malformed secret hash", path=(name,), type_name=resource_type),
            ) from None
        if not hashed:
            resource[name] = await asyncio.to_thread(hash_secret, secret)
