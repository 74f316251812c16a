"""SQL text under construction: every value is a bound parameter, every name is quoted.

Nothing else in this package writes a quote character or a placeholder.
Source: search specification, 2.1 (`query-sql`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.json_text import encode_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

Bound = str | int | float | list[str]


class Statement(msgspec.Struct, frozen=True):
    """SQL with $1 placeholders, and the parameters in their order."""

    sql: str
    parameters: tuple[Bound, ...] = ()

    def as_jdbc(self) -> list[Any]:
        """Return `[sql, param, …]` with `?` placeholders, as `query-sql` shows it."""
        shown: list[Any] = []

        def placeholder(found: re.Match[str]) -> str:
            if found["quoted"] is not None:
                return found[0]
            if found["mark"] is not None:
                return "??"
            shown.append(self.parameters[int(found["number"]) - 1])
            return "?"

        sql = _PLACEHOLDER.sub(placeholder, self.sql)
        return [sql, *shown]


_PLACEHOLDER = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<mark>\?)|\$(?P<number>\d+)"""
)


class Binder:
    """Collects the parameters of one statement; equal values share a placeholder."""

    def __init__(self) -> None:
        self.params: list[Bound] = []
        self._known: dict[tuple[str, Any], str] = {}
        self._aliases = 0

    def text(self, value: str) -> str:
        return self._bind("text", value)

    def jsonb(self, value: Any) -> str:
        """Bind a JSON value: it travels as text, so that no codec is needed."""
        return self._bind("text", encode_json(value).decode()) + "::jsonb"

    def timestamp(self, value: str) -> str:
        return self._bind("text", value) + "::timestamptz"

    def numeric(self, value: Decimal) -> str:
        return self._bind("text", format(value, "f")) + "::numeric"

    def integer(self, value: int) -> str:
        return self._bind("bigint", value)

    def double(self, value: float) -> str:
        return self._bind("float8", value)

    def texts(self, values: Sequence[str]) -> str:
        key = ("text[]", tuple(values))
        return self._place(key, list(values))

    def alias(self) -> str:
        """Return a table alias not used yet in this statement."""
        self._aliases += 1
        return f"t{self._aliases}"

    def statement(self, sql: str) -> Statement:
        """Return the finished statement, its placeholders numbered as they appear.

        What was bound for a test that was not written after all is dropped.
        """
        used: dict[int, int] = {}

        def renumber(found: re.Match[str]) -> str:
            if found["number"] is None:
                return found[0]
            number = int(found["number"])
            return f"${used.setdefault(number, len(used) + 1)}"

        text = _PLACEHOLDER.sub(renumber, sql)
        return Statement(text, tuple(self.params[number - 1] for number in used))

    def _bind(self, sql_type: str, value: str | float) -> str:
        return self._place((sql_type, value), value)

    def _place(self, key: tuple[str, Any], value: Bound) -> str:
        placeholder = self._known.get(key)
        if placeholder is None:
            self.params.append(value)
            placeholder = self._known[key] = f"${len(self.params)}::{key[0]}"
        return placeholder


def literal(text: str) -> str:
    """Return a SQL string literal. Only for names from the metadata, never for values."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
