"""All or nothing: work on a box inside one database transaction.

What may only be known at the end is looked at before the commit: profiles follow the definitions
that were written, every reference has a target, and changed metadata can be compiled. Source: core specification, "Batch and transaction", "Entity".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from boxruntime.api.box import Box, Shorthand, Transaction
from boxruntime.api.definition_checks import DefinitionError, check_definitions
from boxruntime.api.intake import dangling, dangling_issue
from boxruntime.api.profile_definitions import follow_definitions
from boxruntime.fhir.expression import render_expression
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from boxruntime.storage.database import Runner

T = TypeVar("T")


async def atomically(
    box: Box,
    dialect: Dialect,
    work: Callable[[Box], Awaitable[T]],
    *,
    one_version: bool = False,
) -> T:
    """Run `work` on a box whose store is one transaction; join the transaction if there is one.

    `one_version`: all writes share one version. `work` runs again after a deadlock, so it must
    not keep state between calls. Raises OutcomeError for what only the end shows.
    """
    if box.transaction is not None:
        return await work(box)

    async def attempt(runner: Runner) -> tuple[T, set[str]]:
        without_history = box.store.without_history
        store = (
            await Store.in_transaction(runner, without_history=without_history)
            if one_version
            else Store(runner, without_history=without_history)
        )
        transaction = Transaction()
        inner = msgspec.structs.replace(box, store=store, transaction=transaction)
        result = await work(inner)
        await follow_definitions(inner)
        await _check_dangling(inner, transaction, dialect)
        try:
            await check_definitions(inner, transaction.definitions)
        except DefinitionError as error:
            written = error.written
            issues = [in_manifest(one, written.shorthand) for one in error.issues]
            failure = OutcomeError(error.fault, issues)
            if written.entry is None:
                raise failure from None
            raise placed(box, failure, written.entry, dialect) from None
        return result, transaction.touched

    result, touched = await box.database.in_transaction(attempt)
    if touched:
        await box.changed(touched)
    return result


async def _check_dangling(box: Box, transaction: Transaction, dialect: Dialect) -> None:
    """Return if every reference that the transaction wrote has a target by now.

    Raises OutcomeError UNPROCESSABLE naming all dangling ones of the first entry that has any.
    """
    missing = {id(one) for one in await dangling(box, [r.found for r in transaction.references])}
    if not missing:
        return
    absent = [one for one in transaction.references if id(one.found) in missing]
    entry = absent[0].entry
    issues = [
        in_manifest(dangling_issue(one.found, one.type), one.shorthand)
        for one in absent
        if one.entry == entry
    ]
    error = OutcomeError(Fault.UNPROCESSABLE, issues)
    raise error if entry is None else placed(box, error, entry, dialect)


def in_manifest(issue: Issue, shorthand: Shorthand | None) -> Issue:
    """Return an issue of a written resource with its place in the manifest it was written for."""
    if shorthand is None:
        return issue
    path = issue.path
    if not shorthand.is_literal:
        # Owner and path of an Attribute are the place itself; a type is a plain name there.
        path = () if path[:1] in {("resource",), ("path",), ("id",)} else path
        path = path[:1] if path[:1] == ("type",) else path
        path = path[:2] if path[:1] == ("union",) else path
    return msgspec.structs.replace(
        issue, path=(*shorthand.path, *path), type_name=shorthand.type, expression=None
    )


def placed(box: Box, error: OutcomeError, index: int, dialect: Dialect) -> OutcomeError:
    """Return the failure of an entry with expressions that start at the Bundle."""
    issues = []
    for issue in error.issues:
        inner = issue.expression
        if inner is None and issue.type_name is not None:
            inner = render_expression(box.metadata, issue, dialect)
        # A place without a type was in a Bundle inside of this one.
        rest = (
            ""
            if inner is None or issue.type_name is None
            else (".resource" + inner[len(issue.type_name) :])
        )
        issues.append(
            msgspec.structs.replace(
                issue,
                type_name=None,
                expression=f"Bundle.entry[{index}]{rest}",
                path=("entry", index, "resource", *issue.path),
            )
        )
    return OutcomeError(error.fault, issues)
