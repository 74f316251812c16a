"""The grammar of `_filter`: an expression as a tree, nothing resolved.

    filter = path SP op SP value | filter SP ("and"|"or") SP filter | "not" "(" filter ")"
           | "(" filter ")"
    path   = name ("[" filter "]")? ("." path)?  |  dot expression

`and` binds tighter than `or`.
Source: search specification, 6.4; FHIR R4 search_filter.
"""

from __future__ import annotations

import re
from enum import StrEnum, unique
from typing import TypeAlias

import msgspec

from boxruntime.fhir.search.values import MalformedValueError

MAX_TESTS = 100
MAX_DEPTH = 20


@unique
class Operator(StrEnum):
    EQ = "eq"
    NE = "ne"
    GT = "gt"
    LT = "lt"
    GE = "ge"
    LE = "le"
    SA = "sa"
    EB = "eb"
    AP = "ap"
    CO = "co"
    SW = "sw"
    EW = "ew"
    PR = "pr"
    PO = "po"
    SS = "ss"
    SB = "sb"
    IN = "in"
    NI = "ni"
    RE = "re"


class Hop(msgspec.Struct, frozen=True):
    """One name of a path, and what must hold on the way."""

    name: str
    condition: Filter | None = None


class FilterTest(msgspec.Struct, frozen=True):
    """`quoted`: the value was a string literal; its text is what it says, without escapes."""

    path: tuple[Hop, ...]
    operator: Operator
    value: str
    quoted: bool


class FilterNot(msgspec.Struct, frozen=True):
    inner: Filter


class FilterAll(msgspec.Struct, frozen=True):
    parts: tuple[Filter, ...]


class FilterAny(msgspec.Struct, frozen=True):
    parts: tuple[Filter, ...]


Filter: TypeAlias = FilterTest | FilterNot | FilterAll | FilterAny

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?::[A-Za-z]+)?")
_DOT = re.compile(r"\.[A-Za-z0-9_.]+")
_WORD = re.compile(r"[a-z]+(?![A-Za-z0-9_.:-])")
_BARE = re.compile(r"[^\s()\[\]\"']+")
_STRING = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)


def parse_filter(text: str) -> Filter:
    """Parse a whole expression. Raises MalformedValueError."""
    reader = _Reader(text)
    found = reader.any(0)
    reader.skip()
    if reader.position != len(text):
        raise MalformedValueError("no filter expression")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.tests = 0

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.position)
        self.position = found.end() if found else self.position

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.position)
        if found is not None:
            self.position = found.end()
        return found

    def word(self, *words: str) -> bool:
        """Take one of the words if it stands here."""
        self.skip()
        found = _WORD.match(self.text, self.position)
        if found is None or found[0] not in words:
            return False
        self.position = found.end()
        return True

    def mark(self, mark: str) -> bool:
        self.skip()
        if not self.text.startswith(mark, self.position):
            return False
        self.position += len(mark)
        return True

    def expect(self, mark: str) -> None:
        if not self.mark(mark):
            raise MalformedValueError(f"no filter expression: expected {mark}")

    def any(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise MalformedValueError("no filter expression: it is nested too deeply")
        parts = [self.all(depth)]
        while self.word("or"):
            parts.append(self.all(depth))
        return parts[0] if len(parts) == 1 else FilterAny(tuple(parts))

    def all(self, depth: int) -> Filter:
        parts = [self.one(depth)]
        while self.word("and"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else FilterAll(tuple(parts))

    def one(self, depth: int) -> Filter:
        start = self.position
        if self.word("not"):
            if self.mark("("):
                inner = self.any(depth + 1)
                self.expect(")")
                return FilterNot(inner)
            self.position = start  # a parameter may be called so
        if self.mark("("):
            inner = self.any(depth + 1)
            self.expect(")")
            return inner
        return self.test(depth)

    def test(self, depth: int) -> FilterTest:
        self.tests += 1
        if self.tests > MAX_TESTS:
            raise MalformedValueError("no filter expression: it has too many tests")
        path = self.path(depth)
        self.skip()
        operator = self.take(_WORD)
        if operator is None or operator[0] not in set(Operator):
            raise MalformedValueError("no filter expression: expected an operator")
        self.skip()
        string = self.take(_STRING)
        if string is not None:
            content = string[1] if string[1] is not None else string[2]
            value, quoted = re.sub(r"\\(.)", r"\1", content, flags=re.DOTALL), True
        else:
            bare = self.take(_BARE)
            if bare is None:
                raise MalformedValueError("no filter expression: expected a value")
            value, quoted = bare[0], False
        return FilterTest(path, Operator(operator[0]), value, quoted)

    def path(self, depth: int) -> tuple[Hop, ...]:
        self.skip()
        dot = self.take(_DOT)
        if dot is not None:
            return (Hop(dot[0]),)
        hops: list[Hop] = []
        while True:
            name = self.take(_NAME)
            if name is None or len(hops) > MAX_DEPTH:
                raise MalformedValueError("no filter expression: expected a parameter")
            condition = None
            if self.text.startswith("[", self.position):
                self.position += 1
                condition = self.any(depth + 1)
                self.expect("]")
            hops.append(Hop(name[0], condition))
            if not self.text.startswith(".", self.position):
                return tuple(hops)
            self.position += 1
