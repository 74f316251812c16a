"""Parses the part of FHIRPath that search parameters use into a small tree.

Names, `.` navigation, calls with arguments, `[n]`, `%resource`, literals and the operators
`|  as  is  and  =  !=`. Anything else is an ExpressionError.

Source: FHIRPath 2.0, Expressions; FHIR R4, SearchParameter.expression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


class ExpressionError(Exception):
    """The expression cannot be compiled; the text says why."""


@dataclass(frozen=True, slots=True)
class Name:
    """A member: of `owner`, or of the context when it stands first."""

    name: str
    owner: Tree | None = None


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Tree, ...]
    owner: Tree | None = None


@dataclass(frozen=True, slots=True)
class Index:
    owner: Tree
    position: int


@dataclass(frozen=True, slots=True)
class Variable:
    """%resource and the like, without the percent sign."""

    name: str


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Tree
    right: Tree


Tree = Name | Literal | Call | Index | Variable | Binary

_TOKEN = re.compile(
    r"""\s*(?: (?P<string>'(?:[^'\\]|\\.)*')
             | (?P<number>[0-9]+)
             | (?P<variable>%[A-Za-z][A-Za-z0-9]*)
             | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
             | (?P<symbol>!=|[.|()\[\],=]) )""",
    re.VERBOSE,
)
# Weakest first, as FHIRPath orders them.
_LEVELS = (("and",), ("=", "!="), ("|",), ("is", "as"))


def parse_expression(text: str) -> Tree:
    """Return the tree of one expression. Raises ExpressionError."""
    return _Parser(_tokens(text)).whole()


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ExpressionError(
                f"unexpected text at {position}: {text[position : position + 20]}"
            )
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


@dataclass(slots=True)
class _Parser:
    tokens: list[tuple[str, str]]
    position: int = 0

    def whole(self) -> Tree:
        tree = self._binary(0)
        if self.position < len(self.tokens):
            raise ExpressionError(f"unexpected {self._peek()}")
        return tree

    def _peek(self) -> str:
        return self.tokens[self.position][1] if self.position < len(self.tokens) else ""

    def _take(self, *wanted: str) -> str | None:
        """Consume and return the next token if it is one of these symbols or words."""
        if self.position < len(self.tokens):
            kind, value = self.tokens[self.position]
            if value in wanted and kind in ("symbol", "name"):
                self.position += 1
                return value
        return None

    def _expect(self, symbol: str) -> None:
        if self._take(symbol) is None:
            raise ExpressionError(f"expected {symbol} before {self._peek() or 'the end'}")

    def _binary(self, level: int) -> Tree:
        if level == len(_LEVELS):
            return self._postfix()
        tree = self._binary(level + 1)
        while operator := self._take(*_LEVELS[level]):
            tree = Binary(operator, tree, self._binary(level + 1))
        return tree

    def _postfix(self) -> Tree:
        tree = self._term()
        while True:
            if self._take("."):
                kind, value = self._next()
                if kind != "name":
                    raise ExpressionError(f"expected a name before {value}")
                tree = self._member(value, tree)
            elif self._take("["):
                kind, value = self._next()
                if kind != "number":
                    raise ExpressionError("an index must be a number")
                self._expect("]")
                tree = Index(tree, int(value))
            else:
                return tree

    def _term(self) -> Tree:
        kind, value = self._next()
        if kind == "string":
            return Literal(re.sub(r"\\(.)", r"\1", value[1:-1]))
        if kind == "number":
            return Literal(int(value))
        if kind == "variable":
            return Variable(value[1:])
        if kind == "name":
            if value in ("true", "false"):
                return Literal(value == "true")
            return self._member(value, None)
        if value == "(":
            tree = self._binary(0)
            self._expect(")")
            return tree
        raise ExpressionError(f"unexpected {value}")

    def _member(self, name: str, owner: Tree | None) -> Tree:
        if not self._take("("):
            return Name(name, owner)
        arguments: list[Tree] = []
        if not self._take(")"):
            arguments.append(self._binary(0))
            while self._take(","):
                arguments.append(self._binary(0))
            self._expect(")")
        return Call(name, tuple(arguments), owner)

    def _next(self) -> tuple[str, str]:
        if self.position >= len(self.tokens):
            raise ExpressionError("the expression ends too early")
        token = self.tokens[self.position]
        self.position += 1
        return token
