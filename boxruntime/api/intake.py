"""Stages five and six for every write: a document as sent becomes a resource fit to be stored.

Source: core specification, "When and on what", "Create", "References".
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.access.secrets import MalformedHashError, hash_secret, is_hashed
from boxruntime.api.box import Box, WrittenReference
from boxruntime.api.encryption import encrypt_secrets
from boxruntime.api.entry_references import fill_queries
from boxruntime.api.interactions.binary import find_document
from boxruntime.api.policy_checks import check_statements, policy_issues
from boxruntime.fhir.formats import Converted, FoundReference, accept_aidbox, to_aidbox
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError, Path
from boxruntime.fhir.profiles.registry import profile_issues
from boxruntime.fhir.references import wrong_targets
from boxruntime.fhir.shapes import shape_of
from boxruntime.fhir.validation import validate_converted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.api.call import Call
    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.profiles.registry import Profile

_ID = re.compile(r"[A-Za-z0-9\-._]{1,255}")
_RESERVED = frozenset({".", "..", "_history", "_search"})  # no path could name them
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
    digits = os.urandom(16).hex()  # four times as fast as the uuid module
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def check_id(id_: object, resource_type: str) -> str:
    """Return the id if a resource may have it. Raises OutcomeError UNPROCESSABLE."""
    if isinstance(id_, str) and _ID.fullmatch(id_) and id_ not in _RESERVED:
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
    found = find_document(box.metadata, call)
    if found is not None:
        return await accept(call, box, found)
    return await accept(call, box, body_object(call), text=call.body.compact())


async def accept(
    call: Call, box: Box, document: dict[str, Any], *, text: bytes | None = None
) -> ValidResource:
    """Convert and validate one document of the call's type and dialect.

    `text`: the document as compact JSON, if the caller has it.
    """
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
    converted, issues = judge(call, box, resource_type, document, text=text)
    if issues:
        raise OutcomeError(Fault.UNPROCESSABLE, issues)
    resource = converted.resource
    id_ = resource.get("id")
    if resource_type == "AccessPolicy":
        await check_statements(box.database, resource)
    if call.body.may_hold_nul():
        _check_storable(resource_type, resource)
    await _hash_passwords(metadata, resource_type, resource)
    resource = encrypt_secrets(box, resource_type, resource)
    return ValidResource(
        type=resource_type, id=id_, resource=resource, references=converted.references
    )


def judge(
    call: Call,
    box: Box,
    resource_type: str,
    document: dict[str, Any],
    *,
    text: bytes | None = None,
    extra: Sequence[Profile] = (),
) -> tuple[Converted, list[Issue]]:
    """Convert a document of a type and the call's dialect; return it with all that is wrong.

    `text`: the document as compact JSON, if the caller has it; `extra`: profiles to hold it to,
    beside those of its type and those that it names. Raises OutcomeError for a document
    nested too deeply.
    """
    metadata = box.metadata
    convert = to_aidbox if call.dialect is Dialect.FHIR else accept_aidbox
    shape = shape_of(metadata, resource_type, document)
    converted = convert(metadata, shape, document, rewrite=call.rewrite, text=text)
    resource = converted.resource
    resource["resourceType"] = resource_type
    id_ = resource.get("id")
    if id_ is not None:
        check_id(id_, resource_type)
    issues = validate_converted(metadata, shape, converted, call.dialect, box.profiles, extra)
    if resource_type == "AidboxProfile" and not issues:
        issues = profile_issues(metadata, resource)
    if resource_type == "AccessPolicy" and not issues:
        issues = policy_issues(document, resource)
    if not skips_references(call, box):
        issues += wrong_targets(resource_type, converted.references)
    return converted, issues


async def check_references(
    call: Call, box: Box, resource_type: str, references: list[FoundReference]
) -> None:
    """Return if every reference to this box has a target, or will be checked at commit.

    `Type?query` references of a transaction are resolved first, in place. Raises OutcomeError
    UNPROCESSABLE naming each dangling reference.
    """
    if any(found.query is not None for found in references):
        await fill_queries(call, box, resource_type, references)
    if not references or skips_references(call, box):
        return
    if box.transaction is not None:
        entry, shorthand = box.transaction.entry, box.transaction.shorthand
        box.transaction.references.extend(
            WrittenReference(entry, resource_type, found, shorthand) for found in references
        )
        return
    missing = await dangling(box, references)
    if missing:
        raise OutcomeError(
            Fault.UNPROCESSABLE, [dangling_issue(found, resource_type) for found in missing]
        )


def skips_references(call: Call, box: Box) -> bool:
    """Tell whether the request may be written without reference checks."""
    if not box.settings.allows_reference_skip:
        return False
    header = call.header(SKIP_HEADER)
    return header is not None and "reference" in {part.strip() for part in header.split(",")}


async def dangling(box: Box, references: list[FoundReference]) -> list[FoundReference]:
    """Return those references whose target does not exist."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for found in references:
        if found.id is not None:
            wanted[found.resource_type].add(found.id)
    existing = await box.store.existing(wanted)
    return [found for found in references if (found.resource_type, found.id) not in existing]


def dangling_issue(found: FoundReference, resource_type: str) -> Issue:
    """Return the issue of a dangling reference inside a resource of a type."""
    return Issue(
        message=f"Reference to {found.resource_type}/{found.id} which does not exist",
        path=found.path,
        type_name=resource_type,
        code="invalid",
    )


def _check_storable(resource_type: str, resource: dict[str, Any]) -> None:
    """Refuse the one character that PostgreSQL cannot store in a text: NUL."""
    path = _nul_path(resource)
    if path is not None:
        raise OutcomeError(
            Fault.UNPROCESSABLE,
            Issue(message="a character that cannot be stored", path=path, type_name=resource_type),
        )


def _nul_path(value: Any) -> Path | None:
    if isinstance(value, str):
        return () if "\x00" in value else None
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        if isinstance(key, str) and "\x00" in key:
            return ()
        below = _nul_path(item)
        if below is not None:
            return (key, *below)
    return None


def secret_elements(metadata: Metadata, resource_type: str) -> tuple[str, ...]:
    """Return the elements of a type that hold passwords: hashed at rest, left out of history."""
    cache = metadata.artefacts("passwords")
    names: tuple[str, ...] | None = cache.get(resource_type)
    if names is None:
        definition = metadata.find_type(resource_type)
        elements = definition.elements if definition is not None else {}
        names = tuple(name for name, element in elements.items() if element.type == "password")
        cache[resource_type] = names
    return names


async def _hash_passwords(metadata: Metadata, resource_type: str, resource: dict[str, Any]) -> None:
    """Replace plain values of elements of type `password` by their hash, in place."""
    for name in secret_elements(metadata, resource_type):
        secret = resource.get(name)
        if secret is None:
            continue
        try:
            hashed = is_hashed(secret)
        except MalformedHashError:
            raise OutcomeError(
                Fault.UNPROCESSABLE,
                Issue(message="malformed secret hash", path=(name,), type_name=resource_type),
            ) from None
        if not hashed:
            resource[name] = await asyncio.to_thread(hash_secret, secret)
