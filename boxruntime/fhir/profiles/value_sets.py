"""The codes of value sets, as far as the box can tell them without a terminology server.

Enumerated codes, code systems that the box holds (whole, or below a concept), and what other value
sets have; other filters are not computed. Source: FHIR R4, ValueSet (compose, expansion).
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

from boxruntime.fhir.json_text import decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxruntime.fhir.profiles.library import Library

Codes: TypeAlias = dict[str, frozenset[str]]
"""Codes by system."""
MAX_CODES = 5_000
"""Longer lists make a schema of megabytes; such bindings are left to $validate-code."""


class ValueSets:
    """Finds codes by the canonical URL of a value set; remembers what it found."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._found: dict[str, Codes | None] = {}

    def codes(self, canonical: str) -> Codes | None:
        """Return the codes of a value set; None when they are not all known, or too many."""
        url = canonical.partition("|")[0]
        if url not in self._found:
            self._found[url] = None  # a value set that includes itself has no known codes
            found = self._expand(url)
            if found is not None and sum(map(len, found.values())) > MAX_CODES:
                found = None
            self._found[url] = found
        return self._found[url]

    def _expand(self, url: str) -> Codes | None:
        value_set = self._library.find("ValueSet", url)
        if value_set is None:
            return base_codes(self._library.metadata.module, url)
        compose = value_set.get("compose")
        found = self._compose(compose) if isinstance(compose, dict) else None
        return found if found is not None else _expansion(value_set.get("expansion"))

    def _compose(self, compose: dict[str, Any]) -> Codes | None:
        total: dict[str, set[str]] = {}
        for part in compose.get("include", ()):
            codes = self._part(part)
            if codes is None:
                return None
            for system, found in codes.items():
                total.setdefault(system, set()).update(found)
        for part in compose.get("exclude", ()):
            codes = self._part(part)
            if codes is None:
                return None
            for system, found in codes.items():
                total.get(system, set()).difference_update(found)
        return {system: frozenset(found) for system, found in total.items()}

    def _part(self, part: Any) -> Codes | None:
        if not isinstance(part, dict):
            return None
        sources = [self.codes(str(canonical)) for canonical in part.get("valueSet", ())]
        system = part.get("system")
        if isinstance(system, str):
            sources.append(self._system(system, part.get("concept"), part.get("filter")))
        known = [source for source in sources if source is not None]
        if not known or len(known) < len(sources):
            return None
        first, *rest = known
        for other in rest:  # what all of them have
            first = {name: codes & other.get(name, frozenset()) for name, codes in first.items()}
        return first

    def _system(self, system: str, concepts: Any, filters: Any) -> Codes | None:
        if isinstance(concepts, list) and concepts:
            return {system: frozenset(_codes(concepts))}
        code_system = self._library.find("CodeSystem", system)
        if code_system is None or code_system.get("content") != "complete":
            return None
        found = frozenset(_codes(code_system.get("concept")))
        for one in filters if isinstance(filters, list) else ():
            below = _below(code_system, one) if isinstance(one, dict) else None
            if below is None:
                return None
            found &= below
        return {system: found}


def _below(code_system: dict[str, Any], one: dict[str, Any]) -> frozenset[str] | None:
    """Return what a filter on the hierarchy of concepts leaves; None for another filter."""
    operation, code = one.get("op"), one.get("value")
    if one.get("property") not in ("concept", "code") or operation not in ("is-a", "descendent-of"):
        return None
    todo = list(code_system.get("concept") or ())
    while todo:
        concept = todo.pop()
        if not isinstance(concept, dict):
            continue
        if concept.get("code") == code:
            return frozenset(_codes([concept] if operation == "is-a" else concept.get("concept")))
        todo += concept.get("concept") or ()
    return frozenset()


def _codes(concepts: Any) -> Iterator[str]:
    for concept in concepts if isinstance(concepts, list) else ():
        if isinstance(concept, dict):
            if isinstance(concept.get("code"), str):
                yield concept["code"]
            yield from _codes(concept.get("concept"))


def _expansion(expansion: Any) -> Codes | None:
    """Return the codes of an expansion that came with the value set, if it is whole."""
    contains = expansion.get("contains") if isinstance(expansion, dict) else None
    if not isinstance(contains, list) or not contains:
        return None
    found: dict[str, set[str]] = {}
    todo = list(contains)
    while todo:
        item = todo.pop()
        if not isinstance(item, dict):
            return None
        todo += item.get("contains") or ()
        if isinstance(item.get("code"), str) and not item.get("abstract"):
            found.setdefault(str(item.get("system", "")), set()).add(item["code"])
    total = expansion.get("total")
    if isinstance(total, int) and total > sum(map(len, found.values())):
        return None
    return {system: frozenset(codes) for system, codes in found.items()}


@cache
def _base_value_sets(module: str) -> dict[str, bytes]:
    """Return the value sets in the definitions of a FHIR version, by URL; 60 kB as text."""
    path = resources.files("boxruntime.fhir.definitions").joinpath(f"{module}.json")
    found = decode_json(path.read_bytes()).get("valueSets", {})
    return {url: encode_json(entry) for url, entry in found.items()}


def base_codes(module: str, url: str) -> Codes | None:
    """Return the codes of a value set of the FHIR version itself."""
    text = _base_value_sets(module).get(url)
    entry = decode_json(text) if text is not None else None
    if not isinstance(entry, dict):
        return None
    if "systems" in entry:
        return {system: frozenset(codes) for system, codes in entry["systems"].items()}
    return {entry.get("system", ""): frozenset(entry["codes"])}
