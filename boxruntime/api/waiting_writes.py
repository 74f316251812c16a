"""Neighbouring writes of a transaction, which go to the database together.

100 creates one by one cost 100 round trips (8,000 resources/s); one INSERT a type does 30,000/s. A
replaced resource costs two round trips alone: 10,000 of them took 12 s, together they take 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from boxruntime.api.atomic import placed
from boxruntime.api.call import Call, Interaction, Result
from boxruntime.api.captured_create import is_captured
from boxruntime.api.intake import ValidResource
from boxruntime.api.profile_definitions import makes_profiles
from boxruntime.fhir.definition_rules import unique_elements
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.storage.errors import LostRaceError
from boxruntime.storage.schema import WATCHED

if TYPE_CHECKING:
    from boxruntime.api.box import Box

_CONDITIONS = (b"if-match", b"if-none-match")


class Write(msgspec.Struct, kw_only=True):
    """One create, or one replacement under an id; `result` once it is written.

    `index`: the entry that it is for. `may_retry`: an id that is taken is no fault of the client.
    """

    index: int
    dialect: Dialect
    valid: ValidResource
    id: str
    replaces: bool
    may_retry: bool = False
    result: Result | None = None


class WaitingWrites:
    """Whoever reads, or writes otherwise, calls `flush` before."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._writes: dict[tuple[str, str], Write] = {}

    async def add(self, write: Write) -> None:
        """Let a write wait. Raises what `flush` does: two of one resource do not wait together."""
        key = (write.valid.type, write.id)
        if key in self._writes:
            await self.flush()
        self._writes[key] = write

    async def flush(self) -> None:
        """Write what waits. Raises OutcomeError CONFLICT, placed at its entry; LostRaceError."""
        groups: dict[tuple[str, bool], list[Write]] = {}
        for write in self._writes.values():
            groups.setdefault((write.valid.type, write.replaces), []).append(write)
        self._writes = {}
        for (resource_type, replaces), group in groups.items():
            store = self._box.store
            write_many = store.replace_many if replaces else store.create_many
            rows = await write_many(resource_type, [(one.id, one.valid.resource) for one in group])
            for write, stored in zip(group, rows, strict=True):
                if stored is None:
                    raise self._taken(write)
                status = 200 if stored.status == "updated" else 201
                write.result = Result(status=status, stored=stored, is_write=True)

    def _taken(self, write: Write) -> Exception:
        if write.replaces or write.may_retry:
            # Free when we looked; somebody took it since. Another attempt will see that.
            return LostRaceError()
        error = OutcomeError(Fault.CONFLICT, "The resource exists already.")
        return placed(self._box, error, write.index, write.dialect)


def can_wait(call: Call, box: Box) -> bool:
    """Tell whether a write has no conditions, and nothing that must be seen at once."""
    interaction = call.route.interaction
    if interaction is Interaction.UPDATE:
        if "id" not in call.parameters or any(name in call.headers for name in _CONDITIONS):
            return False
    elif interaction is not Interaction.CREATE:
        return False
    return (
        call.type not in WATCHED
        # Of many rows nobody could tell whose value is not unique.
        and not unique_elements(box.metadata, call.type)
        and not makes_profiles(box, call.type)
        and not is_captured(call, box)
    )
