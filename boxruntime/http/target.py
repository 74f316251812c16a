"""The request target: path segments and query pairs.

The path that the router uses is the path that access policies see, so anything that two readers
could understand differently is refused: empty and dot segments, encoded slashes, control
characters. Source: authentication specification, "Request object".
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from boxruntime.http.messages import RequestError

_PLAIN = re.compile(rb"[A-Za-z0-9_\-~$:@!*',;=+()]+(?:\.[A-Za-z0-9_\-.~$:@!*',;=+()]+)?")
MAX_TARGET_BYTES = 32 * 1024


def origin_form(target: bytes) -> bytes:
    """Return path and query of a request target, which a proxy may send as a whole URL.

    Raises RequestError 400 for any other form.
    """
    if target[:1] == b"/":
        return target
    scheme, separator, rest = target.partition(b"://")
    authority, slash, path = rest.partition(b"/")
    if separator and scheme.lower() in {b"http", b"https"} and authority:
        return slash + path if slash else b"/"
    raise RequestError(400, "The request target is not valid.")


def split_path(raw: bytes) -> tuple[str, ...]:
    """Return the decoded segments of a path: b"/fhir/Patient/p1" -> ("fhir", "Patient", "p1").

    One trailing slash means nothing; "/" is (). Raises RequestError 400.
    """
    parts = raw.split(b"/")
    if parts[0]:
        raise RequestError(400, "The path must start with a slash.")
    if not parts[-1]:
        parts.pop()
    segments = []
    for part in parts[1:]:
        if _PLAIN.fullmatch(part):
            segments.append(part.decode("ascii"))
        else:
            segments.append(_decode_segment(part))
    return tuple(segments)


def _decode_segment(part: bytes) -> str:
    decoded = unquote_to_bytes(part)
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        raise RequestError(400, "The path is not UTF-8.") from None
    if not text or text in {".", ".."}:
        raise RequestError(400, "The path has an empty or a dot segment.")
    if "/" in text or "\\" in text or any(ord(c) < 32 or c == "\x7f" for c in text):
        raise RequestError(400, "The path has a character that is not allowed.")
    return text


def parse_query(raw: bytes) -> list[tuple[str, str]]:
    """Return the pairs of a query string or form body in order, decoded; "+" is a space.

    Raises RequestError 400 when the decoded bytes are not UTF-8.
    """
    pairs = []
    for item in raw.split(b"&"):
        if not item:
            continue
        name, _, value = item.partition(b"=")
        pairs.append((_decode_query(name), _decode_query(value)))
    return pairs


def _decode_query(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise RequestError(400, "The query is not UTF-8.") from None
    if "\x00" in text:
        raise RequestError(400, "The query has a character that is not allowed.")
    return text
