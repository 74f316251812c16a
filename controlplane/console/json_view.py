"""JSON text as HTML: coloured, and with references to other resources as links."""

from __future__ import annotations

import re

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?P<colon>\s*:)'
    r'|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d[\d.eE+-]*)"
    r"|(?P<word>true|false|null)"
    r"|(?P<other>[^\"\dtfn-]+|.)",
    re.DOTALL,
)
_REFERENCE = re.compile(r'"([A-Z][A-Za-z0-9]{1,63})/([A-Za-z0-9\-._]{1,255})"')


def render_json(text: str, resources_path: str) -> SafeString:
    """Return the JSON text as HTML, every piece of it escaped.

    `resources_path` is where the box's resources are browsed; a local reference links there.
    """
    pieces: list[str] = []
    key = ""
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "colon":
            key = match["key"]
            pieces.append(format_html('<span class="j-key">{}</span>{}', key, match["colon"]))
        elif kind == "text":
            pieces.append(_render_text(match["text"], key, resources_path))
        elif kind in ("number", "word"):
            pieces.append(format_html('<span class="j-{}">{}</span>', kind, match[0]))
        else:
            pieces.append(escape(match[0]))
    return mark_safe("".join(pieces))  # noqa: S308 - each piece was escaped above


def _render_text(text: str, key: str, resources_path: str) -> str:
    reference = _REFERENCE.fullmatch(text) if key == '"reference"' else None
    if reference is None:
        return format_html('<span class="j-text">{}</span>', text)
    path = f"{resources_path}/{reference[1]}/{reference[2]}"
    return format_html('<a class="j-text" href="{}">{}</a>', path, text)
