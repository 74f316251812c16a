"""Reference tests: by id, type and id, URL, canonical, logical identifier.

Source: search specification, 4.5 reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.search.query import Key, Location, Match, Modifier
from boxruntime.fhir.search.values import ReferenceValue, Text, Token
from boxruntime.storage.search.indexes import has_reference_index
from boxruntime.storage.search.places import (
    NoShapeError,
    Row,
    any_of,
    contains,
    exists_at,
    jsonpath,
    keys,
    reference_id,
    reference_type,
)
from boxruntime.storage.search.tokens import substring_at, token_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.storage.search.statement import Binder

_CANONICAL = frozenset({"canonical", "uri", "url", "oid", "uuid", "string"})


def reference_match(row: Row, match: Match, binder: Binder) -> str:
    """Return the test of a reference condition."""
    places = match.parameter.locations
    if match.modifier is Modifier.IDENTIFIER:
        return any_of(
            token_at(row, _identifier_of(place), value, binder)
            for place in places
            if place.datatype == "Reference"
            for value in match.values
            if isinstance(value, Token)
        )
    if match.modifier is Modifier.TEXT:
        return any_of(
            substring_at(row, (*place.steps, Key("display")), value.text, binder)
            for place in places
            for value in match.values
            if isinstance(value, Text)
        )
    return any_of(
        reference_at(row, place, value, binder)
        for place in places
        for value in match.values
        if isinstance(value, ReferenceValue)
    )


def _identifier_of(place: Location) -> Location:
    return Location((*place.steps, *keys("identifier")), "Identifier")


def reference_at(row: Row, place: Location, value: ReferenceValue, binder: Binder) -> str:
    """Return whether a reference at one place leads to the value."""
    if place.datatype in _CANONICAL:
        return _canonical(row, place, _as_written(value), binder)
    if row.alias is not None and has_reference_index(row.type, place):
        return any_of(_indexed(row, place, leaf, binder) for leaf in _leaves(place, value))
    leaves: list[Any] = list(_leaves(place, value))
    if place.datatype is None:
        # Unknown to the metadata: an object as a reference, a text as a canonical.
        leaves.append(_as_written(value))
    tests = []
    for leaf in leaves:
        if place.plain and not place.raw:
            tests.append(contains(row, place.steps, leaf, binder))
            continue
        alias = binder.alias()
        tests.append(exists_at(row, place.steps, f"{alias} @> {binder.jsonb(leaf)}", alias))
    if place.raw and value.id is not None and value.type is None and not place.types:
        alias = binder.alias()
        ends = f"starts_with(reverse({alias} ->> 'reference'), reverse('/' || {binder.text(value.id)}))"
        tests.append(exists_at(row, place.steps, ends, alias))
    return any_of(tests)


def _indexed(row: Row, place: Location, leaf: dict[str, Any], binder: Binder) -> str:
    if "id" not in leaf:
        return contains(row, place.steps, leaf, binder)
    same = f"{reference_id(row, place)} = {binder.text(leaf['id'])}"
    if "resourceType" not in leaf:
        return same
    return f"({same} AND {reference_type(row, place)} = {binder.text(leaf['resourceType'])})"


def _leaves(place: Location, value: ReferenceValue) -> Iterable[dict[str, Any]]:
    """Yield the forms in which a reference to the value may be stored."""
    if value.id is not None:
        types: tuple[str | None, ...]
        if value.type is not None:
            types = (value.type,) if not place.types or value.type in place.types else ()
        else:
            types = place.types or (None,)
        for type_name in types:
            if type_name is None:
                yield {"id": value.id}
                continue
            yield {"resourceType": type_name, "id": value.id}
            if place.raw:
                yield {"reference": f"{type_name}/{value.id}"}
    if value.url is not None and not value.url.startswith("#"):
        yield {"reference": value.url} if place.raw else {"uri": value.url}


def _as_written(value: ReferenceValue) -> str:
    if value.url is not None:
        return value.url
    return f"{value.type}/{value.id}" if value.type is not None else str(value.id)


def _canonical(row: Row, place: Location, url: str, binder: Binder) -> str:
    """A URL without a version also matches any of its versions."""
    alias = binder.alias()
    try:
        same = contains(row, place.steps, url, binder)
    except NoShapeError:
        same = exists_at(row, place.steps, f"{alias} = {binder.jsonb(url)}", alias)
    if "|" in url:
        return same
    try:
        path = jsonpath(place.steps, "@ starts with $url")
        variables = f"jsonb_build_object('url', {binder.text(url + '|')})"
        versioned = f"jsonb_path_exists({row.document}, {path}, {variables})"
    except NoShapeError:
        test = f"starts_with({alias} #>> '{{}}', {binder.text(url + '|')})"
        versioned = exists_at(row, place.steps, test, alias)
    return any_of([same, versioned])
