"""FHIR batch and transaction: POST [base].

Spec: https://hl7.org/fhir/R4/http.html#transaction
Source: core specification, "Batch and transaction".
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import asyncpg

from boxruntime.api.atomic import atomically, placed
from boxruntime.api.bundle import Entry, read_entry, read_envelope, render_entry, render_failure
from boxruntime.api.call import Call, Interaction, Result
from boxruntime.api.captured_create import is_captured, store_created
from boxruntime.api.conditional import (
    Condition,
    Match,
    create_condition,
    find_one,
    hold,
    lock_matches,
    search_condition,
)
from boxruntime.api.dispatch import run
from boxruntime.api.entry_references import refers_to, relative_targets
from boxruntime.api.intake import ValidResource, check_references, take_resource
from boxruntime.api.interactions.create import existing
from boxruntime.api.interactions.delete import delete_found
from boxruntime.api.interactions.patch import patch_found
from boxruntime.api.interactions.update import update_found
from boxruntime.api.profile_definitions import makes_profiles
from boxruntime.api.turns import Turns
from boxruntime.api.wished_ids import WishedIds, is_wish
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.storage.errors import RETRYABLE, LostRaceError, outcome_of
from boxruntime.storage.schema import WATCHED

if TYPE_CHECKING:
    from boxruntime.api.box import Box, Transaction

_REPLACING = frozenset({Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE})
_KEEPING = frozenset({Interaction.UPDATE, Interaction.PATCH})
_NEVER_CREATING = frozenset({Interaction.PATCH, Interaction.DELETE})
_VERB_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}


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
            entry = read_entry(call, now, index, raw, None)
            entry.result = await run(entry.call, now)
            rendered.append(render_entry(now, entry))
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
    return Result(status=200, value=answer, is_write=True)


async def _transaction(call: Call, box: Box, raw_entries: list[Any]) -> Result:
    async def work(inner: Box) -> dict[str, Any]:
        rewrite: dict[str, str] = {}
        turns = Turns()
        entries = []
        for index, raw in enumerate(raw_entries):
            entries.append(_read(call, inner, index, raw, rewrite))
            await turns.pass_on()
        await _resolve(call, inner, entries, rewrite)
        await _run_all(inner, _in_order(call, entries))
        rendered = []
        for entry in entries:
            rendered.append(render_entry(inner, entry))
            await turns.pass_on()
        stamp = inner.store.stamp
        return {
            "resourceType": "Bundle",
            "id": str(stamp.txid if stamp else ""),
            "type": "transaction-response",
            "entry": rendered,
        }

    answer = await atomically(box, call.dialect, work, one_version=True)
    return Result(status=200, value=answer, is_write=True)


def _read(call: Call, box: Box, index: int, raw: Any, rewrite: dict[str, str]) -> Entry:
    try:
        return read_entry(call, box, index, raw, rewrite)
    except OutcomeError as error:
        raise placed(box, error, index, call.dialect) from None


async def _resolve(call: Call, box: Box, entries: list[Entry], rewrite: dict[str, str]) -> None:
    """Say for each fullUrl which resource it will be, before anything is written.

    Unconditional creates get their id here, so that forward references work. At /fhir conditions
    are searched now; at root they are when their turn comes, so that an entry sees what earlier
    ones wrote, and only later entries can refer to it.
    """
    await _take_locks(box, entries)
    made: dict[str, str] = {}
    matches: list[Match | None] = []
    wishes = await WishedIds.of(box, entries)
    for entry in entries:
        try:
            matches.append(await _search(call, box, entry))
            target = _target(call, entry, made, wishes)
        except OutcomeError as error:
            raise placed(box, error, entry.index, call.dialect) from None
        if entry.full_url and target is not None:
            rewrite[entry.full_url] = f"{entry.call.type}/{target}"
    await lock_matches(box, [match for match in matches if match is not None])
    if call.dialect is Dialect.AIDBOX:
        _refuse_early_references(box, entries, rewrite)
    else:
        relative_targets(entries, rewrite)


async def _take_locks(box: Box, entries: list[Entry]) -> None:
    """Lock what the entries name, in an order that all transactions have."""
    rows: dict[str, list[str]] = defaultdict(list)
    conditions = []
    for entry in entries:
        call = entry.call
        condition = condition_of(call)
        if condition is not None:
            conditions.append((call.type, condition))
        elif call.route.interaction in _REPLACING and "id" in call.parameters:
            rows[call.type].append(call.id)
    await hold(box, *conditions)
    await box.store.lock(rows)


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
    if interaction in _KEEPING and "id" in inner.parameters:
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
        if interaction is Interaction.CREATE and key in made:
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
    if not unknown:
        return
    for entry in entries:
        later = {url for url, index in unknown.items() if index > entry.index}
        if later and refers_to(entry.call.body.value(), later):
            error = OutcomeError(
                Fault.UNPROCESSABLE, "A reference to a later conditional entry is not allowed."
            )
            raise placed(box, error, entry.index, Dialect.AIDBOX)


def _in_order(call: Call, entries: list[Entry]) -> list[Entry]:
    """Return the entries as they run: at /fhir by verb (FHIR R4), at root as they stand."""
    if call.dialect is Dialect.AIDBOX:
        return entries
    return sorted(entries, key=lambda entry: _VERB_ORDER[entry.call.method])


class _Waiting:
    """Neighbouring plain creates, which go to the database together.

    100 creates one by one cost 100 round trips (8,000 resources/s); one INSERT a type does
    30,000/s.
    """

    def __init__(self, box: Box) -> None:
        self._box = box
        self._creates: list[tuple[Entry, ValidResource]] = []

    def add(self, entry: Entry, valid: ValidResource) -> None:
        self._creates.append((entry, valid))

    async def flush(self) -> None:
        """Write what waits. Raises OutcomeError CONFLICT, placed at its entry."""
        by_type: dict[str, list[tuple[Entry, ValidResource]]] = defaultdict(list)
        for entry, valid in self._creates:
            by_type[valid.type].append((entry, valid))
        self._creates.clear()
        for resource_type, group in by_type.items():
            rows = await self._box.store.create_many(
                resource_type, [(entry.id or "", valid.resource) for entry, valid in group]
            )
            seen: set[str] = set()
            for (entry, _), stored in zip(group, rows, strict=True):
                if stored is None and is_wish(entry):
                    # Free when we looked; somebody took it since. Another attempt will see that.
                    raise LostRaceError
                if stored is None or stored.id in seen:
                    error = OutcomeError(Fault.CONFLICT, "The resource exists already.")
                    raise placed(self._box, error, entry.index, entry.call.dialect)
                seen.add(stored.id)
                entry.result = Result(status=201, stored=stored, is_write=True)


async def _run_all(box: Box, entries: list[Entry]) -> None:
    """Run the entries in this order; every failure names its entry."""
    waiting = _Waiting(box)
    transaction = _transaction_of(box)
    turns = Turns()
    for entry in entries:
        await turns.pass_on()
        transaction.entry = entry.index
        plain = _is_plain_create(box, entry)
        if not plain:
            await waiting.flush()
        try:
            if plain:
                valid = await take_resource(entry.call, box)
                if any(found.query is not None for found in valid.references):
                    await waiting.flush()  # the query may ask for what waits
                await check_references(entry.call, box, valid.type, valid.references)
                waiting.add(entry, valid)
            else:
                await _run_one(box, entry)
        except OutcomeError as error:
            raise placed(box, error, entry.index, entry.call.dialect) from None
        except RETRYABLE:
            raise
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            known = outcome_of(error)
            if known is None:
                raise
            raise placed(box, known, entry.index, entry.call.dialect) from error
    await waiting.flush()


def _transaction_of(box: Box) -> Transaction:
    if box.transaction is None:
        raise AssertionError("entries run in a transaction")
    return box.transaction


def _is_plain_create(box: Box, entry: Entry) -> bool:
    return (
        entry.call.route.interaction is Interaction.CREATE
        and entry.id is not None
        and not entry.searched
        and entry.call.type not in WATCHED
        and not makes_profiles(box, entry.call.type)
        and not is_captured(entry.call, box)
    )


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
    if stored is not None and entry.full_url and isinstance(call.rewrite, dict):
        call.rewrite[entry.full_url] = f"{stored.resource_type}/{stored.id}"
