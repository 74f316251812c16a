"""The state of one conversion between FHIR and Aidbox format, and what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.metadata import SHADOW
from boxruntime.fhir.outcome import Dialect, Issue, Path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxruntime.fhir.metadata import Metadata


class FoundReference(msgspec.Struct, kw_only=True):
    """A reference whose target must exist; `holder` is the live object inside the resource.

    With `query` the reference was `Type?query` inside a transaction at /fhir: whoever knows the
    match replaces the content of `holder` (now {"uri": "Type?query"}) by resourceType and id.
    """

    path: Path
    holder: dict[str, Any]
    resource_type: str
    id: str | None
    refers: frozenset[str] | None = None
    query: str | None = None


class Converted(msgspec.Struct, kw_only=True):
    """A resource in Aidbox format, the references to check, and everything wrong with it."""

    resource: dict[str, Any]
    references: list[FoundReference]
    issues: list[Issue]
    document: dict[str, Any]
    """What was converted: the document as sent, stripped of what is empty."""
    is_unusual: bool = False
    """Only the FHIR form can tell whether it is right: there is an odd `_x` or extension."""


class Conversion:
    """What the compiled converters share while they walk one document."""

    __slots__ = (
        "checked",
        "contained",
        "dialect",
        "issues",
        "metadata",
        "references",
        "rewrite",
        "type_name",
    )

    def __init__(
        self,
        metadata: Metadata,
        type_name: str,
        dialect: Dialect,
        rewrite: Mapping[str, str] | None,
        document: dict[str, Any],
    ) -> None:
        self.metadata = metadata
        self.type_name = type_name.removeprefix(SHADOW)
        self.dialect = dialect
        self.rewrite = rewrite
        self.references: list[FoundReference] = []
        self.issues: list[Issue] = []
        self.checked = self.type_name != "Parameters"
        """False inside entries of a stored Bundle and inside Parameters: nothing to check there."""
        self.contained = contained_ids(document)

    def report(self, path: Path, message: str) -> None:
        self.issues.append(Issue(message=message, path=path, type_name=self.type_name))


def contained_ids(document: dict[str, Any]) -> frozenset[str]:
    """Return the ids a `#…` reference inside this resource may name."""
    items = document.get("contained")
    if not isinstance(items, list):
        return frozenset()
    return frozenset(
        item["id"] for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)
    )
