"""The box as its interactions see it: settings, metadata, rows and rules of this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from boxruntime.storage.schema import WATCHED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from datetime import datetime

    from boxruntime.access.policies import PolicySet
    from boxruntime.api.call import Call
    from boxruntime.api.own_operations import OwnOperations
    from boxruntime.api.routing import RouteTable
    from boxruntime.fhir.formats import FoundReference
    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.profiles.registry import ProfileSet
    from boxruntime.settings import BoxSettings
    from boxruntime.storage.database import Database
    from boxruntime.storage.store import Store


class WrittenReference(msgspec.Struct, frozen=True):
    """A reference whose target must exist when the transaction commits."""

    entry: int | None
    type: str
    """The resource type that `found.path` starts at."""
    found: FoundReference


class Transaction(msgspec.Struct):
    """What a transaction gathers while its entries run.

    `touched` are the types whose meta-resources changed, to be announced after it; `owners` the
    types whose metadata changed; `entry` the index at work, None outside of a Bundle;
    `structures` the URLs of StructureDefinitions that profiles follow, True for one that is there
    afterwards, and `structured_by` the call that wrote the last of them.
    """

    references: list[WrittenReference] = []
    touched: set[str] = set()
    owners: set[str] = set()
    entry: int | None = None
    structures: dict[str, bool] = {}
    structured_by: Call | None = None


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an interaction may use.

    `transaction` is None outside of a transaction. `changed` makes this process see at once that
    meta-resources of a type changed; `current` gives the box as it is after that. `authorities` maps each Host under which the box is reached
    to the base URL that links then have; `allowed_origins` are those whose pages may read answers.
    """

    settings: BoxSettings
    metadata: Metadata
    profiles: ProfileSet
    database: Database
    store: Store
    policies: PolicySet
    routes: RouteTable
    own_operations: OwnOperations
    changed: Callable[[str], Awaitable[None]]
    current: Callable[[], Box]
    authorities: Mapping[bytes, str]
    allowed_origins: frozenset[str]
    started_at: datetime
    follow_log: Callable[[], AsyncGenerator[bytes, None]]
    transaction: Transaction | None = None

    async def note_write(self, resource_type: str) -> None:
        """Make a change of a meta-resource take effect: now, or when the transaction commits."""
        if resource_type not in WATCHED:
            return
        if self.transaction is not None:
            self.transaction.touched.add(resource_type)
        else:
            await self.changed(resource_type)
