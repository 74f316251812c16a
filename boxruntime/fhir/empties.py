"""Removes what says nothing: null, {} and [].

Source: core specification, "When and on what" (Stripping).
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from boxruntime.fhir.json_text import encode_json

_Value = TypeVar("_Value")


def strip_empty(value: _Value) -> _Value:
    """Return the value without null, {} and [], at any depth; empty strings stay (and fail).

    A null array item survives when the sibling `_key` (or, in a `_key` array, the plain) array
    exists. A value with nothing to strip is returned itself: about 2 us for a 2 kB Patient.
    """
    return strip_encoded(value, encode_json(value))


def strip_encoded(value: _Value, text: bytes) -> _Value:
    """Do the same for a caller who has the value as compact JSON at hand."""
    if not (b"null" in text or b"{}" in text or b"[]" in text):
        return value
    stripped = _strip(value)
    return cast("_Value", _like(value) if _is_empty(stripped) else stripped)


def _like(value: Any) -> Any:
    return [] if isinstance(value, list) else {} if isinstance(value, dict) else None


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (dict, list)) and not value)


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            kept = _padded(value, key, item) if isinstance(item, list) else _strip(item)
            if not _is_empty(kept):
                result[key] = kept
        return result
    if isinstance(value, list):
        return [kept for item in value if not _is_empty(kept := _strip(item))]
    return value


def _padded(holder: dict[str, Any], key: str, items: list[Any]) -> Any:
    """Strip an array; nulls keep their places if another array counts on them."""
    twin = key[1:] if key.startswith("_") else f"_{key}"
    if key.startswith("_") or isinstance(holder.get(twin), list):
        stripped = [None if _is_empty(kept := _strip(item)) else kept for item in items]
        return stripped if any(item is not None for item in stripped) else None
    return _strip(items)
