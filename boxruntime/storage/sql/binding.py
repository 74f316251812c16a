"""SQL with values: each becomes a bound parameter of the type that its place has in the statement.

Values travel as text, as a client of unknown types would send them: `{{params.date}} BETWEEN
(…)::date AND …` compares dates. PostgreSQL is asked for the types first; then each placeholder is
cast to its own.
Source: search specification, 8 AidboxQuery, 11.1.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from boxruntime.fhir.json_text import encode_json
from boxruntime.telemetry.sql_text import Kind, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncpg.prepared_stmt import PreparedStatement

MAX_PARAMETERS = 32_767  # what the protocol can count
_OPEN = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_UNDETERMINED = re.compile(r"\$(\d+)")
_MAY_BE_ANYTHING = frozenset({"text", "unknown"})
_FALLBACKS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "bigint"), (float, "numeric"), (Decimal, "numeric"), (dict, "jsonb"),
    (list, "jsonb"),
)  # fmt: skip


class Bound(msgspec.Struct, frozen=True):
    """Pieces of SQL with a value between each two of them."""

    pieces: tuple[str, ...]
    values: tuple[Any, ...] = ()

    def text(self, casts: tuple[str, ...] | None = None) -> str:
        """Return the SQL with $1 placeholders, each cast to its type if these are given."""
        shown = [self.pieces[0]]
        for number, piece in enumerate(self.pieces[1:], 1):
            cast = f"(${number}::text)::{casts[number - 1]}" if casts else f"${number}"
            # Spaces keep the placeholder apart from what stands beside it.
            shown.append(f" {cast} {piece}")
        return "".join(shown)

    def as_jdbc(self) -> list[Any]:
        """Return `[sql, param, …]` with `?` placeholders, as answers show it."""
        return ["?".join(doubled(piece) for piece in self.pieces), *self.values]

    def __add__(self, other: Bound) -> Bound:
        middle = self.pieces[-1] + other.pieces[0]
        return Bound((*self.pieces[:-1], middle, *other.pieces[1:]), (*self.values, *other.values))


class TooManyParametersError(Exception):
    """The statement has more placeholders than the protocol can count."""


def plain(sql: str) -> Bound:
    """Return SQL without values."""
    return Bound((sql,))


def value(one: Any) -> Bound:
    """Return a value where SQL expects one."""
    return Bound(("", ""), (one,))


def fill(template: str, find: Callable[[str], Any], inline: Callable[[str], str | None]) -> Bound:
    """Return the statement of a template: each `{{path}}` outside of quotes becomes a value.

    `find` gives the value at a path; `inline` gives SQL that shall stand at a path instead.
    """
    pieces = [""]
    values: list[Any] = []
    for is_code, text in _runs(template):
        rest = text
        if is_code:
            position = 0
            for mark in _OPEN.finditer(text):
                pieces[-1] += text[position : mark.start()]
                position = mark.end()
                inlined = inline(mark[1])
                if inlined is not None:
                    pieces[-1] += inlined
                    continue
                values.append(find(mark[1]))
                pieces.append("")
            rest = text[position:]
        pieces[-1] += rest
    return _counted(pieces, values)


def from_jdbc(sql: str, values: list[Any]) -> Bound | None:
    """Return the statement of `[sql, param, …]`, None if the numbers differ.

    A `?` outside of quotes and comments is a placeholder, `??` the operator.
    """
    pieces = [""]
    for is_code, text in _runs(sql):
        if not is_code:
            pieces[-1] += text
            continue
        first, *more = text.replace("??", "\0").split("?")
        pieces[-1] += first.replace("\0", "?")
        pieces.extend(piece.replace("\0", "?") for piece in more)
    return _counted(pieces, values) if len(pieces) == len(values) + 1 else None


def _counted(pieces: list[str], values: list[Any]) -> Bound:
    if len(values) > MAX_PARAMETERS:
        raise TooManyParametersError
    return Bound(tuple(pieces), tuple(values))


def _runs(sql: str) -> list[tuple[bool, str]]:
    """Return the text in pieces, and of each whether it is code."""
    runs: list[tuple[bool, str]] = []
    for kind, text in tokens(sql):
        is_code = kind not in {Kind.STRING, Kind.COMMENT, Kind.NAME}
        if runs and runs[-1][0] is is_code:
            runs[-1] = (is_code, runs[-1][1] + text)
        else:
            runs.append((is_code, text))
    return runs


def doubled(sql: str) -> str:
    """Return SQL in which a `?` is no placeholder."""
    return "".join(text.replace("?", "??") if is_code else text for is_code, text in _runs(sql))


async def prepare(connection: asyncpg.Connection, bound: Bound) -> tuple[str, list[str | None]]:
    """Return the SQL whose placeholders are cast, and the values as text.

    Raises asyncpg.PostgresError for a statement that cannot be.
    """
    if not bound.values:
        return bound.pieces[0], []
    known: dict[int, str] = {}
    while True:
        try:
            asked = await _attempt(connection, _asking(bound, known))
        except (
            asyncpg.IndeterminateDatatypeError,
            asyncpg.AmbiguousFunctionError,
        ) as error:
            # "could not determine data type of parameter $1": nothing at its place tells.
            place = _UNDETERMINED.search(error.message or "")
            if place is None or int(place[1]) in known:
                raise
            known[int(place[1])] = _fallback(bound.values[int(place[1]) - 1])
        else:
            break
    inferred = []
    wished = []
    texts = []
    for number, (each, type_) in enumerate(
        zip(bound.values, asked.get_parameters(), strict=True), 1
    ):
        inferred.append(known.get(number) or _named(type_))
        is_open = type_.name in _MAY_BE_ANYTHING and number not in known
        wished.append(_fallback(each) if is_open else inferred[-1])
        is_array = type_.kind == "array" and number not in known
        texts.append(_array_text(each) if is_array and isinstance(each, list) else _text(each))
    if wished != inferred:
        # Where any type will do a number stays a number; `? = ANY(?)` is about texts all the same.
        try:
            await _attempt(connection, bound.text(tuple(wished)))
        except asyncpg.PostgresSyntaxError:
            raise
        except asyncpg.SyntaxOrAccessError:
            wished = inferred
    return bound.text(tuple(wished)), texts


async def _attempt(connection: asyncpg.Connection, sql: str) -> PreparedStatement:
    """Prepare a statement; that it fails does not end the transaction it would be in."""
    if not connection.is_in_transaction():
        return await connection.prepare(sql)
    await connection.execute("SAVEPOINT box_attempt")
    try:
        return await connection.prepare(sql)
    except asyncpg.PostgresError:
        await connection.execute("ROLLBACK TO SAVEPOINT box_attempt")
        raise
    finally:
        if not connection.is_closed():
            await connection.execute("RELEASE SAVEPOINT box_attempt")


def _asking(bound: Bound, known: dict[int, str]) -> str:
    shown = [bound.pieces[0]]
    for number, piece in enumerate(bound.pieces[1:], 1):
        cast = f"::{known[number]}" if number in known else ""
        shown.append(f" ${number}{cast} {piece}")
    return "".join(shown)


def _fallback(each: Any) -> str:
    return next((name for kind, name in _FALLBACKS if isinstance(each, kind)), "text")


def _named(type_: asyncpg.Type) -> str:
    name, brackets = (
        (type_.name.removesuffix("[]"), "[]") if type_.kind == "array" else (type_.name, "")
    )
    schema, name = (part.replace('"', '""') for part in (type_.schema, name))
    return f'"{schema}"."{name}"{brackets}'


def _text(each: Any) -> str | None:
    if each is None or isinstance(each, str):
        return each
    if isinstance(each, Decimal):
        return format(each, "f")
    return encode_json(each).decode()


def _array_text(items: list[Any]) -> str:
    """Return an array literal: ["a", null] -> {"a",NULL}."""
    shown = []
    for each in items:
        if isinstance(each, list):
            shown.append(_array_text(each))
            continue
        text = _text(each)
        quoted = "NULL"
        if text is not None:
            quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        shown.append(quoted)
    return "{" + ",".join(shown) + "}"


def table_name(resource_type: str) -> str:
    """Return the quoted table of a resource type."""
    return '"' + resource_type.lower().replace('"', '""') + '"'
