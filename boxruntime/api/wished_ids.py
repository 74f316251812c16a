"""Ids that creates of a Bundle ask for.

A POSTed id is honoured, and one in use is a conflict. But an entry whose fullUrl is a URN says that
its resource has no identity on a server yet (FHIR R4 ignores its id altogether), and published data
sets repeat the same Practitioner in every bundle: at /fhir such an id is a wish, kept where it is
free. Source: core specification, "Create", "Batch and transaction"; docs/spec-notes.md.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from boxruntime.api.call import Call, Interaction
from boxruntime.api.intake import new_id
from boxruntime.fhir.outcome import Dialect

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.api.bundle import Entry


class WishedIds:
    """Which wishes cannot be granted: taken in the box, or by an earlier entry."""

    def __init__(self, taken: set[tuple[str, str]]) -> None:
        self._taken = taken

    @classmethod
    async def of(cls, box: Box, entries: list[Entry]) -> WishedIds:
        """Look up all wishes of a Bundle, one statement a type."""
        wishes: dict[str, set[str]] = defaultdict(set)
        for entry in entries:
            id_ = stated_id(entry.call) if is_wish(entry) else None
            if id_ is not None:
                wishes[entry.call.type].add(id_)
        return cls(await box.store.existing(wishes))

    def grant(self, entry: Entry) -> str:
        """Return the id that a create will have."""
        id_ = stated_id(entry.call)
        if id_ is None:
            return new_id()
        if not is_wish(entry):
            return id_
        wish = (entry.call.type, id_)
        if wish in self._taken:
            return new_id()
        self._taken.add(wish)
        return id_


def is_wish(entry: Entry) -> bool:
    """Tell whether the entry's resource has no identity of its own yet."""
    return (
        entry.call.dialect is Dialect.FHIR
        and entry.call.route.interaction is Interaction.CREATE
        and entry.full_url is not None
        and entry.full_url.startswith("urn:")
    )


def stated_id(call: Call) -> str | None:
    """Return the id that the body names."""
    value = call.body.value()
    stated = value.get("id") if isinstance(value, dict) else None
    return stated if isinstance(stated, str) and stated else None
