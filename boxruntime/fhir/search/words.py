"""The word language of `_text` and `_content`.

    any   = all ("OR" all)*
    all   = unary (["AND"] unary)*
    unary = "NOT" unary | "(" any ")" | word | quoted phrase

Source: search specification, 6.3.
"""

from __future__ import annotations

import re

from boxruntime.fhir.search.query import Word, WordAll, WordAny, WordNot, Words
from boxruntime.fhir.search.values import MalformedValueError

_TOKEN = re.compile(r'\s*(?:(?P<mark>[()])|"(?P<phrase>[^"]*)"|(?P<word>[^\s()"]+))')
_MAX_TOKENS = 200


def parse_words(text: str) -> Words:
    """Parse a word expression. Raises MalformedValueError."""
    reader = _Reader(_tokens(text))
    words = reader.any(0)
    if reader.peek() is not None:
        raise MalformedValueError("no word expression")
    return words


def _tokens(text: str) -> list[tuple[str, str]]:
    text = text.strip()
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.end() == position or len(tokens) >= _MAX_TOKENS:
            raise MalformedValueError("no word expression")
        kind = str(found.lastgroup)
        content = found[kind]
        if kind == "word" and content in ("AND", "OR", "NOT"):
            kind = content
        tokens.append((kind, content))
        position = found.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0

    def peek(self) -> tuple[str, str] | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise MalformedValueError("no word expression: it ends too early")
        self._position += 1
        return token

    def any(self, depth: int) -> Words:
        if depth > 20:
            raise MalformedValueError("no word expression: it is nested too deeply")
        parts = [self.all(depth)]
        while self.peek() == ("OR", "OR"):
            self.take()
            parts.append(self.all(depth))
        return parts[0] if len(parts) == 1 else WordAny(tuple(parts))

    def all(self, depth: int) -> Words:
        parts = [self.unary(depth)]
        while (token := self.peek()) is not None and token[0] != "OR" and token != ("mark", ")"):
            if token[0] == "AND":
                self.take()
            parts.append(self.unary(depth))
        return parts[0] if len(parts) == 1 else WordAll(tuple(parts))

    def unary(self, depth: int) -> Words:
        kind, content = self.take()
        if kind == "NOT":
            if depth > 20:
                raise MalformedValueError("no word expression: it is nested too deeply")
            return WordNot(self.unary(depth + 1))
        if kind == "mark" and content == "(":
            inner = self.any(depth + 1)
            if self.take() != ("mark", ")"):
                raise MalformedValueError("no word expression: a parenthesis is open")
            return inner
        if kind in ("word", "phrase") and content.strip():
            return Word(content)
        raise MalformedValueError("no word expression")
