"""FHIR batch and transaction: POST [base]

Spec: https://hl7.org/fhir/R4/http.html#transaction
Source: core specification, "Batch and transaction".
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import asyncpg
import msgspec

from boxruntime.api.box import Box, Transaction
from boxruntime.api.bundle import Entry, read_entry, read_envelope, render_entry, render_failure
from boxruntime.api.call import Call, Interaction, Result
from boxruntime.api.conditional import create_condition, find_one, search_condition
from boxruntime.api.dispatch import run
from boxruntime.api.intake import (
    ValidResource,
    check_references,
    dangling,
    new_id,
    take_resource,
)
from boxruntime.api.interactions.create import store_new
from boxruntime.fhir.expression import render_expression
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.storage.database import Runner
from boxruntime.storage.errors import RETRYABLE, LostRaceError, outcome_of
from boxruntime.storage.schema import WATCHED
from boxruntime.storage.store import Store

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
        try:
            entry = read_entry(call, box, index, raw, None)
            entry.result = await run(entry.call, box)
            rendered.append(render_entry(box, entry))
        except OutcomeError as error:
            rendered.append(render_failure(box, call.dialect, error))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            known = outcome_of(error)
            if known is None:
                raise
            rendered.append(render_failure(box, call.dialect, known))
    answer = {"resourceType": "Bundle", "type": "batch-response", "entry": rendered}
    return Result(status=200, value=answer)


async def _transaction(call: Call, box: Box, raw_entries: list[Any]) -> Result:
    async def work(runner: Runner) -> tuple[Store, set[str], list[dict[str, Any]]]:
        store = await Store.in_transaction(runner, without_history=box.store.without_history)
        transaction = Transaction()
        inner = msgspec.structs.replace(box, store=store, transaction=transaction)
        rewrite: dict[str, str] = {}
        entries = [_read(call, inner, index, raw, rewrite) for index, raw in enumerate(raw_entries)]
        await _resolve(call, inner, entries, rewrite)
        await _run_all(inner, _in_order(call, entries))
        await check_dangling(inner, transaction)
        return store, transaction.touched, [render_entry(inner, entry) for entry in entries]

    store, touched, rendered = await box.database.in_transaction(work)
    for resource_type in touched:
        await box.changed(resource_type)
    answer = {
        "resourceType": "Bundle",
        "id": str(store.stamp.txid if store.stamp else ""),
        "type": "transaction-response",
        "entry": rendered,
    }
    return Result(status=200, value=answer)


def _read(call: Call, box: Box, index: int, raw: Any, rewrite: dict[str, str]) -> Entry:
    try:
        return read_entry(call, box, index, raw, rewrite)
    except OutcomeError as error:
        raise placed(box, error, index, call.dialect) from None


async def _resolve(
    call: Call, box: Box, entries: list[Entry], rewrite: dict[str, str]
) -> None:
    """Say for each fullUrl which resource it will be, before anything is written.

    Unconditional creates get their id here, so that forward references work. At /fhir conditions
    are searched now; at root they are when their turn comes, so that an entry sees what earlier
    ones wrote, and only later entries can refer to it.
    """
    taken = await _taken_ids(call, box, entries)
    for entry in entries:
        inner = entry.call
        target: str | None = None
        if inner.route.interaction is Interaction.CREATE:
            condition = create_condition(inner)
            if condition is None:
                entry.id = _create_id(entry, taken)
                target = entry.id
            elif call.dialect is Dialect.FHIR:
                box.transaction.entry = entry.index  # type: ignore[union-attr]
                try:
                    target = await find_one(inner, box, condition)
                except OutcomeError as error:
                    raise placed(box, error, entry.index, call.dialect) from None
                if target is None:
                    entry.id = _create_id(entry, taken)
                    target = entry.id
        elif inner.route.interaction is Interaction.UPDATE and "id" in inner.parameters:
            target = inner.id
        elif inner.route.interaction is Interaction.UPDATE and call.dialect is Dialect.FHIR:
            condition = search_condition(inner)
            if condition is not None:
                try:
                    target = await find_one(inner, box, condition)
                except OutcomeError as error:
                    raise placed(box, error, entry.index, call.dialect) from None
        _remember(entry, target, rewrite)


async def _taken_ids(call: Call, box: Box, entries: list[Entry]) -> set[tuple[str, str]]:
    """Return the ids, as (type, id), that creates name but cannot have.

    An entry whose fullUrl is a URN says that its resource has no identity on a server yet; at
    /fhir its id is a wish then, kept where it is free (FHIR R4 would ignore it altogether).
    """
    if call.dialect is Dialect.AIDBOX:
        return set()
    wishes: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if _is_wish(entry):
            wishes[entry.call.type].add(_stated_id(entry.call) or "")
    return await box.store.existing(wishes)


def _is_wish(entry: Entry) -> bool:
    return (
        entry.call.route.interaction is Interaction.CREATE
        and entry.call.dialect is Dialect.FHIR
        and entry.full_url is not None
        and entry.full_url.startswith("urn:")
        and _stated_id(entry.call) is not None
    )


def _create_id(entry: Entry, taken: set[tuple[str, str]]) -> str:
    """Return the id that a create will have; a wish that is granted is taken from then on."""
    stated = _stated_id(entry.call)
    if stated is None:
        return new_id()
    if not _is_wish(entry):
        return stated
    wish = (entry.call.type, stated)
    if wish in taken:
        return new_id()
    taken.add(wish)
    return stated


def _stated_id(call: Call) -> str | None:
    value = call.body.value()
    stated = value.get("id") if isinstance(value, dict) else None
    return stated if isinstance(stated, str) and stated else None


def _remember(entry: Entry, id_: str | None, rewrite: dict[str, str]) -> None:
    if entry.full_url and id_ is not None:
        rewrite[entry.full_url] = f"{entry.call.type}/{id_}"


def _in_order(call: Call, entries: list[Entry]) -> list[Entry]:
    """Return the entries as they run: at /fhir by verb (FHIR R4), at root as they stand."""
    if call.dialect is Dialect.AIDBOX:
        return entries
    return sorted(entries, key=lambda entry: _VERB_ORDER[entry.call.method])


async def _run_all(box: Box, entries: list[Entry]) -> None:
    """Run the entries; neighbouring plain creates go to the database together.

    100 creates one by one cost 100 round trips (8,000 resources/s); one INSERT a type does
    30,000/s.
    """
    waiting: list[tuple[Entry, ValidResource]] = []
    for entry in entries:
        try:
            if entry.id is not None and _is_plain_create(entry):
                box.transaction.entry = entry.index  # type: ignore[union-attr]
                valid = await take_resource(entry.call, box)
                await check_references(entry.call, box, valid.type, valid.references)
                waiting.append((entry, valid))
                continue
            await _flush(box, waiting)
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
    await _flush(box, waiting)


def _is_plain_create(entry: Entry) -> bool:
    return create_condition(entry.call) is None and entry.call.type not in WATCHED


async def _run_one(box: Box, entry: Entry) -> None:
    box.transaction.entry = entry.index  # type: ignore[union-attr]
    call = entry.call
    if call.route.interaction is Interaction.CREATE and entry.id is not None:
        # The condition was searched already, or there is none.
        valid = await take_resource(call, box)
        entry.result = await store_new(call, box, valid, id_=entry.id)
        return
    entry.result = await call.route.handler(call, box)
    stored = entry.result.stored
    if stored is not None and isinstance(call.rewrite, dict):
        _remember(entry, stored.id, call.rewrite)


async def _flush(box: Box, waiting: list[tuple[Entry, ValidResource]]) -> None:
    by_type: dict[str, list[tuple[Entry, ValidResource]]] = defaultdict(list)
    for entry, valid in waiting:
        by_type[valid.type].append((entry, valid))
    waiting.clear()
    for resource_type, group in by_type.items():
        rows = await box.store.create_many(
            resource_type, [(entry.id or "", valid.resource) for entry, valid in group]
        )
        seen: set[str] = set()
        for (entry, _), stored in zip(group, rows, strict=True):
            if stored is None and _is_wish(entry):
                # Free when we looked; somebody took it since. Another attempt will see that.
                raise LostRaceError
            if stored is None or stored.id in seen:
                error = OutcomeError(Fault.CONFLICT, "The resource exists already.")
                raise placed(box, error, entry.index, entry.call.dialect)
            seen.add(stored.id)
            entry.result = Result(status=201, stored=stored, is_write=True)


async def check_dangling(box: Box, transaction: Transaction) -> None:
    """Return if every reference that the transaction wrote has a target by now.

    Raises OutcomeError UNPROCESSABLE naming the first entry with a dangling one.
    """
    found = [reference for _, _, reference in transaction.references]
    if not await dangling(box, found):
        return
    for index, resource_type, reference in transaction.references:
        issues = await dangling(box, [reference])
        if issues:
            issue = msgspec.structs.replace(issues[0], type_name=resource_type)
            error = OutcomeError(Fault.UNPROCESSABLE, issue)
            raise placed(box, error, index, Dialect.FHIR)


def placed(box: Box, error: OutcomeError, index: int, dialect: Dialect) -> OutcomeError:
    """Return the failure of an entry with expressions that start at the Bundle."""
    issues = []
    for issue in error.issues:
        inner = issue.expression
        if inner is None and issue.type_name is not None:
            inner = render_expression(box.metadata, issue, dialect)
        rest = "" if inner is None else ".resource" + inner[len(issue.type_name or "") :]
        issues.append(
            Issue(
                message=issue.message,
                expression=f"Bundle.entry[{index}]{rest}",
                code=issue.code,
                severity=issue.severity,
                path=("entry", index, "resource", *issue.path),
            )
        )
    return OutcomeError(error.fault, issues)
