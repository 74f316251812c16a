"""Expands value sets from the definitions alone.

A value set whose codes cannot all be known offline (a code system that is not in the package
or not complete, a filter that needs one) has no expansion: it is left out, never guessed.

Source: FHIR R4, ValueSet (compose) and CodeSystem (hierarchy, filters).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from infra.definitions.package import Json

Codes = dict[tuple[str, str], None]
"""(system, code) in definition order; a dict for its order."""


class NotExpandableError(Exception):
    """The definitions do not list the codes completely."""


@dataclass(frozen=True, slots=True)
class Concept:
    code: str
    ancestors: frozenset[str]
    """Transitive, without itself; from nesting, `parent` and `subsumedBy` properties."""
    properties: dict[str, str]
    display: str


def expand_value_set(
    url: str, value_sets: dict[str, Json], code_systems: dict[str, Json]
) -> dict[str, list[str]]:
    """Return the codes by system, both in definition order.

    Raises NotExpandableError if any of them cannot be known.
    """
    result: dict[str, list[str]] = {}
    for system, code in _Expander(value_sets, code_systems).expand(url, ()):
        result.setdefault(system, []).append(code)
    return result


def read_concepts(code_system: Json) -> dict[str, Concept]:
    """Return every concept of a code system with its ancestors resolved."""
    flat: dict[str, tuple[set[str], Json]] = {}
    for concept, parent in _walk(code_system.get("concept", []), None):
        parents, _ = flat.setdefault(concept["code"], (set(), concept))
        if parent is not None:
            parents.add(parent)
        for prop in concept.get("property", []):
            if prop["code"] in ("parent", "subsumedBy"):
                parents.add(str(_property_value(prop)))
    return {
        code: Concept(
            code=code,
            ancestors=_ancestors(code, flat),
            properties={
                prop["code"]: str(_property_value(prop)) for prop in concept.get("property", [])
            },
            display=concept.get("display", ""),
        )
        for code, (_, concept) in flat.items()
    }


def _walk(concepts: Iterable[Json], parent: str | None) -> Iterator[tuple[Json, str | None]]:
    for concept in concepts:
        yield concept, parent
        yield from _walk(concept.get("concept", []), concept["code"])


def _property_value(prop: Json) -> object:
    return next(value for key, value in prop.items() if key.startswith("value"))


def _ancestors(code: str, flat: dict[str, tuple[set[str], Json]]) -> frozenset[str]:
    seen: set[str] = set()
    waiting = [code]
    while waiting:
        for parent in flat[waiting.pop()][0]:
            if parent in flat and parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return frozenset(seen - {code})


@dataclass(slots=True)
class _Expander:
    value_sets: dict[str, Json]
    code_systems: dict[str, Json]

    def expand(self, url: str, outer: tuple[str, ...]) -> Codes:
        name = url.partition("|")[0]
        if name in outer:
            raise NotExpandableError(f"{name} imports itself")
        if name not in self.value_sets:
            raise NotExpandableError(f"no value set {name}")
        compose = self.value_sets[name].get("compose", {})
        if not compose.get("include"):
            raise NotExpandableError(f"{name} has no definition")
        found: Codes = {}
        for include in compose["include"]:
            found |= self._entry(include, (*outer, name))
        for exclude in compose.get("exclude", []):
            for key in self._entry(exclude, (*outer, name)):
                found.pop(key, None)
        if not found:
            raise NotExpandableError(f"{name} is empty")
        return found

    def _entry(self, entry: Json, outer: tuple[str, ...]) -> Codes:
        """Intersection of the system part and every imported value set."""
        parts: list[Codes] = []
        if "system" in entry:
            parts.append(self._system(entry))
        parts.extend(self.expand(url, outer) for url in entry.get("valueSet", []))
        first, *others = parts
        return {key: None for key in first if all(key in other for other in others)}

    def _system(self, entry: Json) -> Codes:
        system = entry["system"]
        if "concept" in entry:
            return {(system, concept["code"]): None for concept in entry["concept"]}
        code_system = self.code_systems.get(system, {})
        if code_system.get("content") != "complete":
            raise NotExpandableError(f"{system} is not listed completely")
        concepts = read_concepts(code_system)
        tests = [_filter(each, concepts) for each in entry.get("filter", [])]
        return {
            (system, concept.code): None
            for concept in concepts.values()
            if all(test(concept) for test in tests)
        }


def _filter(entry: Json, concepts: dict[str, Concept]) -> Callable[[Concept], bool]:
    """Return the test of one `compose.include.filter`. Raises NotExpandableError."""
    name, operator, value = entry["property"], entry["op"], entry["value"]
    if operator in ("is-a", "descendent-of", "is-not-a"):
        if value not in concepts:
            raise NotExpandableError(f"filter names the unknown code {value}")
        if operator == "is-a":
            return lambda concept: concept.code == value or value in concept.ancestors
        if operator == "descendent-of":
            return lambda concept: value in concept.ancestors
        return lambda concept: concept.code != value and value not in concept.ancestors

    def read(concept: Concept) -> str | None:
        if name in ("code", "concept"):
            return concept.code
        return concept.display if name == "display" else concept.properties.get(name)

    listed = {item.strip() for item in value.split(",")}
    tests: dict[str, Callable[[Concept], bool]] = {
        "=": lambda concept: read(concept) == value,
        "in": lambda concept: read(concept) in listed,
        "not-in": lambda concept: read(concept) not in listed,
        "exists": lambda concept: (read(concept) is not None) == (value == "true"),
        "regex": lambda concept: re.fullmatch(value, read(concept) or "") is not None,
    }
    if operator not in tests:
        raise NotExpandableError(f"filter operator {operator}")
    return tests[operator]


def expand_required(
    types: dict[str, Json],
    value_sets: dict[str, Json],
    code_systems: dict[str, Json],
    *,
    code_lists: Mapping[str, list[str]] = MappingProxyType({}),
    unlisted: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Json], dict[str, str]]:
    """Expand every value set with a required binding.

    Returns (url -> {"codes", "system" or "systems"}, url -> reason it has no expansion).
    `systems` (system -> codes) replaces `system` when the codes come from several; codes that
    come from `code_lists` have neither. `unlisted` gives reasons for value sets without a
    definition.
    """
    bound = {
        element["valueSet"]
        for definition in types.values()
        for element in definition.get("elements", {}).values()
        if element.get("strength") == "required"
    }
    expanded: dict[str, Json] = {}
    missing: dict[str, str] = {}
    for url in sorted(bound):
        if url in code_lists:
            expanded[url] = {"codes": list(code_lists[url])}
            continue
        if url in unlisted and url not in value_sets:
            missing[url] = unlisted[url]
            continue
        try:
            systems = expand_value_set(url, value_sets, code_systems)
        except NotExpandableError as reason:
            missing[url] = str(reason)
            continue
        codes = list(dict.fromkeys(code for listed in systems.values() for code in listed))
        expanded[url] = {"codes": codes} | (
            {"system": next(iter(systems))} if len(systems) == 1 else {"systems": systems}
        )
    return expanded, missing
