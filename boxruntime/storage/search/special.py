"""Tests with rules of their own: ids, dot expressions, lists, full text, position, value sets.

Source: search specification, 4.7 special, 5 dot expressions, 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.search.dots import CASTS
from boxruntime.fhir.search.query import (
    DotMatch,
    FullText,
    ListMember,
    Near,
    SetMatch,
    Substrings,
    Word,
    WordAll,
    WordAny,
    WordNot,
    Words,
)
from boxruntime.storage.search.places import (
    FALSE,
    Row,
    all_of,
    any_of,
    exists_at,
)
from boxruntime.storage.search.tokens import token_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.storage.search.statement import Binder

_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "lt": "<", "ge": ">=", "le": "<="}
EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG


def id_match(row: Row, ids: Sequence[str], binder: Binder) -> str:
    """Return whether the row has one of the ids."""
    if not ids:
        return FALSE
    if len(ids) == 1:
        return f"{row.id} = {binder.text(ids[0])}"
    return f"{row.id} = ANY({binder.texts(ids)})"


def dot_value(row: Row, path: Sequence[str], binder: Binder) -> str:
    """Return the text at a raw path; `.id` is the column, for documents hold no id."""
    if tuple(path) == ("id",):
        return row.id
    return f"({row.document} #>> {binder.texts(path)})"


def dot_match(row: Row, match: DotMatch, binder: Binder) -> str:
    """Return the test of a dot expression. A cast that fails is the caller's 400."""
    value = dot_value(row, match.path, binder)
    cast = match.cast or "text"
    assert cast in CASTS
    if match.operator == "isnull":
        return any_of(
            f"{value} IS {'NULL' if wanted == 'true' else 'NOT NULL'}" for wanted in match.values
        )
    if match.operator == "contains":
        return any_of(
            f"immutable_unaccent({value}) ILIKE '%' || box_like({binder.text(text)}) || '%'"
            for text in match.values
        )
    operator = _OPERATORS[match.operator]
    if match.cast is not None:
        value = f"({value})::{cast}"
    written = (
        binder.text(text) + (f"::{cast}" if match.cast is not None else "") for text in match.values
    )
    return any_of(f"{value} {operator} {text}" for text in written)


def list_member(row: Row, member: ListMember, binder: Binder) -> str:
    """Return whether one of the lists has the row as an item that is not deleted."""
    return (
        f"{row.id} IN (SELECT e #>> '{{item,id}}' FROM \"list\" AS l, "
        "jsonb_path_query(l.resource, '$.entry[*]') AS e "
        f"WHERE l.id = ANY({binder.texts(member.lists)}) "
        f"AND e #>> '{{item,resourceType}}' = {binder.text(member.type)} "
        "AND coalesce(e ->> 'deleted', 'false') <> 'true')"
    )


def substrings(row: Row, match: Substrings, binder: Binder) -> str:
    """Return the test of `_ilike`; an index on exactly this expression serves it."""
    text = f"({row.id} || ' ' || {row.document}::text)"
    return any_of(
        all_of(f"{text} ILIKE '%' || {binder.text(_escape(term))} || '%'" for term in group)
        for group in match.groups
    )


def _escape(term: str) -> str:
    return term.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


# Full text ----------------------------------------------------------------------------------


def text_vector(row: Row, *, narrative: bool) -> str:
    """Return the words of the narrative (tags stripped), or of every string."""
    if narrative:
        plain = f"regexp_replace({row.document} #>> '{{text,div}}', '<[^>]*>', ' ', 'g')"
        return f"to_tsvector('simple', immutable_unaccent(coalesce({plain}, '')))"
    strings = (
        f"(SELECT string_agg(s #>> '{{}}', ' ') FROM jsonb_path_query({row.document}, "
        "'$.** ? (@.type() == \"string\")') AS s)"
    )
    plain = f"regexp_replace(coalesce({strings}, ''), '<[^>]*>', ' ', 'g')"
    return f"to_tsvector('simple', immutable_unaccent({plain}))"


def word_query(words: Words, binder: Binder) -> str:
    """Return the tsquery of a parsed expression, built from bound words only."""
    match words:
        case Word(text):
            return f"phraseto_tsquery('simple', immutable_unaccent({binder.text(text)}))"
        case WordNot(inner):
            return f"!! {word_query(inner, binder)}"
        case WordAll(parts):
            return "(" + " && ".join(word_query(part, binder) for part in parts) + ")"
        case WordAny(parts):
            return "(" + " || ".join(word_query(part, binder) for part in parts) + ")"


def full_text(row: Row, match: FullText, binder: Binder) -> str:
    """Return the test of `_text` or `_content`."""
    vector = text_vector(row, narrative=match.narrative)
    return f"{vector} @@ ({word_query(match.words, binder)})"


# Position -----------------------------------------------------------------------------------


def near(row: Row, match: Near, binder: Binder) -> str:
    """Return whether a position lies within the great-circle distance (haversine)."""
    alias = binder.alias()
    latitude = f"radians(box_number({alias} -> 'latitude')::float8)"
    longitude = f"radians(box_number({alias} -> 'longitude')::float8)"
    here_latitude = f"radians({binder.double(match.latitude)})"
    here_longitude = f"radians({binder.double(match.longitude)})"
    distance = (
        f"{2 * EARTH_RADIUS_KM} * asin(least(1, sqrt("
        f"sin(({latitude} - {here_latitude}) / 2) ^ 2 + cos({latitude}) * cos({here_latitude}) * "
        f"sin(({longitude} - {here_longitude}) / 2) ^ 2)))"
    )
    test = f"{distance} <= {binder.double(match.distance_km)}"
    return exists_at(row, match.location.steps, test, alias)


# Value sets ---------------------------------------------------------------------------------

FEW_CODES = 20  # up to here the GIN index is asked for each code


def set_match(row: Row, match: SetMatch, binder: Binder) -> str:
    """Return whether some code of the row is in an expanded value set."""
    places = match.parameter.locations
    if len(match.tokens) <= FEW_CODES:
        return any_of(
            token_at(row, place, token, binder) for place in places for token in match.tokens
        )
    systems = binder.texts([token.system or "" for token in match.tokens])
    codes = binder.texts([token.code or "" for token in match.tokens])
    found = []
    for place in places:
        alias, pair = binder.alias(), binder.alias()
        by_system = place.datatype in ("CodeableConcept", "Coding", None)
        member = (
            f"({pair}.system, {pair}.code) IN (SELECT * FROM unnest({systems}, {codes}))"
            if by_system
            else f"{pair}.code = ANY({codes})"
        )
        inner = f"EXISTS (SELECT 1 FROM box_tokens({alias}) AS {pair} WHERE {member})"
        found.append(exists_at(row, place.steps, inner, alias))
    return any_of(found)
