"""The paths of a FHIRPath Patch as trees: the part of FHIRPath that can name a place.

Steps, indexers, calls of functions, literals and the operators that conditions need; no
arithmetic, quantities or unions, which name no place.
Spec: http://hl7.org/fhirpath/N1/#grammar
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from boxruntime.fhir.patch.refusal import malformed

if TYPE_CHECKING:
    from boxruntime.fhir.outcome import OutcomeError

MAX_LENGTH = 4096
MAX_TOKENS = 400
MAX_DEPTH = 50


class Literal(msgspec.Struct, frozen=True):
    """A value: str, bool, Decimal; a date, dateTime or time is marked as one."""

    value: str | bool | Decimal
    is_date: bool = False


class Step(msgspec.Struct, frozen=True):
    """A member of what `source` gives; None = of the focus."""

    source: Tree | None
    name: str


class Index(msgspec.Struct, frozen=True):
    source: Tree
    number: Tree


class Apply(msgspec.Struct, frozen=True):
    """A function; `source` None = called on the focus."""

    source: Tree | None
    name: str
    arguments: tuple[Tree, ...]


class Infix(msgspec.Struct, frozen=True):
    operator: str
    left: Tree
    right: Tree


class Focus(msgspec.Struct, frozen=True):
    """What a condition is tried on: $this."""


class Whole(msgspec.Struct, frozen=True):
    """%resource and %context: the resource itself."""


class Nothing(msgspec.Struct, frozen=True):
    """An empty collection: {}."""


Tree: TypeAlias = "Literal | Step | Index | Apply | Infix | Focus | Whole | Nothing"

_TOKEN = re.compile(
    r"""\s*(?://[^\n]*(?:\n|$)|/\*.*?\*/|
    (?P<text>'(?:[^'\\]|\\.)*') |
    (?P<quoted>`(?:[^`\\]|\\.)+`) |
    (?P<date>@(?:T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?
        |\d{4}(?:-\d\d(?:-\d\d)?)?(?:T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)?(?:Z|[+-]\d\d:\d\d)?)?)) |
    (?P<number>\d+(?:\.\d+)?) |
    (?P<name>[$%]?[A-Za-z_][A-Za-z0-9_]*) |
    (?P<sign><=|>=|!=|!~|[.()\[\]{},=~<>-])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"implies"}),
    frozenset({"or", "xor"}),
    frozenset({"and"}),
    frozenset({"in", "contains"}),
    frozenset({"=", "~", "!=", "!~"}),
    frozenset({"<", ">", "<=", ">="}),
    frozenset({"is", "as"}),
)
"""Operators from the loosest to the tightest."""


@lru_cache(maxsize=256)
def parse_path(text: str) -> Tree:
    """Return the tree of a path. Raises OutcomeError INVALID."""
    if len(text) > MAX_LENGTH:
        raise malformed(f"A path has at most {MAX_LENGTH} characters.")
    parser = _Parser(_tokens(text))
    tree = parser.expression()
    parser.expect("")
    return tree


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return (kind, text) of each token; the last one is ("", "")."""
    tokens = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            raise _unreadable()
        if found.lastgroup is not None:
            tokens.append((found.lastgroup, found[found.lastgroup]))
        position = found.end()
    if len(tokens) > MAX_TOKENS:
        raise malformed("The path has too many steps.")
    return [*tokens, ("", "")]


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def expression(self, level: int = 0) -> Tree:
        if level == len(_LEVELS):
            return self._operand()
        if level == 0:
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise malformed("The path is nested too deeply.")
        left = self.expression(level + 1)
        while (operator := self._peek()) in _LEVELS[level]:
            self._position += 1
            left = Infix(operator, left, self.expression(level + 1))
        if level == 0:
            self._depth -= 1
        return left

    def expect(self, token: str) -> None:
        if self._peek() != token:
            raise _unreadable()
        self._position += 1

    def _operand(self) -> Tree:
        tree = self._term()
        while self._peek() in {".", "["}:
            if self._take()[1] == "[":
                tree = Index(tree, self.expression())
                self.expect("]")
            else:
                tree = self._invocation(tree)
        return tree

    def _term(self) -> Tree:
        kind, word = self._tokens[self._position]
        if kind == "text":
            self._position += 1
            return Literal(_unescaped(word))
        if kind == "date":
            self._position += 1
            return Literal(word[1:], is_date=True)
        if word == "-" or kind == "number":
            return self._number(negative=word == "-")
        if word in {"true", "false"} and kind == "name":
            self._position += 1
            return Literal(word == "true")
        if kind == "sign" and word == "(":
            self._position += 1
            tree = self.expression()
            self.expect(")")
            return tree
        if kind == "sign" and word == "{":
            self._position += 1
            self.expect("}")
            return Nothing()
        return self._invocation(None)

    def _number(self, *, negative: bool) -> Tree:
        if negative:
            self._position += 1
        kind, word = self._take()
        if kind != "number":
            raise _unreadable()
        return Literal(-Decimal(word) if negative else Decimal(word))

    def _invocation(self, source: Tree | None) -> Tree:
        kind, word = self._take()
        if kind == "quoted":
            return Step(source, _unescaped(word))
        if kind != "name":
            raise _unreadable()
        if word == "$this" and source is None:
            return Focus()
        if word in {"%resource", "%context"} and source is None:
            return Whole()
        if word[0] in "$%":
            raise malformed("The path has a variable that a patch does not know.")
        if self._peek() != "(":
            return Step(source, word)
        self._position += 1
        arguments: list[Tree] = []
        while self._peek() != ")":
            if arguments:
                self.expect(",")
            arguments.append(self.expression())
        self._position += 1
        return Apply(source, word, tuple(arguments))

    def _take(self) -> tuple[str, str]:
        token = self._tokens[self._position]
        if token[0]:
            self._position += 1
        return token

    def _peek(self) -> str:
        return self._tokens[self._position][1]


def _unreadable() -> OutcomeError:
    return malformed("The path is no FHIRPath that a patch may use.")


def _unescaped(token: str) -> str:
    def meant(found: re.Match[str]) -> str:
        escape = found[1]
        return chr(int(escape[1:], 16)) if len(escape) == 5 else _ESCAPED.get(escape, escape)

    return _ESCAPE.sub(meant, token[1:-1])
