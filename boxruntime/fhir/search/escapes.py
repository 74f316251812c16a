r"""Splitting search values: "," means OR, "$" joins components, "|" joins parts.

A backslash makes `, $ | \` literal and is itself kept before anything else.
Source: search specification, 2 Requests, Escaping; FHIR R4 search, 3.1.1.4.0.4.
"""

from __future__ import annotations

_ESCAPED = frozenset(",$|\\")


def split_escaped(text: str, separator: str) -> list[str]:
    """Split at each unescaped separator; the parts keep their escapes."""
    if "\\" not in text:
        return text.split(separator)
    parts: list[str] = []
    start = position = 0
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] in _ESCAPED:
            position += 2
            continue
        if text[position] == separator:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    parts.append(text[start:])
    return parts


def unescape(text: str) -> str:
    """Return the text with its escapes resolved."""
    if "\\" not in text:
        return text
    result: list[str] = []
    position = 0
    while position < len(text):
        following = text[position + 1 : position + 2]
        if text[position] == "\\" and following and following in _ESCAPED:
            position += 1
        result.append(text[position])
        position += 1
    return "".join(result)
