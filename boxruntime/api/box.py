"""The box as its interactions see it: settings, metadata, rows and rules of this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.storage.schema import WATCHED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
    from datetime import datetime

    from boxruntime.access.policies import PolicySet
    from boxruntime.api.call import Call
    from boxruntime.api.own_operations import OwnOperations
    from boxruntime.api.routing import RouteTable
    from boxruntime.fhir.formats import FoundReference
    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.outcome import Path
    from boxruntime.fhir.profiles.registry import ProfileSet
    from boxruntime.settings import BoxSettings
    from boxruntime.storage.database import Database
    from boxruntime.storage.store import Store


class Shorthand(msgspec.Struct, frozen=True):
    """Where in a manifest the resource stands that is written in its stead.

    `path` starts at `type`; `is_literal`: the manifest holds the resource itself.
    """

    type: str
    path: Path
    is_literal: bool


class WrittenReference(msgspec.Struct, frozen=True):
    """A reference whose target must exist when the transaction commits."""

    entry: int | None
    type: str
    """The resource type that `found.path` starts at."""
    found: FoundReference
    shorthand: Shorthand | None = None


class WrittenDefinition(msgspec.Struct, frozen=True):
    """An Entity or Attribute that must be usable when the transaction commits."""

    entry: int | None
    type: str
    id: str
    resource: dict[str, Any]
    is_deletion: bool = False
    shorthand: Shorthand | None = None


class Transaction(msgspec.Struct):
    """What a transaction gathers while its entries run.

    `touched` are the types whose meta-resources changed, to be announced after it; `entry` is the
    index at work, None outside of a Bundle; `shorthand` the place at work in a manifest;
    `structures` the URLs of StructureDefinitions that profiles follow, True for one that is there
    afterwards, and `structured_by` the call that wrote the last of them.
    """

    references: list[WrittenReference] = []
    definitions: list[WrittenDefinition] = []
    touched: set[str] = set()
    entry: int | None = None
    shorthand: Shorthand | None = None
    structures: dict[str, bool] = {}
    structured_by: Call | None = None


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an interaction may use.

    `transaction` is None outside of a transaction. `changed` makes all
    processes of the box see that meta-resources of some types changed, before it returns; `current`
    gives the box as it is after that. `authorities` maps each Host under which the box is reached
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
    changed: Callable[[Collection[str]], Awaitable[None]]
    current: Callable[[], Box]
    routes_for: Callable[[frozenset[str]], RouteTable]
    authorities: Mapping[bytes, str]
    allowed_origins: frozenset[str]
    started_at: datetime
    follow_log: Callable[[], AsyncGenerator[bytes, None]]
    write_log: Callable[..., None]
    transaction: Transaction | None = None

    def with_metadata(self, metadata: Metadata) -> Box:
        """Return this box with other metadata, and what follows from it."""
        return msgspec.structs.replace(
            self,
            metadata=metadata,
            routes=self.routes_for(metadata.resource_types),
            store=self.store.without(histories_not_kept(metadata)),
        )

    async def note_write(self, resource_type: str) -> None:
        """Make a change of a meta-resource take effect: now, or when the transaction commits."""
        if resource_type not in WATCHED:
            return
        if self.transaction is not None:
            self.transaction.touched.add(resource_type)
        else:
            await self.changed((resource_type,))


def histories_not_kept(metadata: Metadata) -> frozenset[str]:
    """Return the types whose Entity has `history: none`."""
    return frozenset(name for name, type_def in metadata.types.items() if not type_def.history)
