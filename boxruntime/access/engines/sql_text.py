"""The text of an sql policy: from `{{path}}` to a statement with bound parameters.

The text is read as PostgreSQL reads it, so that no interpolation ends up inside of a literal, where
it would be text and not a parameter. Source: authentication specification, "sql".
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from boxruntime.access.engines.values import PolicyError, UnresolvedError, parse_path, value_at
from boxruntime.fhir.json_text import encode_json

_PIECE = re.compile(
    r"""
      (?P<inner>\{\{(?P<bang>!?)(?P<path>[^{}]*)\}\})
    | (?P<dollar>\$(?P<tag>[A-Za-z_\x80-\uffff][A-Za-z0-9_\x80-\uffff]*)?\$)
    | (?P<escape>(?<![A-Za-z0-9_])[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<literal>'(?:[^']|'')*(?:'|\Z))
    | (?P<name>"(?:[^"]|"")*(?:"|\Z))
    | (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<word>[A-Za-z_\x80-\uffff][A-Za-z0-9_$\x80-\uffff]*)
    | (?P<number>\$[0-9]+)
    | (?P<brace>\{\{)
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_MARK = re.compile(r"/\*|\*/")
_HOLE = re.compile(r"\{\{[^{}]*\}\}")  # '{{1,2},{3,4}}' is an array and none
_READS = frozenset({"select", "with", "values", "table"})
_MAX_CHARACTERS = 64 * 1024
_INSIDE = "an interpolation inside of a quoted text or comment"


class Statement(msgspec.Struct, frozen=True):
    """One statement, cut where parameters stand, and the texts bound to them.

    A number in `pieces` is that of a parameter, from 1; an object or array is followed by a cast
    to jsonb. None is NULL.
    """

    pieces: tuple[str | int, ...]
    parameters: tuple[str | None, ...]

    @property
    def sql(self) -> str:
        """The text with $n placeholders."""
        return "".join(p if isinstance(p, str) else f"${p}" for p in self.pieces)


class _Hole(msgspec.Struct, frozen=True):
    steps: tuple[str | int, ...]
    is_name: bool


class SqlText:
    """A policy's statement, read once."""

    def __init__(self, query: Any) -> None:
        """Read a query. Raises PolicyError."""
        if not isinstance(query, str) or not query.strip():
            raise PolicyError("expected a statement", "sql", "query")
        if len(query) > _MAX_CHARACTERS:
            raise PolicyError("the statement is too long", "sql", "query")
        try:
            self._parts = _read(query.strip().rstrip(";").rstrip())
        except PolicyError as error:
            raise PolicyError(error.message, "sql", "query") from None
        self.reads = frozenset(
            str(part.steps[0]) for part in self._parts if isinstance(part, _Hole)
        )
        self.has_names = any(isinstance(part, _Hole) and part.is_name for part in self._parts)

    def statement(self, request: dict[str, Any]) -> Statement:
        """Return the statement for a request. Raises UnresolvedError for a missing identifier."""
        pieces: list[str | int] = []
        parameters: list[str | None] = []
        for part in self._parts:
            if isinstance(part, str):
                pieces.append(part)
                continue
            value = value_at(request, part.steps)
            if part.is_name:
                pieces.append(_identifier(value))
                continue
            parameters.append(_bound(value))
            number = len(parameters)
            is_json = isinstance(value, (dict, list))
            pieces.extend(("(", number, "::jsonb)") if is_json else (number,))
        return Statement(tuple(pieces), tuple(parameters))


def _identifier(value: Any) -> str:
    if not isinstance(value, str) or not value or "\x00" in value:
        raise UnresolvedError("an identifier is missing")
    return '"' + value.lower().replace('"', '""') + '"'


def _bound(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else encode_json(value).decode()
    if "\x00" in text:
        raise UnresolvedError("a value cannot be bound")
    return text


def _read(query: str) -> list[str | _Hole]:
    parts: list[str | _Hole] = []
    first_word: str | None = None
    done = position = 0
    while (found := _PIECE.search(query, position)) is not None:
        position = found.end()
        kind = found.lastgroup
        if found["inner"] is not None:
            parts.append(query[done : found.start()])
            parts.append(_Hole(parse_path(found["path"].strip()), found["bang"] == "!"))
            done = position
        elif found["dollar"] is not None:
            position = _after(query, found["dollar"], position)
            _refuse_holes(query[found.start() : position])
        elif found["block"] is not None:
            position = _after_comment(query, position)
            _refuse_holes(query[found.start() : position])
        elif kind in {"escape", "literal", "name", "line"}:
            _refuse_holes(found[0])
        elif kind == "word":
            first_word = first_word or found[0].lower()
        elif kind == "end":
            raise PolicyError("expected one statement only")
        elif kind == "number":
            raise PolicyError("expected {{path}} in the place of $1")
        else:
            raise PolicyError("expected {{path}} or {{!path}}")
    if first_word not in _READS:
        raise PolicyError("expected a statement that reads: SELECT or WITH")
    parts.append(query[done:])
    return parts


def _after(query: str, end: str, position: int) -> int:
    found = query.find(end, position)
    if found < 0:
        raise PolicyError("a quoted text does not end")
    return found + len(end)


def _after_comment(query: str, position: int) -> int:
    """Return where a block comment ends; PostgreSQL's are nested."""
    depth = 1
    while depth:
        found = _BLOCK_MARK.search(query, position)
        if found is None:
            raise PolicyError("a comment does not end")
        depth += 1 if found[0] == "/*" else -1
        position = found.end()
    return position


def _refuse_holes(text: str) -> None:
    if _HOLE.search(text):
        raise PolicyError(_INSIDE)
