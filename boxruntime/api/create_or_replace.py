"""Writing a valid resource: as a new one, or in the place of one. Shared by all writes.

Source: core specification, "Create", "Update", "Custom resources".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from boxruntime.api.atomic import atomically
from boxruntime.api.call import Call, Result
from boxruntime.api.entities import METADATA, define, hold_definitions
from boxruntime.api.intake import ValidResource, check_references, new_id
from boxruntime.api.manifests import APP, register
from boxruntime.api.preconditions import (
    accepted_versions,
    precondition_failed,
    requires_absent,
    requires_existing,
)
from boxruntime.api.profile_definitions import makes_profiles, note_definition
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.storage.errors import LostRaceError
from boxruntime.storage.unique import not_unique

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from boxruntime.api.box import Box
    from boxruntime.storage.rows import Stored


async def store_new(
    call: Call, box: Box, valid: ValidResource, *, id_: str | None = None
) -> Result:
    """Insert a valid resource under `id_`, or a new id: 201.

    Raises OutcomeError CONFLICT for an id in use.
    """

    async def work(inner: Box) -> Stored:
        await check_references(call, inner, valid.type, valid.references)
        return await inner.store.create(
            valid.type, id_ or new_id(), valid.resource, fresh=id_ is None
        )

    stored = await _write(call, box, valid, id_, work)
    return Result(status=201, stored=stored, is_write=True)


async def replace(call: Call, box: Box, valid: ValidResource, id_: str) -> Result:
    """Store `valid` as the next version of `id_`: 200, or 201 where it did not exist.

    Raises OutcomeError when If-Match or If-None-Match do not hold.
    """

    async def work(inner: Box) -> Stored:
        await check_references(call, inner, valid.type, valid.references)
        if requires_absent(call):
            return await _create_absent(inner, valid, id_)
        return await _update(call, inner, valid, id_)

    stored = await _write(call, box, valid, id_, work)
    return Result(status=200 if stored.status == "updated" else 201, stored=stored, is_write=True)


async def replace_version(call: Call, box: Box, valid: ValidResource, replaced: Stored) -> Result:
    """Store `valid` as the version after `replaced`, which it was made from: 200.

    Raises LostRaceError if another write came first.
    """

    async def work(inner: Box) -> Stored:
        await check_references(call, inner, valid.type, valid.references)
        try:
            return await inner.store.update(
                valid.type,
                replaced.id,
                valid.resource,
                if_match=frozenset({replaced.txid}),
                dialect=call.dialect,
            )
        except OutcomeError:  # with `if_match` it can only be the mismatch
            raise LostRaceError from None

    stored = await _write(call, box, valid, replaced.id, work)
    return Result(status=200, stored=stored, is_write=True)


async def _write(
    call: Call,
    box: Box,
    valid: ValidResource,
    id_: str | None,
    work: Callable[[Box], Awaitable[Stored]],
) -> Stored:
    try:
        if valid.type in METADATA:
            stored = await atomically(box, call.dialect, lambda inner: _define(inner, valid, work))
        elif valid.type == APP:
            stored = await atomically(
                box, call.dialect, lambda inner: register(call, inner, id_, work)
            )
        elif makes_profiles(box, valid.type):
            stored = await atomically(
                box, call.dialect, lambda inner: _definition(call, inner, valid, work)
            )
        else:
            stored = await work(box)
    except asyncpg.UniqueViolationError as error:
        raise not_unique(error) or error from None
    await box.note_write(valid.type)
    return stored


async def _define(
    box: Box, valid: ValidResource, work: Callable[[Box], Awaitable[Stored]]
) -> Stored:
    """Write an Entity or Attribute with what it brings about, in a transaction."""
    await hold_definitions(box)
    stored = await work(box)
    await define(box, valid.type, stored.id, valid.resource)
    return stored


async def _definition(
    call: Call, box: Box, valid: ValidResource, work: Callable[[Box], Awaitable[Stored]]
) -> Stored:
    note_definition(call, box, valid.resource)
    return await work(box)


async def _create_absent(box: Box, valid: ValidResource, id_: str) -> Stored:
    try:
        return await box.store.create(valid.type, id_, valid.resource, fresh=False)
    except OutcomeError as error:
        if error.fault is Fault.CONFLICT:
            raise precondition_failed("The resource exists already.") from None
        raise


async def _update(call: Call, box: Box, valid: ValidResource, id_: str) -> Stored:
    must_exist = requires_existing(call)
    try:
        return await box.store.update(
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
