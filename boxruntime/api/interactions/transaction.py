"""FHIR batch and transaction: POST [base].

Spec: https://hl7.org/fhir/R4/http.html#transaction
Source: core specification, "Batch and transaction".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from boxruntime.api.atomic import atomically, placed
from boxruntime.api.bundle import Entry, read_entry, read_envelope, render_entry, render_failure
from boxruntime.api.call import Call, Interaction, Result
from boxruntime.api.captured_create import store_created
from boxruntime.api.conditional import (
    Condition,
    Match,
    create_condition,
    find_one,
    hold,
    lock_matches,
    search_condition,
)
from boxruntime.api.dispatch import may_see
from boxruntime.api.entities import prepared_for
from boxruntime.api.entry_definitions import definitions_in
from boxruntime.api.entry_identities import check_identities, is_named, later_reference
from boxruntime.api.entry_references import has_query, relative_targets
from boxruntime.api.intake import check_references, take_resource
from boxruntime.api.interactions.create import existing
from boxruntime.api.interactions.delete import delete_found
from boxruntime.api.interactions.patch import patch_found
from boxruntime.api.interactions.update import take_replacement, update_found
from boxruntime.api.turns import Turns
from boxruntime.api.waiting_writes import WaitingWrites, Write, can_wait
from boxruntime.api.wished_ids import WishedIds, is_wish
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.storage.errors import RETRYABLE, LostRaceError, outcome_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from boxruntime.api.box import Box, Transaction

T = TypeVar("T")

_INSTANCE = frozenset({Interaction.READ, Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE})
_REPLACING = frozenset({Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE})
_NEVER_CREATING = frozenset({Interaction.PATCH, Interaction.DELETE})
_VERB_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 4, "HEAD": 4}
_ASKING = 3  # behind all whose resources it may ask for


async def bundle(call: Call, box: Box) -> Result:
    """Run the entries of a Bundle: each for itself (batch) or all or nothing (transaction)."""
    kind, entries = read_envelope(call)
    if kind == "batch":
        return await _batch(call, box, entries)
    return await _transaction(call, box, entries)


async def _batch(call: Call, box: Box, entries: list[Any]) -> Result:
    rendered = []
    for index, raw in enumerate(entries):
        # What an entry changes of metadata and policies holds for the next one.
        now = box.current()
        try:
            entry = await read_entry(call, now, index, raw, None)
            entry.result = await entry.call.route.handler(entry.call, now)
            rendered.append(render_entry(now, entry, call.dialect))
        except OutcomeError as error:
            rendered.append(render_failure(now, call.dialect, error))
        except RecursionError:
            known = OutcomeError(Fault.UNPROCESSABLE, "The resource is nested too deeply.")
            rendered.append(render_failure(now, call.dialect, known))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, LostRaceError, OSError) as error:
            failure = outcome_of(error)
            if failure is None:
                raise
            rendered.append(render_failure(now, call.dialect, failure))
    answer = {"resourceType": "Bundle", "type": "batch-response", "entry": rendered}
    return _answer(call, answer)


async def _transaction(call: Call, box: Box, raw_entries: list[Any]) -> Result:
    async def work(inner: Box) -> dict[str, Any]:
        rewrite: dict[str, str] = {}
        if may_see(call, box, "Entity"):
            inner = await prepared_for(inner, await definitions_in(call, inner, raw_entries))
        turns = Turns()
        entries = []
        for index, raw in enumerate(raw_entries):
            entries.append(await _read(call, inner, index, raw, rewrite))
            await turns.pass_on()
        ordered = _in_order(call, entries)
        await _resolve(call, inner, ordered, rewrite)
        await _run_all(inner, ordered)
        rendered = []
        for entry in entries:
            rendered.append(render_entry(inner, entry, call.dialect))
            await turns.pass_on()
        stamp = inner.store.stamp
        return {
            "resourceType": "Bundle",
            "id": str(stamp.txid if stamp else ""),
            "type": "transaction-response",
            "entry": rendered,
        }

    return _answer(call, await atomically(box, call.dialect, work, one_version=True))


def _answer(call: Call, answer: dict[str, Any]) -> Result:
    """Return the response Bundle, which `Prefer` does not replace: that is for its entries."""
    if call.parameter("_no-content") == "true":
        return Result(status=204)
    return Result(status=200, value=answer)


async def _read(call: Call, box: Box, index: int, raw: Any, rewrite: dict[str, str]) -> Entry:
    try:
        return await read_entry(call, box, index, raw, rewrite)
    except OutcomeError as error:
        raise placed(box, error, index, call.dialect) from None


async def _resolve(call: Call, box: Box, entries: list[Entry], rewrite: dict[str, str]) -> None:
    """Say for each fullUrl which resource it will be, before anything is written.

    Unconditional creates get their id here, so that forward references work. At /fhir conditions
    are searched now; at root they are when their turn comes, so that an entry sees what earlier
    ones wrote, and only later entries can refer to it.
    """
    conditions = [
        (entry.call.type, condition)
        for entry in entries
        if (condition := condition_of(entry.call)) is not None
    ]
    await hold(box, *conditions)
    made: dict[str, str] = {}
    matches: list[Match] = []
    wishes = await WishedIds.of(box, entries)
    for entry in entries:
        try:
            match = await _search(call, box, entry)
            id_ = _target(call, entry, made, wishes)
        except OutcomeError as error:
            raise placed(box, error, entry.index, call.dialect) from None
        if match is not None:
            matches.append(match)
        entry.target = None if id_ is None else f"{entry.call.type}/{id_}"
    check_identities(box, entries, call.dialect)
    await lock_matches(box, matches, also=_replaced(entries))
    for entry in entries:
        if entry.target is not None and is_named(entry):
            rewrite[entry.full_url or ""] = entry.target
    if call.dialect is Dialect.AIDBOX:
        _refuse_early_references(box, entries, rewrite)
    else:
        relative_targets(entries, rewrite)


def _replaced(entries: list[Entry]) -> list[tuple[str, str]]:
    """Return type and id of what the entries will replace, as far as that is known."""
    return [
        (entry.call.type, entry.target.partition("/")[2])
        for entry in entries
        if entry.target is not None and entry.call.route.interaction in _REPLACING
    ]


async def _search(call: Call, box: Box, entry: Entry) -> Match | None:
    """Search for what a conditional entry is about; return a match that it will change."""
    condition = condition_of(entry.call)
    if condition is None or call.dialect is Dialect.AIDBOX:
        return None
    match = await find_one(entry.call, box, condition)
    entry.searched = True
    entry.found = None if match is None else match.id
    return match if entry.call.route.interaction in _REPLACING else None


def _target(call: Call, entry: Entry, made: dict[str, str], wishes: WishedIds) -> str | None:
    """Return the id of the resource that an entry will be about, None if only its turn tells.

    `made` remembers the creates by their criteria, so that two alike create one resource.
    """
    inner = entry.call
    interaction = inner.route.interaction
    if interaction in _INSTANCE and "id" in inner.parameters:
        return inner.id
    condition = condition_of(inner)
    if condition is None:
        if interaction is Interaction.CREATE:
            entry.id = wishes.grant(entry)
        return entry.id
    if call.dialect is Dialect.AIDBOX:
        return None
    if entry.found is None and interaction not in _NEVER_CREATING:
        key = repr((inner.type, sorted(condition)))
        if key in made:
            entry.found = made[key]
        else:
            entry.id = wishes.grant(entry)
            made[key] = entry.id
    return entry.found or entry.id


def condition_of(call: Call) -> Condition | None:
    """Return the criteria of a conditional create, update, patch or delete."""
    if call.route.interaction is Interaction.CREATE:
        return create_condition(call)
    if call.route.interaction in _REPLACING and "id" not in call.parameters:
        return search_condition(call)
    return None


def _refuse_early_references(box: Box, entries: list[Entry], rewrite: dict[str, str]) -> None:
    """Refuse a reference to a later entry whose target only its own turn will tell."""
    unknown = {
        entry.full_url: entry.index
        for entry in entries
        if entry.full_url and entry.full_url not in rewrite and condition_of(entry.call) is not None
    }
    for entry in entries if unknown else ():
        if later_reference(entry.call.body.value(), unknown, entry.index) is not None:
            error = OutcomeError(
                Fault.UNPROCESSABLE, "A reference to a later conditional entry is not allowed."
            )
            raise placed(box, error, entry.index, Dialect.AIDBOX)


def _in_order(call: Call, entries: list[Entry]) -> list[Entry]:
    """Return the entries as they run: at /fhir by verb (FHIR R4), at root as they stand.

    References by query are resolved when all else is written, so that they find it; only reading
    comes later.
    """
    if call.dialect is Dialect.AIDBOX:
        return entries
    may_ask = not call.body.raw or b"?" in call.body.raw

    def step(entry: Entry) -> int:
        step = _VERB_ORDER[entry.call.method]
        if may_ask and step in {1, 2} and has_query(entry.call.body.value()):
            return _ASKING
        return step

    return sorted(entries, key=step)


async def _run_all(box: Box, entries: list[Entry]) -> None:
    """Run the entries in this order; every failure names its entry."""
    waiting = WaitingWrites(box)
    writes: list[tuple[Entry, Write]] = []
    transaction = _transaction_of(box)
    turns = Turns()
    for entry in entries:
        await turns.pass_on()
        transaction.entry = entry.index
        if not _is_plain(box, entry):
            await waiting.flush()
            await _placing(box, entry, _run_one(box, entry))
            continue
        write = await _placing(box, entry, _take(box, entry))
        if any(found.query is not None for found in write.valid.references):
            await waiting.flush()  # the query may ask for what waits
        valid = write.valid
        checked = check_references(entry.call, box, valid.type, valid.references)
        await _placing(box, entry, checked)
        await waiting.add(write)
        writes.append((entry, write))
    await waiting.flush()
    for entry, write in writes:
        entry.result = write.result


async def _placing(box: Box, entry: Entry, work: Awaitable[T]) -> T:
    """Return the result of work for an entry; its failure names the entry."""
    try:
        return await work
    except OutcomeError as error:
        raise placed(box, error, entry.index, entry.call.dialect) from None
    except RETRYABLE:
        raise
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        known = outcome_of(error)
        if known is None:
            raise
        raise placed(box, known, entry.index, entry.call.dialect) from error


async def _take(box: Box, entry: Entry) -> Write:
    call = entry.call
    replaces = call.route.interaction is Interaction.UPDATE
    return Write(
        index=entry.index,
        dialect=call.dialect,
        valid=await (take_replacement if replaces else take_resource)(call, box),
        id=call.id if replaces else entry.id or "",
        replaces=replaces,
        may_retry=is_wish(entry),
    )


def _transaction_of(box: Box) -> Transaction:
    if box.transaction is None:
        raise AssertionError("entries run in a transaction")
    return box.transaction


def _is_plain(box: Box, entry: Entry) -> bool:
    is_update = entry.call.route.interaction is Interaction.UPDATE
    may_wait = can_wait(entry.call, box) and not entry.searched
    return may_wait and (is_update or entry.id is not None)


async def _run_one(box: Box, entry: Entry) -> None:
    call = entry.call
    interaction = call.route.interaction
    if interaction is Interaction.CREATE and entry.found is not None:
        entry.result = await existing(call, box, entry.found)
    elif interaction is Interaction.CREATE and entry.id is not None:
        # Its criteria found nothing, or there are none.
        valid = await take_resource(call, box)
        entry.result = await store_created(call, box, valid, id_=entry.id)
    elif entry.searched and interaction is Interaction.UPDATE:
        entry.result = await update_found(call, box, entry.found, new_id=entry.id)
    elif entry.searched and interaction is Interaction.PATCH:
        entry.result = await patch_found(call, box, entry.found)
    elif entry.searched and interaction is Interaction.DELETE:
        entry.result = await delete_found(call, box, entry.found)
    else:
        entry.result = await call.route.handler(call, box)
    stored = entry.result.stored
    if stored is not None and is_named(entry) and isinstance(call.rewrite, dict):
        call.rewrite[entry.full_url or ""] = f"{stored.resource_type}/{stored.id}"
