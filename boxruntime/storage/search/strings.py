"""String and URI tests.

Source: search specification, 4.3 string, 4.7 uri.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.search.query import Key, Location, Match, Modifier, Parameter, Step
from boxruntime.fhir.search.values import Text
from boxruntime.storage.search.places import (
    TRUE,
    NoShapeError,
    Row,
    all_of,
    any_of,
    contains,
    exists_at,
    path_array,
    path_arrays,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.storage.search.statement import Binder

PARTS: dict[str, tuple[Step, ...]] = {
    "HumanName": (
        Key("family"),
        Key("given", array=True),
        Key("prefix", array=True),
        Key("suffix", array=True),
        Key("text"),
    ),
    "Address": (
        Key("line", array=True),
        Key("city"),
        Key("district"),
        Key("state"),
        Key("postalCode"),
        Key("country"),
        Key("text"),
    ),
}
_STRINGS = frozenset({"string", "markdown", "code", "id", "uri", "url", "email", "keyword"})
_NAME = tuple(("name", part) for part in ("family", "given", "prefix", "suffix", "text"))
TEXT_INDEXES: dict[str, tuple[tuple[str, ...], ...]] = {
    "Patient": _NAME,
    "Person": _NAME,
    "Practitioner": _NAME,
    "RelatedPerson": _NAME,
    "Organization": (("name",), ("alias",)),
    "Location": (("name",), ("alias",)),
}
"""Types with a trigram index on `search_text` of these paths: their parameter `name`."""
EVERY_TEXT = '$.** ? (@.type() == "string")'
"""All strings below a value: for complex types without parts of their own."""


def string_paths(parameter: Parameter) -> list[tuple[Step, ...]]:
    """Return the paths to the texts of a parameter, parts of names and addresses written out."""
    paths: list[tuple[Step, ...]] = []
    for place in parameter.locations:
        parts = PARTS.get(place.datatype or "")
        paths.extend([(*place.steps, part) for part in parts] if parts else [place.steps])
    return paths


def search_text(row: Row, paths: Sequence[Sequence[Step]]) -> str:
    """Return the text root searches in; an index on it has the very same expression."""
    return f"aidbox_text_search(knife_extract_text({row.document}, {path_arrays(paths)}))"


def string_match(row: Row, match: Match, binder: Binder, dialect: Dialect) -> str:
    """Return the test of a string condition: of the text's beginning, on root of any word's."""
    terms = [value.text for value in match.values if isinstance(value, Text)]
    of_words = match.modifier is Modifier.NONE and dialect is Dialect.AIDBOX
    tests = []
    joined = of_words and _joinable(match.parameter)
    for written in terms:
        term = " ".join(written.split()) if joined else written
        if joined:
            text = search_text(row, string_paths(match.parameter))
            exact = f"{text} ILIKE {_pattern(term, binder, '% ')}"
        else:
            exact = any_of(
                _text_test(row, place, term, match.modifier, binder)
                for place in match.parameter.locations
            )
        if match.modifier is Modifier.NONE:
            exact = all_of([_narrow(row, match.parameter, term, binder, joined=joined), exact])
        tests.append(exact)
    return any_of(tests)


def _narrow(row: Row, parameter: Parameter, term: str, binder: Binder, *, joined: bool) -> str:
    """Return what an index on the type's names can tell; implied by the full test.

    What begins with the term begins a word of the joined text. `joined`: the full test looks at
    a joined text of its own; there a term of several words may straddle values, and in the index
    other values may stand between those.
    """
    indexed = TEXT_INDEXES.get(row.type) if row.alias is not None else None
    if indexed is None or (joined and " " in term):
        return TRUE
    wanted = [path_array(steps) for steps in string_paths(parameter)]
    known = [list(path) for path in indexed]
    if (joined and wanted == known) or not all(path in known for path in wanted):
        return TRUE
    text = search_text(row, [tuple(Key(name) for name in path) for path in indexed])
    return f"{text} ILIKE {_pattern(term, binder, '% ')}"


def _joinable(parameter: Parameter) -> bool:
    return all(
        place.datatype in PARTS or place.datatype in _STRINGS for place in parameter.locations
    )


def _paths(place: Location) -> list[tuple[Step, ...]]:
    parts = PARTS.get(place.datatype or "")
    return [(*place.steps, part) for part in parts] if parts else [place.steps]


def _pattern(term: str, binder: Binder, before: str, after: str = "%") -> str:
    head = f"'{before}' || " if before else ""
    tail = f" || '{after}'" if after else ""
    return f"{head}box_like({binder.text(term)}){tail}"


def _text_test(row: Row, place: Location, term: str, modifier: Modifier, binder: Binder) -> str:
    if place.datatype in PARTS or place.datatype in _STRINGS:
        return any_of(_part_test(row, path, term, modifier, binder) for path in _paths(place))
    alias, leaf = binder.alias(), binder.alias()
    texts = f"jsonb_path_query({alias}, '{EVERY_TEXT}') AS {leaf}"
    below = f"EXISTS (SELECT 1 FROM {texts} WHERE {_compare(leaf, term, modifier, binder)})"
    return exists_at(row, place.steps, below, alias)


def _part_test(
    row: Row, path: tuple[Step, ...], term: str, modifier: Modifier, binder: Binder
) -> str:
    if modifier is Modifier.EXACT:
        with suppress(NoShapeError):
            return contains(row, path, term, binder)
    alias = binder.alias()
    return exists_at(row, path, _compare(alias, term, modifier, binder), alias)


def _compare(alias: str, term: str, modifier: Modifier, binder: Binder) -> str:
    """Return the test of one text (jsonb string)."""
    if modifier is Modifier.EXACT:
        return f"{alias} = {binder.jsonb(term)}"
    before, after = {
        Modifier.CONTAINS: ("%", "%"),
        Modifier.ENDS: ("%", ""),
        Modifier.EQUALS: ("", ""),
        Modifier.DIFFERS: ("", ""),
    }.get(modifier, ("", "%"))
    like = f"immutable_unaccent({alias} #>> '{{}}') ILIKE {_pattern(term, binder, before, after)}"
    return f"NOT ({like})" if modifier is Modifier.DIFFERS else like


def uri_match(row: Row, match: Match, binder: Binder) -> str:
    """Return the test of a uri condition."""
    return any_of(
        _uri_test(row, place, value.text, match.modifier, binder)
        for place in match.parameter.locations
        for value in match.values
        if isinstance(value, Text)
    )


def _uri_test(row: Row, place: Location, uri: str, modifier: Modifier, binder: Binder) -> str:
    alias = binder.alias()
    stored, written = f"({alias} #>> '{{}}')", binder.text(uri)
    match modifier:
        case Modifier.CONTAINS:
            test = f"{stored} ILIKE {_pattern(uri, binder, '%')}"
        case Modifier.BELOW:
            head = uri if uri.endswith("/") else uri + "/"
            test = f"({stored} = {written} OR starts_with({stored}, {binder.text(head)}))"
        case Modifier.ABOVE:
            test = f"({stored} = {written} OR starts_with({written}, rtrim({stored}, '/') || '/'))"
            test += f" AND {stored} NOT LIKE 'urn:%'"
        case _:
            try:
                if place.datatype is not None:
                    return contains(row, place.steps, uri, binder)
            except NoShapeError:
                pass
            test = f"{alias} = {binder.jsonb(uri)}"
    return exists_at(row, place.steps, test, alias)
