"""The published resources that a box must carry: what is in them, and what may differ.

Source: tests/data/README.md.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.json_text import decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parents[1] / "data"


@lru_cache(maxsize=8)
def examples(version: str = "r4") -> tuple[dict[str, Any], ...]:
    """Return the examples of a FHIR version, numbers as Decimal."""
    with gzip.open(DATA / f"examples-{version}.ndjson.gz", "rb") as lines:
        return tuple(decode_json(line) for line in lines)


@lru_cache(maxsize=1)
def synthea_bundles() -> tuple[dict[str, Any], ...]:
    """Return the transaction Bundles of the invented patients."""
    return tuple(
        decode_json(gzip.decompress(path.read_bytes()))
        for path in sorted((DATA / "synthea").glob("*.json.gz"))
    )


def text_of(value: Any) -> bytes:
    """Return a value as text that shows how numbers were written, keys in order of names."""
    return encode_json(_sorted(value))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


def without_server_meta(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the resource without what a server says about it."""
    kept = {
        key: value
        for key, value in resource.get("meta", {}).items()
        if key not in {"versionId", "lastUpdated", "createdAt"}
    }
    extensions = [item for item in kept.pop("extension", []) if item["url"] != "ex:createdAt"]
    if extensions:
        kept["extension"] = extensions
    rest = {key: value for key, value in resource.items() if key != "meta"}
    return {**rest, "meta": kept} if kept else rest


def rewritten(value: Any, targets: Mapping[str, str]) -> Any:
    """Return the value with each reference to a fullUrl replaced by its target."""
    if isinstance(value, dict):
        return {
            key: targets.get(item, item)
            if key == "reference" and isinstance(item, str)
            else rewritten(item, targets)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [rewritten(item, targets) for item in value]
    return value
