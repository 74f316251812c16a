"""Codes of value sets and code systems at hand, for `:in`, `:not-in`, `:below` and `:above`.

Works on ValueSet and CodeSystem resources in either format (they hold no choices here) and asks
for what it needs by name, so that it knows no storage.
Source: search specification, 4.4 token; FHIR R4 ValueSet and CodeSystem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.search.errors import not_supported
from boxruntime.fhir.search.values import Token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

Resource = dict[str, Any]
MAX_CODES = 100_000
MAX_NESTING = 10


class Library(NamedTuple):
    """Finds resources by canonical URL, or value sets by "ValueSet/id"; None = not stored."""

    value_set: Callable[[str], Awaitable[Resource | None]]
    code_system: Callable[[str], Awaitable[Resource | None]]


class UnknownValueSetError(Exception):
    """A value set that is not stored, or too large."""


async def expand(library: Library, url: str, depth: int = 0) -> set[Token]:
    """Return the codes of a value set; a token without a code stands for its whole system.

    Raises UnknownValueSetError, and OutcomeError for filters that cannot be evaluated here.
    """
    resource = await library.value_set(url)
    if resource is None or depth > MAX_NESTING:
        raise UnknownValueSetError
    expansion = resource.get("expansion")
    if isinstance(expansion, dict) and expansion.get("contains"):
        return set(_contained(expansion["contains"]))
    compose = resource.get("compose") or {}
    found = await _of_dstu2(library, resource, depth)
    for include in compose.get("include", ()):
        found |= await _included(library, include, depth)
    for exclude in compose.get("exclude", ()):
        gone = await _included(library, exclude, depth)
        systems = {token.system for token in gone if token.code is None}
        if any(token.code is None and token.system not in systems for token in found) and gone:
            raise not_supported("in", "the value set excludes codes of a system that is not stored")
        found = {token for token in found - gone if token.system not in systems}
    if len(found) > MAX_CODES:
        raise UnknownValueSetError
    return found


async def _of_dstu2(library: Library, resource: Resource, depth: int) -> set[Token]:
    """Return what only DSTU2 says: the codes a value set defines itself, and what it imports."""
    found: set[Token] = set()
    own = resource.get("codeSystem")
    if isinstance(own, dict):
        found |= {Token(system=own.get("system"), code=code) for code in _parents(own)}
    for url in (resource.get("compose") or {}).get("import", ()):
        found |= await expand(library, url, depth + 1)
    return found


def _contained(items: list[Resource]) -> Iterator[Token]:
    for item in items:
        if isinstance(item.get("code"), str) and not item.get("abstract"):
            yield Token(system=item.get("system"), code=item["code"])
        yield from _contained(item.get("contains") or [])


async def _included(library: Library, include: Resource, depth: int) -> set[Token]:
    """Return the codes of one include: those of its system that are in all its value sets."""
    found: set[Token] | None = None
    system = include.get("system")
    if isinstance(system, str):
        if include.get("concept"):
            found = {Token(system=system, code=c["code"]) for c in include["concept"]}
        else:
            found = await _of_system(library, system, include.get("filter") or [])
    for url in include.get("valueSet", ()):
        nested = await expand(library, url, depth + 1)
        found = nested if found is None else _common(found, nested)
    return found or set()


def _common(first: set[Token], second: set[Token]) -> set[Token]:
    whole = {token.system for token in second if token.code is None}
    others = {token.system for token in first if token.code is None}
    return (
        (first & second)
        | {token for token in first if token.system in whole}
        | {token for token in second if token.system in others}
    )


async def _of_system(library: Library, system: str, filters: list[Resource]) -> set[Token]:
    resource = await library.code_system(system)
    if resource is None or resource.get("content") not in ("complete", "fragment", None):
        if filters:
            raise not_supported("in", "the value set filters a code system that is not stored")
        return {Token(system=system)}
    parents = _parents(resource)
    codes = set(parents)
    for item in filters:
        codes &= _filtered(parents, item)
    return {Token(system=system, code=code) for code in codes}


def _filtered(parents: dict[str, set[str]], item: Resource) -> set[str]:
    value = str(item.get("value", ""))
    match (item.get("property"), item.get("op")):
        case ("concept" | "code", "is-a"):
            return _descendants(parents, value) | {value}
        case ("concept" | "code", "descendent-of"):
            return _descendants(parents, value)
        case ("concept" | "code", "is-not-a"):
            return set(parents) - _descendants(parents, value) - {value}
        case ("concept" | "code", "="):
            return {value}
        case ("concept" | "code", "in"):
            return {code.strip() for code in value.split(",")}
        case ("concept" | "code", "not-in"):
            return set(parents) - {code.strip() for code in value.split(",")}
        case _:
            raise not_supported("in", "the value set has a filter that is not supported")


def _parents(resource: Resource) -> dict[str, set[str]]:
    """Return each code of a code system with its direct parents."""
    parents: dict[str, set[str]] = {}

    def walk(concepts: list[Resource], above: str | None) -> None:
        for concept in concepts:
            code = concept["code"]
            known = parents.setdefault(code, set())
            if above is not None:
                known.add(above)
            for item in concept.get("property") or ():
                if item.get("code") in ("parent", "subsumedBy"):
                    value = item.get("value")
                    named = item.get("valueCode") or (
                        value.get("code") if isinstance(value, dict) else None
                    )
                    if isinstance(named, str):
                        known.add(named)
            walk(concept.get("concept") or [], code)

    walk(resource.get("concept") or [], None)
    return parents


def _descendants(parents: dict[str, set[str]], code: str) -> set[str]:
    children: dict[str, set[str]] = {}
    for child, above in parents.items():
        for parent in above:
            children.setdefault(parent, set()).add(child)
    return _closure(children, code)


def _closure(links: dict[str, set[str]], code: str) -> set[str]:
    found: set[str] = set()
    pending = [code]
    while pending:
        for following in links.get(pending.pop(), ()):
            if following not in found:
                found.add(following)
                pending.append(following)
    return found


async def related(library: Library, token: Token, *, below: bool) -> set[Token]:
    """Return a code with its descendants (`below`) or ancestors; alone without a hierarchy."""
    resource = None if token.system is None else await library.code_system(token.system)
    if resource is None or token.code is None:
        return {token}
    parents = _parents(resource)
    codes = _descendants(parents, token.code) if below else _closure(parents, token.code)
    return {token, *(Token(system=token.system, code=code) for code in codes)}
