"""StructureDefinitions of a box become the profiles and Attributes that it enforces.

Source: core specification, "AidboxProfile"; FHIR R4, Profiling; docs/profiles.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.dispatch import authorize_type
from boxruntime.fhir.formats import to_fhir
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.fhir.profiles.convert import Conversion, convert, is_profile
from boxruntime.fhir.profiles.library import ConversionError, Library
from boxruntime.storage.canonicals import load_by_url

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.api.call import Call
    from boxruntime.storage.rows import Stored

_MAX_ROUNDS = 16
"""How long a chain of definitions that name each other may be."""


async def find_definitions(box: Box, urls: list[str]) -> list[dict[str, Any]]:
    """Return the box's StructureDefinitions with these URLs, in FHIR format.

    Raises OutcomeError UNPROCESSABLE for a URL that the box does not have.
    """
    found = await _load(box, "StructureDefinition", urls)
    by_url = {one["url"]: one for one in found}
    for url in urls:
        if url not in by_url:
            raise OutcomeError(Fault.UNPROCESSABLE, f"The box has no StructureDefinition {url}.")
    return list(by_url.values())


async def convert_definitions(
    box: Box, definitions: list[dict[str, Any]], supporting: list[dict[str, Any]]
) -> Conversion:
    """Convert StructureDefinitions in FHIR format; what they use may be in the box.

    Raises OutcomeError UNPROCESSABLE.
    """
    library = Library(box.metadata, [*supporting, *definitions])
    looked_up: set[tuple[str, str]] = set()
    for _ in range(_MAX_ROUNDS):
        missing = {
            (kind, url) for kind, urls in library.missing().items() for url in urls
        } - looked_up
        if not missing:
            break
        looked_up |= missing
        for kind in sorted({kind for kind, _ in missing}):
            library.add(await _load(box, kind, [url for one, url in missing if one == kind]))
    try:
        # In a thread: a large guide takes a second, and other requests shall not wait for it.
        return await asyncio.to_thread(convert, library, definitions, box.profiles)
    except ConversionError as error:
        about = f"{error.url}: " if error.url else ""
        issue = Issue(message=f"{about}{error.message}", type_name="StructureDefinition")
        raise OutcomeError(Fault.UNPROCESSABLE, issue) from None


async def save(call: Call, box: Box, conversion: Conversion) -> list[Stored]:
    """Write what came of a conversion, in the caller's name; what is stored already is left alone.

    In a transaction. Raises OutcomeError, FORBIDDEN for who may not write AidboxProfile or
    Attribute.
    """
    from boxruntime.api.interactions.update import update  # writing leads back to this module
    from boxruntime.api.interactions.upsert import item_call

    root = msgspec.structs.replace(call, dialect=Dialect.AIDBOX, rewrite=None)
    stored = []
    for item in (*conversion.attributes, *conversion.profiles):
        inner = await item_call(root, box, item)
        known = await box.store.find(item["resourceType"], item["id"])
        if known is None or not _is_same(known, item):
            known = (await update(inner, box)).stored
        if known is not None:
            stored.append(known)
    return stored


def _is_same(stored: Stored, item: dict[str, Any]) -> bool:
    return {key: value for key, value in stored.resource().items() if key != "meta"} == item


async def _load(box: Box, kind: str, urls: list[str]) -> list[dict[str, Any]]:
    rows = await load_by_url(box.store.runner, kind, urls)
    return [to_fhir(box.metadata, row) for row in rows]


def makes_profiles(box: Box, resource_type: str) -> bool:
    """Tell whether writes of a type bring about profiles, by the setting of the box."""
    return resource_type == "StructureDefinition" and box.settings.enforces_definitions


def note_definition(
    call: Call, box: Box, definition: dict[str, Any], *, is_there: bool = True
) -> None:
    """Remember a StructureDefinition that was written or deleted until its transaction ends.

    Only then everything that it uses is there. Raises OutcomeError FORBIDDEN for who may not
    write profiles: who writes the definition would decide what the box accepts.
    """
    authorize_type(call, box, "AidboxProfile")
    if box.transaction is None:
        raise AssertionError("a definition is written in a transaction")
    if isinstance(definition.get("url"), str):
        box.transaction.structured_by = call
        box.transaction.structures[definition["url"]] = is_there


async def follow_definitions(box: Box) -> None:
    """Bring the profiles in step with the StructureDefinitions that a transaction wrote.

    Raises OutcomeError.
    """
    transaction = box.transaction
    if transaction is None or transaction.structured_by is None:
        return
    call, changed = transaction.structured_by, transaction.structures
    there = [url for url, is_there in changed.items() if is_there]
    definitions = [one for one in await _load(box, "StructureDefinition", there) if is_profile(one)]
    if definitions:
        await save(call, box, await convert_definitions(box, definitions, []))
    for url, is_there in changed.items():
        profile = box.profiles.find(url)
        if not is_there and profile is not None:
            await _end(box, profile.id)


async def _end(box: Box, id_: str) -> None:
    await box.store.delete("AidboxProfile", id_, dialect=Dialect.AIDBOX)
    await box.note_write("AidboxProfile")
