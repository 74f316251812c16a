"""A script of SQL as its statements, and which of them would end or begin a transaction.

Source: search specification, 11.1.
"""

from __future__ import annotations

import re

from boxruntime.telemetry.sql_text import Kind, tokens

_CONTROL = frozenset(
    {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"}
)
_ROUTINES = frozenset({"function", "procedure"})
_BLOCK_LINE = re.compile(r"^[ \t]*----[ \t]*\r?$", re.MULTILINE)
_HEAD_WORDS = 4  # CREATE OR REPLACE FUNCTION


def blocks_of(text: str) -> list[str]:
    """Return the parts between lines of `----`; empty ones are left out."""
    return [block.strip() for block in _BLOCK_LINE.split(text) if block.strip()]


def statements_of(script: str) -> list[str]:
    """Return the statements of a script without their semicolons; comments alone are none.

    A semicolon in brackets, or in the body of a routine in standard SQL (BEGIN ATOMIC … END),
    ends no statement.
    """
    statements: list[str] = []
    pieces: list[str] = []
    words: list[str] = []
    brackets = depth = 0
    has_code = False
    for kind, text in tokens(script):
        if text == ";" and kind is Kind.OTHER and brackets <= 0 and depth == 0:
            if has_code:
                statements.append("".join(pieces).strip())
            pieces, words, brackets, has_code = [], [], 0, False
            continue
        pieces.append(text)
        has_code = has_code or not (kind is Kind.COMMENT or text.isspace())
        if kind is Kind.OTHER:
            brackets += (text == "(") - (text == ")")
        elif kind is Kind.WORD:
            word = text.lower()
            words.append(word)
            if _makes_routine(words):
                depth += (word == "begin") or (word == "case" and depth > 0)
                depth -= word == "end" and depth > 0
    if has_code:
        statements.append("".join(pieces).strip())
    return statements


def _makes_routine(words: list[str]) -> bool:
    return words[0] == "create" and not _ROUTINES.isdisjoint(words[:_HEAD_WORDS])


def controls_transaction(statement: str) -> bool:
    """Tell whether a statement begins or ends a transaction, or a part of one."""
    words = [text.lower() for kind, text in tokens(statement) if kind is Kind.WORD]
    if not words:
        return False
    return words[0] in _CONTROL or words[:2] == ["prepare", "transaction"]


def copies_over_wire(statement: str) -> bool:
    """Tell whether a statement is a COPY from or to the client, who has no such channel."""
    words = [text.lower() for kind, text in tokens(statement) if kind is Kind.WORD]
    return words[:1] == ["copy"] and not {"stdin", "stdout"}.isdisjoint(words)
