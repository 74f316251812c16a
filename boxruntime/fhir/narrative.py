"""Takes active content out of narratives: scripts, event handlers, script links.

Source: core specification, "When and on what" (Stripping); FHIR R4, Narrative.
"""

from __future__ import annotations

import re
from typing import Any

import nh3

TAGS = frozenset(
    {
        "a", "abbr", "acronym", "address", "area", "b", "bdo", "big", "blockquote", "br",
        "caption", "center", "cite", "code", "col", "colgroup", "dd", "del", "dfn", "dir",
        "div", "dl", "dt", "em", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i",
        "img", "ins", "kbd", "li", "map", "menu", "ol", "p", "pre", "q", "s", "samp",
        "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot",
        "th", "thead", "tr", "tt", "u", "ul", "var",
    }
)  # fmt: skip
"""What FHIR allows: HTML 4.0 chapters 7-11 and 15, links and images. Source: invariant txt-1."""

_PLAIN_ATTRIBUTES = frozenset(
    {
        "abbr", "accesskey", "align", "alt", "axis", "bgcolor", "border", "cellpadding",
        "cellspacing", "char", "charoff", "charset", "class", "clear", "color", "cols",
        "colspan", "compact", "coords", "datetime", "dir", "face", "frame", "headers",
        "height", "hreflang", "hspace", "id", "ismap", "lang", "link", "name", "noshade",
        "nowrap", "rel", "rev", "rows", "rowspan", "rules", "scope", "shape", "size",
        "span", "start", "style", "summary", "tabindex", "target", "text", "title", "type",
        "valign", "value", "vspace", "width", "xml:lang", "xml:space", "xmlns",
    }
)  # fmt: skip
_URL_ATTRIBUTES = frozenset({"href", "src", "cite", "longdesc", "usemap", "background"})
ATTRIBUTES = _PLAIN_ATTRIBUTES | _URL_ATTRIBUTES
_SCHEMES = frozenset({"http", "https", "mailto", "tel", "ftp", "urn", "cid", "data"})
_VOID = "area|br|col|hr|img"


def _alternatives(names: frozenset[str]) -> str:
    return "|".join(sorted(map(re.escape, names)))


def _value(inside: str) -> str:
    """One attribute value in either kind of quotes; `{q}` is the quote it must not contain."""
    return "|".join(quote + inside.replace("{q}", quote) + quote for quote in "\"'")


_STYLE_SCRIPT = re.compile(
    r"expression\s*\(|javascript:|vbscript:|behavior\s*:|-moz-binding", re.IGNORECASE
)
_URL = (
    r"\s*+(?:(?:https?|mailto|tel|ftp|urn|cid):[^<{q}]*+"
    r"|data:image/(?:png|jpeg|gif|webp|bmp)[;,][^<{q}]*+"
    # Relative: nothing that could still become a scheme, entities included.
    r"|[^<{q}:&/?#]*+(?:[/?#][^<{q}]*+)?)"
)
_TAG = (
    rf"<(?:{_alternatives(TAGS)})"
    rf"(?:\s++(?:(?:{_alternatives(_PLAIN_ATTRIBUTES)})\s*+=\s*+(?:{_value('[^<{q}]*+')})"
    rf"|(?:{_alternatives(_URL_ATTRIBUTES)})\s*+=\s*+(?:{_value(_URL)})))*+\s*+/?>"
    rf"|</(?:{_alternatives(TAGS)})\s*+>"
    r"|<!--(?:(?!--)[^<>])*+-->"
)
_CLEAN_TAG = re.compile(_TAG)
_CLEAN = re.compile(rf"(?:[^<]++|{_TAG})*+")
"""Matches a narrative in which everything is allowed. Possessive throughout: linear time."""
_TOKEN = re.compile(r"<[^>]*>?")

_SELF_CLOSED = re.compile(r"<([a-z][a-z0-9]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*?)\s*/>")
_VOID_TAG = re.compile(rf"<((?:{_VOID})(?:\s[^<>]*)?)>")


def clean_narrative(source: dict[str, Any], _path: Any = (), _state: Any = None) -> dict[str, Any]:
    """Return the Narrative with a harmless `div`; itself when there is nothing to remove."""
    div = source.get("div")
    if not isinstance(div, str):
        return source
    clean = clean_div(div)
    return source if clean is div else {**source, "div": clean}


def clean_div(div: str) -> str:
    """Return XHTML without active content; the same object when there was none.

    0.1 us per tag to look; what has to be cleaned takes a round through an HTML parser and comes
    back as XHTML again (`xmlns` kept, void elements closed, no named entities).
    """
    if _is_clean(div):
        return div
    # An HTML parser takes <p/> for an opening tag: write it as XHTML means it.
    opened = _SELF_CLOSED.sub(_open_and_close, div)
    html = _cleaner.clean(opened)
    return _VOID_TAG.sub(r"<\1/>", html).replace("&nbsp;", "&#160;")


def _is_clean(div: str) -> bool:
    # Narratives repeat few different tags; a ">" inside an attribute needs the whole grammar.
    tokens = set(_TOKEN.findall(div))
    if all(map(_CLEAN_TAG.fullmatch, tokens)):
        return not any("style" in token and _STYLE_SCRIPT.search(token) for token in tokens)
    return _CLEAN.fullmatch(div) is not None and _STYLE_SCRIPT.search(div) is None


def _open_and_close(match: re.Match[str]) -> str:
    name = match[1]
    if re.fullmatch(_VOID, name):
        return match[0]
    return f"<{name}{match[2]}></{name}>"


def _allowed(_tag: str, attribute: str, value: str) -> str | None:
    if attribute == "style" and _STYLE_SCRIPT.search(value):
        return None
    if attribute in _URL_ATTRIBUTES and re.match(r"\s*data:(?!image/)", value, re.IGNORECASE):
        return None
    return value


_cleaner = nh3.Cleaner(
    tags=set(TAGS),
    clean_content_tags={"script", "style", "iframe", "object", "embed", "noscript", "template"},
    attributes={"*": set(ATTRIBUTES)},
    attribute_filter=_allowed,
    url_schemes=set(_SCHEMES),
    link_rel=None,
)
