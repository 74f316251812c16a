"""Resources in and out of their tables. The only door to rows for the interactions.

Source: core specification, "Storage model", "CRUD", "History".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.json_text import encode_json
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.storage.rows import Stored, document_of, stored_from, written
from boxruntime.storage.statements import Statements, statements_for
from boxruntime.storage.versions import Page, Slice, read_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import asyncpg

    from boxruntime.storage.database import Runner
    from boxruntime.storage.shared_statements import SharedStatements

_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")  # what fits into a bigint
VERSION_MISMATCH = "Version Id mismatch"
MAX_ATTEMPTS = 50  # an upsert meets another's insert or delete a few times in a row


class Stamp(NamedTuple):
    """Version and time that all writes of one transaction share."""

    txid: int
    ts: datetime


class Store:
    """Rows of one box through one runner: the free list, or a transaction's connection."""

    def __init__(
        self,
        runner: Runner,
        *,
        without_history: frozenset[str] = frozenset(),
        shared: SharedStatements | None = None,
    ) -> None:
        """`shared`: lets requests share statements; only for a runner that is no transaction."""
        self.runner = runner
        self.without_history = without_history
        self._shared = shared
        self._stamp: Stamp | None = None

    @classmethod
    async def in_transaction(cls, runner: Runner, *, without_history: frozenset[str]) -> Store:
        """Return a store whose writes share one version and one time."""
        store = cls(runner, without_history=without_history)
        (record,) = await runner.run(
            "SELECT nextval('transaction_id_seq') AS txid, clock_timestamp() AS ts"
        )
        store._stamp = Stamp(record["txid"], record["ts"])
        return store

    def without(self, without_history: frozenset[str]) -> Store:
        """Return this store, in the same transaction, for other types without history."""
        store = Store(self.runner, without_history=without_history, shared=self._shared)
        store._stamp = self._stamp
        return store

    @property
    def stamp(self) -> Stamp | None:
        """The shared version and time of a transaction, None outside of one."""
        return self._stamp

    # Reading

    async def find(self, resource_type: str, id_: str) -> Stored | None:
        """Return the current version, None if there is none."""
        if self._shared is not None:
            record = await self._shared.read(resource_type, id_)
            return None if record is None else stored_from(record)
        records = await self.runner.run(self._sql(resource_type).read, id_)
        return stored_from(records[0]) if records else None

    async def current(self, resource_type: str, id_: str) -> Stored:
        """Return the current version.

        Raises OutcomeError: NOT_FOUND if the id was never used, GONE if it was deleted.
        """
        found = await self.find(resource_type, id_)
        if found is not None:
            return found
        raise await self._absent(resource_type, id_)

    async def version(self, resource_type: str, id_: str, version_id: str) -> Stored:
        """Return one version. Raises OutcomeError NOT_FOUND, or GONE for a deletion."""
        number = _version_number(version_id)
        if number is not None:
            records = await self.runner.run(self._sql(resource_type).version, id_, number)
            if records:
                stored = stored_from(records[0])
                if stored.status == "deleted":
                    raise OutcomeError(Fault.GONE, "The resource was deleted at this version.")
                return stored
        raise OutcomeError(Fault.NOT_FOUND, "The resource has no such version.")

    async def was_used(self, resource_type: str, id_: str) -> bool:
        """Tell whether the id has history, deleted or not."""
        return bool(await self.runner.run(self._sql(resource_type).ever, id_))

    async def existing(self, wanted: Mapping[str, Iterable[str]]) -> set[tuple[str, str]]:
        """Return which of the given ids by type exist, as (type, id)."""
        if self._shared is not None:
            return await self._shared.existing(
                (resource_type, id_) for resource_type, ids in wanted.items() for id_ in set(ids)
            )
        found: set[tuple[str, str]] = set()
        for resource_type, ids in wanted.items():
            records = await self.runner.run(self._sql(resource_type).existing, list(set(ids)))
            found.update((resource_type, record["id"]) for record in records)
        return found

    async def history(self, resource_type: str, slice_: Slice, *, id_: str | None = None) -> Page:
        """Return versions, newest first. Raises OutcomeError NOT_FOUND for an unknown id."""
        page = await self._versions([resource_type], slice_, id_)
        if not page.total and id_ is not None and not await self._is_known(resource_type, id_):
            raise OutcomeError(Fault.NOT_FOUND, "The resource does not exist.")
        return page

    async def system_history(self, resource_types: Sequence[str], slice_: Slice) -> Page:
        """Return versions of all given types, newest first."""
        return await self._versions(resource_types, slice_, None)

    async def _versions(
        self, resource_types: Sequence[str], slice_: Slice, id_: str | None
    ) -> Page:
        sources = [self._sql(name).versions for name in resource_types]
        return await read_page(self.runner, sources, slice_, id_)

    # Writing

    async def create(
        self, resource_type: str, id_: str, resource: dict[str, Any], *, fresh: bool
    ) -> Stored:
        """Insert a resource. `fresh`: the id was made here and cannot have a past.

        Raises OutcomeError CONFLICT if the id is in use.
        """
        document = document_of(resource)
        text = encode_json(document).decode()
        if fresh and self._shared is not None:
            record = await self._shared.create(resource_type, id_, text)
        else:
            statements = self._sql(resource_type)
            records = await self.runner.run(
                statements.create_fresh if fresh else statements.create,
                id_,
                self._stamp and self._stamp.txid,
                self._stamp and self._stamp.ts,
                text,
            )
            record = records[0] if records else None
        if record is None:
            raise OutcomeError(Fault.CONFLICT, "The resource exists already.")
        return written(resource_type, id_, record, document, text)

    async def create_many(
        self, resource_type: str, resources: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[Stored | None]:
        """Insert resources of one type in one statement, in a transaction; None = id in use."""
        return await self._write_many(resource_type, resources, replaces=False)

    async def replace_many(
        self, resource_type: str, resources: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[Stored | None]:
        """Replace resources of one type, or create those that do not exist, in a transaction.

        Every id stands once. None = somebody created it between the two statements.
        """
        return await self._write_many(resource_type, resources, replaces=True)

    async def _write_many(
        self, resource_type: str, resources: Sequence[tuple[str, dict[str, Any]]], *, replaces: bool
    ) -> list[Stored | None]:
        if self._stamp is None:
            raise AssertionError("writing many belongs in a transaction")
        statements = self._sql(resource_type)
        documents = [document_of(resource) for _, resource in resources]
        texts = {
            id_: encode_json(document).decode()
            for (id_, _), document in zip(resources, documents, strict=True)
        }
        made: dict[str, asyncpg.Record] = {}
        for statement in (
            (statements.update_many, statements.create_many)
            if replaces
            else (statements.create_many,)
        ):
            left = {id_: text for id_, text in texts.items() if id_ not in made}
            if left:
                records = await self.runner.run(
                    statement, list(left), self._stamp.txid, self._stamp.ts, list(left.values())
                )
                made.update((record["id"], record) for record in records)
        return [
            written(resource_type, id_, made[id_], document, texts[id_]) if id_ in made else None
            for (id_, _), document in zip(resources, documents, strict=True)
        ]

    async def update(
        self,
        resource_type: str,
        id_: str,
        resource: dict[str, Any],
        *,
        if_match: frozenset[int] | None = None,
        dialect: Dialect,
        creates: bool = True,
    ) -> Stored:
        """Replace a resource, or create it where it does not exist (`creates`).

        `if_match`: only if the current version is one of these. Raises OutcomeError: version
        mismatch (CONFLICT at root, PRECONDITION_FAILED at /fhir); NOT_FOUND or GONE when it is
        absent and `creates` is false.
        """
        document = document_of(resource)
        text = encode_json(document).decode()
        for _ in range(MAX_ATTEMPTS):
            records = await self.runner.run(
                self._sql(resource_type).update,
                id_,
                self._stamp and self._stamp.txid,
                self._stamp and self._stamp.ts,
                None if if_match is None else list(if_match),
                text,
            )
            if records:
                record = records[0]
                if record["txid"] is None:
                    raise version_mismatch(dialect)
                return written(resource_type, id_, record, document, text)
            if if_match is not None:
                raise version_mismatch(dialect)
            if not creates:
                raise await self._absent(resource_type, id_)
            try:
                return await self.create(resource_type, id_, resource, fresh=False)
            except OutcomeError as error:
                # Somebody inserted the row in between: the next statement sees it.
                if error.fault is not Fault.CONFLICT:
                    raise
        raise OutcomeError(Fault.CONFLICT, "Another request keeps changing the resource.")

    async def lock(self, wanted: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], int]:
        """Lock rows by type and id for the rest of the transaction, always in the same order.

        Return the version of each that exists, by type and id.

        Two transactions that write the same rows in different orders then wait for each other
        instead of ending in a deadlock, which takes PostgreSQL a second to find.
        """
        locked: dict[tuple[str, str], int] = {}
        for resource_type in sorted(wanted):
            ids = sorted(set(wanted[resource_type]))
            for record in await self.runner.run(self._sql(resource_type).lock, ids):
                locked[resource_type, record["id"]] = record["txid"]
        return locked

    async def delete(
        self,
        resource_type: str,
        id_: str,
        *,
        if_match: frozenset[int] | None = None,
        dialect: Dialect,
    ) -> Stored | None:
        """Delete a resource and return its deletion; None if there was nothing to delete.

        Raises OutcomeError on a version mismatch, as `update` does.
        """
        records = await self.runner.run(
            self._sql(resource_type).delete,
            id_,
            self._stamp and self._stamp.txid,
            self._stamp and self._stamp.ts,
            None if if_match is None else list(if_match),
        )
        if not records:
            if if_match is not None:
                raise version_mismatch(dialect)
            return None
        record = records[0]
        if record["txid"] is None:
            raise version_mismatch(dialect)
        return stored_from(record)

    async def forget_history(self, resource_type: str, id_: str) -> None:
        """Remove all versions but the current one. Raises OutcomeError NOT_FOUND."""
        gone = await self.runner.run(self._sql(resource_type).forget, id_, None)
        if not gone and not await self._is_known(resource_type, id_):
            raise OutcomeError(Fault.NOT_FOUND, "The resource does not exist.")

    async def forget_version(self, resource_type: str, id_: str, version_id: str) -> None:
        """Remove one old version. Raises OutcomeError: NOT_FOUND, or CONFLICT for the current one."""
        number = _version_number(version_id)
        statements = self._sql(resource_type)
        if number is None or not await self.runner.run(statements.version, id_, number):
            raise OutcomeError(Fault.NOT_FOUND, "The resource has no such version.")
        if not await self.runner.run(statements.forget, id_, number):
            raise OutcomeError(Fault.CONFLICT, "The current version cannot be removed.")

    # Helpers

    def _sql(self, resource_type: str) -> Statements:
        return statements_for(
            resource_type, keeps_history=resource_type not in self.without_history
        )

    async def _is_known(self, resource_type: str, id_: str) -> bool:
        return await self.find(resource_type, id_) is not None or await self.was_used(
            resource_type, id_
        )

    async def _absent(self, resource_type: str, id_: str) -> OutcomeError:
        if await self.was_used(resource_type, id_):
            return OutcomeError(Fault.GONE, "The resource was deleted.")
        return OutcomeError(Fault.NOT_FOUND, "The resource does not exist.")


def _version_number(version_id: str) -> int | None:
    """Return a version id as the number it stands for, None if it stands for none ("007")."""
    return int(version_id) if _VERSION.fullmatch(version_id) else None


def version_mismatch(dialect: Dialect) -> OutcomeError:
    """Return the failure of a versioned write: 409 at root, 412 at /fhir."""
    fault = Fault.CONFLICT if dialect is Dialect.AIDBOX else Fault.PRECONDITION_FAILED
    return OutcomeError(fault, Issue(message=VERSION_MISMATCH))


__all__ = ["Stamp", "Store", "version_mismatch"]
