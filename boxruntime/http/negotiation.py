"""Media types: which representation a body is in and which one the answer shall have.

Source: core specification, "Media types".
"""

from __future__ import annotations

from enum import StrEnum, unique
from functools import lru_cache

from boxruntime.http.messages import RequestError


@unique
class Format(StrEnum):
    """A representation the box reads and writes."""

    JSON = "json"
    YAML = "yaml"


_NAMED = {"json": Format.JSON, "yaml": Format.YAML}
_MEDIA = {
    "application/json": Format.JSON,
    "application/fhir+json": Format.JSON,
    "application/json+fhir": Format.JSON,
    "text/json": Format.JSON,
    "text/yaml": Format.YAML,
    "application/yaml": Format.YAML,
    "application/x-yaml": Format.YAML,
    "text/x-yaml": Format.YAML,
}
_FHIR_ONLY = {"application/fhir+xml", "application/xml+fhir", "application/fhir+turtle"}
"""Forms of a resource that a box does not write."""
_RANGES = {
    "*/*": (Format.JSON, Format.YAML),
    "*": (Format.JSON, Format.YAML),  # not in the grammar, but in Java's default header
    "application/*": (Format.JSON,),
    "text/*": (Format.YAML,),
}
_OWN = {
    Format.JSON: {"application/json", "application/fhir+json"},
    Format.YAML: {"text/yaml"},
}
"""The types that the answer may be sent as."""


def media_type(header: str | None) -> str:
    """Return the bare lower-case media type: 'text/yaml; charset=utf-8' -> 'text/yaml'."""
    if not header:
        return ""
    return header.partition(";")[0].strip().lower()


@lru_cache(maxsize=256)
def request_format(content_type: str | None) -> Format | None:
    """Return the format of a body, None when Content-Type is missing (try JSON, then YAML).

    Raises RequestError 415.
    """
    name = media_type(content_type)
    if not name:
        return None
    found = _MEDIA.get(name)
    if found is None:
        raise RequestError(415, "The Content-Type is not supported.")
    return found


@lru_cache(maxsize=256)
def answer_format(accept: str | None, format_parameter: str | None) -> Format:
    """Return the format to answer in: `_format` beats `Accept`; absent means JSON.

    Raises RequestError 406.
    """
    if format_parameter:
        name = media_type(format_parameter.replace(" ", "+"))
        found = _NAMED.get(name) or _MEDIA.get(name)
        if found is None:
            raise RequestError(406, "The requested _format is not supported.")
        return found
    if not accept or accept == "*/*":
        return Format.JSON
    entries = _entries(accept)
    if not entries:
        return Format.JSON
    refused = {name for name, quality in entries if not quality > 0}
    best: tuple[float, Format] | None = None
    for name, quality in entries:
        for found in _meant_by(name, refused):
            if quality > 0 and (best is None or quality > best[0]):
                best = (quality, found)
    if best is None:
        raise RequestError(406, "None of the accepted media types is supported.")
    return best[1]


def names_fhir(accept: str | None) -> bool:
    """Tell whether an Accept header asks for a resource rather than for what it holds."""
    return any(name in _MEDIA and quality > 0 for name, quality in _entries(accept or ""))


def names_html(accept: str | None) -> bool:
    """Tell whether an Accept header asks for a page by name, as browsers do and programs do not."""
    return any(name == "text/html" and quality > 0 for name, quality in _entries(accept or ""))


def names_content(accept: str | None) -> bool:
    """Tell whether an Accept header lets something else in than forms of a resource."""
    return any(name not in _FHIR_ONLY and quality > 0 for name, quality in _entries(accept or ""))


def _entries(accept: str) -> list[tuple[str, float]]:
    """Return names and qualities; empty members of the list say nothing (RFC 9110, 5.6.1)."""
    entries = []
    for entry in accept.split(","):
        name, _, parameters = entry.partition(";")
        if name.strip():
            entries.append((name.strip().lower(), _quality(parameters)))
    return entries


def _meant_by(name: str, refused: set[str]) -> list[Format]:
    """Return the formats that an entry means; a range leaves out what is refused by name."""
    found = _MEDIA.get(name)
    if found is not None:
        return [found]
    return [each for each in _RANGES.get(name, ()) if not refused & _OWN[each]]


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
