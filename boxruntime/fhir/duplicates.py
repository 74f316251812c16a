"""Members that stand twice in one JSON object: RFC 8259 leaves open which of them counts.

Source: core specification, "$validate"; RFC 8259, section 4.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxruntime.fhir.outcome import Path


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its members came more than once."""

    repeated: frozenset[str] = frozenset()


def duplicate_members(text: bytes) -> list[Path]:
    """Return the place of each repeated member of valid JSON, in the order of the text.

    60 us for 2 kB: a second reading, which only `$validate` affords.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return []  # not what it was said to be
    return list(_repeated(value, ()))


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        made.repeated = frozenset(name for name in made if names.count(name) > 1)
    return made


def _repeated(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, _Object):
        for name, item in value.items():
            if name in value.repeated:
                yield (*path, name)
            yield from _repeated(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _repeated(item, (*path, index))
