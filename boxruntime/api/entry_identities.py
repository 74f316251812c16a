"""Which resources the entries of a transaction are about, and which of these cannot be together.

Source: core specification, "Batch and transaction"; FHIR R4, RESTful API, "Transaction Processing
Rules" ("If any resource identities overlap in steps 1-3, then the transaction SHALL fail") and
Bundle, invariant bdl-7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.api.atomic import placed
from boxruntime.api.call import Interaction
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.api.box import Box
    from boxruntime.api.bundle import Entry

_WRITES = frozenset({Interaction.CREATE, Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE})


def check_identities(box: Box, entries: Iterable[Entry], dialect: Dialect) -> None:
    """Return if every fullUrl and, at /fhir, every written resource belongs to one entry.

    Raises OutcomeError UNPROCESSABLE, placed at the second one: a link to either would be a guess,
    and so would be which of two contents shall stay. At root entries run one after the other, and
    a later one may write what an earlier one wrote.
    """
    named: dict[str, str] = {}
    written: dict[str, Entry] = {}
    for entry in entries:  # deletions come first
        target = entry.target
        if target is None:
            continue
        if is_named(entry) and named.setdefault(entry.full_url or "", target) != target:
            raise _refused(box, entry, "Another entry has the same fullUrl.")
        if dialect is Dialect.FHIR and entry.call.route.interaction in _WRITES:
            other = written.get(target)
            if other is not None and _cannot_be_both(other, entry):
                raise _refused(box, entry, "Another entry writes the same resource.")
            if not _only_finds(entry):
                written[target] = entry


def is_named(entry: Entry) -> bool:
    """Tell whether the fullUrl of an entry stands for a resource that will be there."""
    return bool(entry.full_url) and entry.call.route.interaction is not Interaction.DELETE


def later_reference(value: Any, urls: dict[str, int], after: int) -> str | None:
    """Return a URL of an entry behind `after` that an Aidbox-format document refers to.

    `urls`: the entry that each URL belongs to.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                if key in {"uri", "reference"} and urls.get(item, -1) > after:
                    return item
            elif (found := later_reference(item, urls, after)) is not None:
                return found
    elif isinstance(value, list):
        for item in value:
            found = later_reference(item, urls, after)
            if found is not None:
                return found
    return None


def _cannot_be_both(one: Entry, other: Entry) -> bool:
    """Tell whether two entries about one resource exclude each other; `one` writes it, and first."""
    if _only_finds(other):
        return one.call.route.interaction is Interaction.DELETE
    # Two creates under one id are a conflict, which the second one meets by itself.
    return not _creates(one) or not _creates(other)


def _creates(entry: Entry) -> bool:
    return entry.call.route.interaction is Interaction.CREATE


def _only_finds(entry: Entry) -> bool:
    """Tell whether an entry is a conditional create of what exists, or another entry makes."""
    return _creates(entry) and entry.found is not None


def _refused(box: Box, entry: Entry, message: str) -> OutcomeError:
    error = OutcomeError(Fault.UNPROCESSABLE, message)
    return placed(box, error, entry.index, entry.call.dialect)
