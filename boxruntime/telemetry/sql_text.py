"""The tokens of an SQL text as PostgreSQL sees them: what is quoted is told from what is code.

Source: PostgreSQL manual, "Lexical Structure".
"""

from __future__ import annotations

import re
from enum import Enum, auto, unique
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


@unique
class Kind(Enum):
    """What a token is; OTHER is one character that begins none of the others."""

    COMMENT = auto()
    STRING = auto()
    NAME = auto()
    """A quoted identifier."""
    WORD = auto()
    NUMBER = auto()
    PARAMETER = auto()
    OTHER = auto()


class Token(NamedTuple):
    kind: Kind
    text: str


_TOKEN = re.compile(
    r"""
    (?P<COMMENT>--[^\n]*|/\*)
    |(?P<STRING>[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*(?:'|\Z|\\\Z)
      |'[^']*(?:''[^']*)*(?:'|\Z)
      |\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z))
    |(?P<NAME>"[^"]*(?:""[^"]*)*(?:"|\Z))
    |(?P<WORD>[^\W\d][\w$]*)
    |(?P<NUMBER>\d[\w.]*|\.\d\w*)
    |(?P<PARAMETER>\$\d+)
    |(?P<OTHER>.)
    """,
    re.DOTALL | re.VERBOSE,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


def tokens(sql: str) -> Iterator[Token]:
    """Return the tokens of a text; together they are the text. What is not closed goes to its end."""
    position = 0
    while (found := _TOKEN.match(sql, position)) is not None:
        kind = Kind[found.lastgroup or "STRING"] if found.lastgroup != "tag" else Kind.STRING
        end = found.end()
        if kind is Kind.COMMENT and found[0] == "/*":
            end = _end_of_comment(sql, end)
        yield Token(kind, sql[position:end])
        position = end


def _end_of_comment(sql: str, position: int) -> int:
    """Return where a block comment ends; they nest."""
    depth = 1
    while depth and (mark := _COMMENT_MARK.search(sql, position)) is not None:
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return len(sql) if depth else position


def masked(sql: str) -> str:
    """Return the text without what may be a value: literals, numbers and comments."""
    shown = []
    for kind, text in tokens(sql):
        if kind in {Kind.STRING, Kind.NUMBER}:
            shown.append("?")
        else:
            shown.append(" " if kind is Kind.COMMENT else text)
    return "".join(shown)
