"""The conformance resources that a conversion may look into, by canonical URL, in FHIR format.

Source: FHIR R4, StructureDefinition (derivation, baseDefinition).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.profiles.tree import (
    ElementDefinition,
    Node,
    bound_value_set,
    canonicals,
    element_tree,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.fhir.metadata import Metadata

BASE = "http://hl7.org/fhir/StructureDefinition/"
KINDS = ("StructureDefinition", "ValueSet", "CodeSystem")


class ConversionError(Exception):
    """A StructureDefinition that cannot be converted; `url` names it."""

    def __init__(self, url: str, message: str) -> None:
        super().__init__(message)
        self.url = url
        self.message = message


class Library:
    """What is known: the resources to convert, those of the box, and the base types."""

    def __init__(self, metadata: Metadata, resources: Iterable[dict[str, Any]]) -> None:
        """Take resources in FHIR format; of two with one URL the later counts."""
        self.metadata = metadata
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._trees: dict[str, Node] = {}
        self.add(resources)

    def add(self, resources: Iterable[dict[str, Any]]) -> None:
        for resource in resources:
            kind, url = resource.get("resourceType"), resource.get("url")
            if isinstance(kind, str) and isinstance(url, str):
                self._known[kind, url] = resource

    def with_attributes(self, attributes: list[dict[str, Any]]) -> Library:
        """Return the same library over metadata with more Attributes."""
        if not attributes:
            return self
        found = Library(self.metadata.with_records([], attributes), ())
        found._known = self._known
        found._trees = self._trees
        return found

    def find(self, kind: str, canonical: str) -> dict[str, Any] | None:
        return self._known.get((kind, canonical.partition("|")[0]))

    def base_type(self, canonical: str) -> str | None:
        """Return the FHIR type that a canonical URL of the base specification names."""
        url = canonical.partition("|")[0]
        name = url.removeprefix(BASE)
        return name if name != url and name in self.metadata.types else None

    def type_of(self, canonical: str) -> str | None:
        """Return the type that a canonical URL of a profile or type is about; None if unknown."""
        found = self.base_type(canonical)
        if found is None:
            definition = self.find("StructureDefinition", canonical)
            found = definition.get("type") if definition is not None else None
        return found if isinstance(found, str) and found in self.metadata.types else None

    def tree(self, definition: dict[str, Any]) -> Node:
        """Return the elements of a profile, its bases merged in. Raises ConversionError."""
        url = str(definition.get("url"))
        tree = self._trees.get(url)
        if tree is None:
            try:
                tree = element_tree(self._layers(definition, (url,)))
            except ValueError as error:
                raise ConversionError(url, f"The elements cannot be read: {error}.") from None
            self._trees[url] = tree
        return tree

    def _layers(
        self, definition: dict[str, Any], above: tuple[str, ...]
    ) -> list[list[ElementDefinition]]:
        """Return the element lists from the base type on.

        Differentials as long as the chain of bases is known, else the last snapshot before it
        breaks.
        """
        differential = _elements(definition, "differential")
        snapshot = _elements(definition, "snapshot")
        base = str(definition.get("baseDefinition") or "").partition("|")[0]
        if base in above:
            raise ConversionError(above[0], f"{base} is derived from itself.")
        if differential is not None:
            if self.base_type(base) is not None:
                return [differential]
            known = self.find("StructureDefinition", base)
            if known is not None:
                return [*self._layers(known, (*above, base)), differential]
        if snapshot is not None:
            return [snapshot]
        if differential is None:
            raise ConversionError(above[0], "It has neither a differential nor a snapshot.")
        raise ConversionError(
            above[0], f"Its baseDefinition {base} is not known here, and it has no snapshot."
        )

    def missing(self) -> dict[str, set[str]]:
        """Return the canonical URLs that known resources name and that are not known, by kind."""
        wanted: dict[str, set[str]] = {kind: set() for kind in KINDS}
        for (kind, _), resource in self._known.items():
            if kind == "StructureDefinition":
                _definition_needs(resource, wanted)
            elif kind == "ValueSet":
                _value_set_needs(resource, wanted)
        return {
            kind: {
                url
                for url in urls
                if (kind, url) not in self._known and self.base_type(url) is None
            }
            for kind, urls in wanted.items()
        }


def _elements(definition: dict[str, Any], view: str) -> list[ElementDefinition] | None:
    found = definition.get(view)
    elements = found.get("element") if isinstance(found, dict) else None
    if not isinstance(elements, list):
        return None
    return [one for one in elements if isinstance(one, dict)] or None


def _definition_needs(definition: dict[str, Any], wanted: dict[str, set[str]]) -> None:
    base = definition.get("baseDefinition")
    if isinstance(base, str):
        wanted["StructureDefinition"].add(base.partition("|")[0])
    for view in ("differential", "snapshot"):
        for element in _elements(definition, view) or ():
            for item in element.get("type") or ():
                if isinstance(item, dict):
                    wanted["StructureDefinition"].update(canonicals(item, "profile"))
                    wanted["StructureDefinition"].update(canonicals(item, "targetProfile"))
            binding = element.get("binding")
            bound = bound_value_set(binding) if isinstance(binding, dict) else None
            if bound is not None:
                wanted["ValueSet"].add(bound)


def _value_set_needs(value_set: dict[str, Any], wanted: dict[str, set[str]]) -> None:
    compose = value_set.get("compose")
    if not isinstance(compose, dict):
        return
    for part in (*compose.get("include", ()), *compose.get("exclude", ())):
        if not isinstance(part, dict):
            continue
        for canonical in part.get("valueSet", ()):
            wanted["ValueSet"].add(str(canonical).partition("|")[0])
        if isinstance(part.get("system"), str) and not part.get("concept"):
            wanted["CodeSystem"].add(part["system"])
