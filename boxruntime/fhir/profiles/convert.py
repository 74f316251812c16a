"""StructureDefinitions as AidboxProfile and Attribute resources.

Source: FHIR R4, Profiling; core specification, "AidboxProfile", "First-class extensions".
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.profiles.attributes import MODULE, AttributePlan
from boxruntime.fhir.profiles.library import ConversionError, Library
from boxruntime.fhir.profiles.registry import NO_PROFILES, ProfileSet
from boxruntime.fhir.profiles.schema import Note, SchemaMaker
from boxruntime.fhir.profiles.value_sets import ValueSets

if TYPE_CHECKING:
    from collections.abc import Iterable

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the definitions; resources in Aidbox format."""

    attributes: list[dict[str, Any]]
    """Those that the box does not have yet, parents first."""
    profiles: list[dict[str, Any]]
    notes: list[Note]
    """What the definitions say and the profiles do not enforce."""


def convert(
    library: Library, definitions: Iterable[dict[str, Any]], known: ProfileSet = NO_PROFILES
) -> Conversion:
    """Convert profiles and extensions in FHIR format; `library` holds them and what they use.

    `known` are the profiles that the box has. All 28 of US Core take 150 ms. Raises
    ConversionError.
    """
    try:
        return _convert(library, list(definitions), known)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        # What the box holds may have been written by SQL.
        raise ConversionError("", "The definitions, or what they use, cannot be read.") from None


def _convert(library: Library, wanted: list[dict[str, Any]], known: ProfileSet) -> Conversion:
    for definition in wanted:
        _check(library, definition)
    extensions = [one for one in wanted if one["type"] == "Extension"]
    profiles = [one for one in wanted if one["type"] in library.metadata.resource_types]
    plan = AttributePlan(library)
    for definition in profiles:  # first, for a slice names an extension better than its url does
        plan.profile(definition)
    for definition in extensions:
        plan.extension(definition)
    attributes = list(plan.attributes.values())
    extended = library.with_attributes(attributes)
    maker = SchemaMaker(extended, ValueSets(extended))
    made: dict[str, dict[str, Any]] = {}
    for definition in profiles:
        id_ = profile_id(definition)
        if id_ in made or not known.is_free(id_, definition["url"]):
            id_ = unique_id(id_, definition["url"])
        made[id_] = _profile(maker, definition, id_)
    return Conversion(
        attributes=attributes,
        profiles=list(made.values()),
        notes=list(maker.notes),
    )


def _check(library: Library, definition: dict[str, Any]) -> None:
    url = definition.get("url")
    if not isinstance(url, str) or not url:
        raise ConversionError("", "A StructureDefinition needs a url.")
    if not is_profile(definition):
        raise ConversionError(url, "Only profiles and extensions (derivation: constraint) fit.")
    if definition.get("type") not in library.metadata.types:
        raise ConversionError(url, "Its type is not known here.")
    library.tree(definition)


def _profile(maker: SchemaMaker, definition: dict[str, Any], id_: str) -> dict[str, Any]:
    version = definition.get("version")
    title = definition.get("title") or definition.get("name")
    return {
        "resourceType": "AidboxProfile",
        "id": id_,
        "url": definition["url"],
        **({"version": version} if isinstance(version, str) else {}),
        "bind": {"resourceType": "Entity", "id": definition["type"]},
        "schema": maker.profile(definition),
        **({"description": title} if isinstance(title, str) else {}),
        "module": MODULE,
    }


def is_profile(definition: dict[str, Any]) -> bool:
    """Tell whether a StructureDefinition is a profile or extension, not a type or a model."""
    return definition.get("derivation") == "constraint" and definition.get("kind") != "logical"


def profile_id(definition: dict[str, Any]) -> str:
    """Return the id of the AidboxProfile of a definition: its own, or the end of its url.

    Of two definitions that agree in that, the ids agree too: `unique_id` tells them apart.
    """
    id_ = definition.get("id")
    if isinstance(id_, str) and _ID.fullmatch(id_):
        return id_
    tail = re.sub(r"[^A-Za-z0-9\-.]+", "-", str(definition["url"]).rstrip("/").rpartition("/")[2])
    return tail.strip("-.")[:64] or unique_id("profile", definition["url"])


def unique_id(id_: str, url: str) -> str:
    """Return the id for a profile whose own one belongs to another url."""
    return f"{id_[:55]}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
