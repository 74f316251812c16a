"""Token tests: codes, identifiers, booleans.

Source: search specification, 4.4 token; FHIR R4 search, 3.1.1.4.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.search.query import Key, Location, Match, Modifier, Parameter, Step
from boxruntime.fhir.search.values import Text, Token
from boxruntime.storage.search.places import (
    FALSE,
    NOT_FALSE,
    NoShapeError,
    Row,
    any_of,
    contains,
    exists_at,
    jsonpath,
    keys,
)
from boxruntime.storage.search.statement import Binder, literal

if TYPE_CHECKING:
    from collections.abc import Sequence

# datatype -> where the coded part is, and the member that holds the code
_CODED: dict[str, tuple[tuple[Step, ...], str]] = {
    "CodeableConcept": ((Key("coding", array=True),), "code"),
    "Coding": ((), "code"),
    "Identifier": ((), "value"),
    "ContactPoint": ((), "value"),
}
_TEXTS: dict[str, tuple[tuple[Step, ...], ...]] = {
    "CodeableConcept": (
        keys("text"),
        (Key("coding", array=True), Key("display")),
        (Key("coding", array=True), Key("code")),
    ),
    "Coding": (keys("display"), keys("code")),
    "Identifier": (keys("type", "text"), keys("value")),
    "ContactPoint": (keys("value"),),
}
_INTEGERS = frozenset({"integer", "positiveInt", "unsignedInt"})
_SCALARS = frozenset(
    {
        "code", "id", "string", "uri", "url", "canonical", "oid", "uuid", "markdown", "date",
        "dateTime", "instant", "time", "email", "keyword", "base64Binary", "boolean",
    }
) | _INTEGERS  # fmt: skip


def token_match(row: Row, match: Match, binder: Binder) -> str:
    """Return the test of a token condition."""
    parameter = match.parameter
    if parameter.exists:
        return any_of(_exists(row, parameter, value) for value in match.values)
    if match.modifier is Modifier.TEXT:
        terms = [value.text for value in match.values if isinstance(value, Text)]
        return any_of(_text(row, place, terms, binder) for place in parameter.locations)
    tokens = [value for value in match.values if isinstance(value, Token)]
    if match.modifier is Modifier.CASELESS:
        return any_of(_caseless(row, place, tokens, binder) for place in parameter.locations)
    return any_of(
        token_at(row, place, token, binder) for place in parameter.locations for token in tokens
    )


def token_at(row: Row, place: Location, token: Token, binder: Binder) -> str:
    """Return whether a value at one place is this token."""
    if token.code is None and token.system is None:
        return FALSE  # "|" names nothing
    datatype = place.datatype or ""
    if datatype in _CODED:
        return _coded(row, place, token, binder)
    if datatype in _SCALARS:
        if token.code is None:
            # the system of such a value is implied, so any may be named
            return exists_at(row, place.steps, None, binder.alias())
        leaf = _scalar(datatype, token.code)
        if leaf is None:
            return FALSE
        try:
            return contains(row, place.steps, leaf, binder)
        except NoShapeError:
            alias = binder.alias()
            return exists_at(row, place.steps, f"{alias} = {binder.jsonb(leaf)}", alias)
    return _shapeless(row, place, token, binder)


def _scalar(datatype: str, code: str) -> Any:
    if datatype == "boolean":
        return {"true": True, "false": False}.get(code)
    if datatype in _INTEGERS:
        digits = code.removeprefix("-")
        return int(code) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
    return code


def _coded(row: Row, place: Location, token: Token, binder: Binder) -> str:
    path, member = _CODED[place.datatype or ""]
    leaf: dict[str, Any] = {}
    if token.kind is not None:
        leaf["type"] = {"coding": [{"system": token.kind[0], "code": token.kind[1]}]}
    if token.system is not None:
        leaf["system"] = token.system
    if token.code is not None:
        leaf[member] = token.code
    alias = binder.alias()
    try:
        found = contains(row, (*place.steps, *path), leaf, binder)
    except NoShapeError:
        found = exists_at(row, (*place.steps, *path), f"{alias} @> {binder.jsonb(leaf)}", alias)
    if token.without_system and place.datatype != "ContactPoint":
        # Containment cannot say "has no system", so the item is looked at; it narrows first.
        assert token.code is not None
        lacking = f"{alias} ->> {literal(member)} = {binder.text(token.code)}"
        lacking += f" AND {alias} ->> 'system' IS NULL"
        steps = (*place.steps, *path)
        return f"({found} AND {exists_at(row, steps, lacking, alias)})"
    return found


def _shapeless(row: Row, place: Location, token: Token, binder: Binder) -> str:
    """Return the test for a datatype nobody declared: by the JSON shape found."""
    alias, pair = binder.alias(), binder.alias()
    tests = []
    if token.code is not None:
        tests.append(f"{pair}.code = {binder.text(token.code)}")
    if token.without_system:
        tests.append(f"{pair}.system IS NULL")
    elif token.system is not None:
        tests.append(f"{pair}.system = {binder.text(token.system)}")
    inner = f"EXISTS (SELECT 1 FROM box_tokens({alias}) AS {pair} WHERE {' AND '.join(tests)})"
    return exists_at(row, place.steps, inner, alias)


def _caseless(row: Row, place: Location, tokens: Sequence[Token], binder: Binder) -> str:
    alias, pair = binder.alias(), binder.alias()
    tests = []
    for token in tokens:
        parts = []
        if token.code is not None:
            parts.append(f"lower({pair}.code) = lower({binder.text(token.code)})")
        if token.without_system:
            parts.append(f"{pair}.system IS NULL")
        elif token.system is not None:
            parts.append(f"{pair}.system = {binder.text(token.system)}")
        tests.append("(" + " AND ".join(parts) + ")" if parts else FALSE)
    inner = f"EXISTS (SELECT 1 FROM box_tokens({alias}) AS {pair} WHERE {any_of(tests)})"
    return exists_at(row, place.steps, inner, alias)


def _text(row: Row, place: Location, terms: Sequence[str], binder: Binder) -> str:
    paths = _TEXTS.get(place.datatype or "", ((),))
    return any_of(
        substring_at(row, (*place.steps, *path), term, binder) for path in paths for term in terms
    )


def substring_at(row: Row, steps: Sequence[Step], term: str, binder: Binder) -> str:
    """Return whether some text at a path contains the term, case and accents aside."""
    alias = binder.alias()
    test = (
        f"immutable_unaccent({alias} #>> '{{}}') ILIKE '%' || box_like({binder.text(term)}) || '%'"
    )
    return exists_at(row, steps, test, alias)


def _exists(row: Row, parameter: Parameter, value: Any) -> str:
    """Return the test of a parameter that asks whether an element is there and not false."""
    code = value.code if isinstance(value, Token) else None
    if code not in ("true", "false"):
        return FALSE
    found = any_of(
        f"jsonb_path_exists({row.document}, {jsonpath(place.steps, NOT_FALSE)})"
        for place in parameter.locations
    )
    return found if code == "true" else f"({found}) IS NOT TRUE"


def token_texts(place: Location) -> tuple[Step, ...]:
    """Return the path to the code or value, which sorting compares."""
    if place.datatype in _CODED:
        path, member = _CODED[place.datatype]
        return (*place.steps, *path, Key(member))
    return place.steps
