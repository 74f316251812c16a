"""Removes what says nothing: null, {} and [].

Source: core specification, "When and on what" (Stripping).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from boxruntime.fhir.json_text import encode_json

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, Metadata

_Value = TypeVar("_Value")
OpenMembers = dict[str, Any]
"""Member -> {} if its content is free, else the tree of what lies deeper."""
_NOTHING: OpenMembers = {}


def strip_empty(value: _Value) -> _Value:
    """Return the value without null, {} and [], at any depth; empty strings stay (and fail).

    A null array item survives when the sibling `_key` (or, in a `_key` array, the plain) array
    exists. A value with nothing to strip is returned itself: about 2 us for a 2 kB Patient.
    """
    return strip_encoded(value, encode_json(value))


def strip_encoded(value: _Value, text: bytes, verbatim: OpenMembers = _NOTHING) -> _Value:
    """Do the same for a caller who has the value as compact JSON at hand.

    Members in `verbatim` keep what they hold: templates, schemas and paths mean their nulls.
    """
    if not (b"null" in text or b"{}" in text or b"[]" in text):
        return value
    stripped = _strip(value, verbatim)
    return cast("_Value", _like(value) if _is_empty(stripped) else stripped)


def open_members(metadata: Metadata, type_name: str) -> OpenMembers:
    """Return the elements of a type whose content its metadata leaves free, as a tree.

    Such content is undeclared, and undeclared content is kept as it is.
    Source: core specification, "Aidbox and FHIR format" (first paragraph).
    """
    cache = metadata.artefacts("open_members")
    found: OpenMembers | None = cache.get(type_name)
    if found is None:
        type_def = metadata.find_type(type_name)
        found = cache[type_name] = _open_below(type_def.elements) if type_def else {}
    return found


def _open_below(elements: dict[str, Element]) -> OpenMembers:
    found: OpenMembers = {}
    for name, element in elements.items():
        if element.type is None and element.is_open:
            found[name] = {}
        elif element.type is None and (below := _open_below(element.children)):
            found[name] = below
    return found


def _like(value: Any) -> Any:
    return [] if isinstance(value, list) else {} if isinstance(value, dict) else None


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (dict, list)) and not value)


def _strip(value: Any, verbatim: OpenMembers = _NOTHING) -> Any:
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            below = verbatim.get(key)
            if below is not None and not below:
                kept = item
            elif isinstance(item, list):
                kept = _padded(value, key, item, below or _NOTHING)
            else:
                kept = _strip(item, below or _NOTHING)
            if not _is_empty(kept):
                result[key] = kept
        return result
    if isinstance(value, list):
        return [kept for item in value if not _is_empty(kept := _strip(item, verbatim))]
    return value


def _padded(holder: dict[str, Any], key: str, items: list[Any], verbatim: OpenMembers) -> Any:
    """Strip an array; nulls keep their places if another array counts on them."""
    twin = key[1:] if key.startswith("_") else f"_{key}"
    if key.startswith("_") or isinstance(holder.get(twin), list):
        stripped = [None if _is_empty(kept := _strip(item)) else kept for item in items]
        return stripped if any(item is not None for item in stripped) else None
    return _strip(items, verbatim)
