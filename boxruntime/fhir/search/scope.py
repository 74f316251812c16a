"""What the parsers of single parameters share: the surroundings of a request, and OR-lists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from boxruntime.fhir.metadata import Metadata
from boxruntime.fhir.search.errors import invalid
from boxruntime.fhir.search.escapes import split_escaped
from boxruntime.fhir.search.values import MalformedValueError, Value

MAX_DEPTH = 10  # hops of a chain; each is a nested query
MAX_VALUES = 2000  # of one OR-list; beyond it a request is a mistake or an attack


class Scope(msgspec.Struct, frozen=True):
    """What parsing needs to know beside the request."""

    metadata: Metadata
    bases: tuple[str, ...]
    """The box's own base URLs, without a slash at the end."""
    now: datetime
    depth: int = 0

    def deeper(self, name: str) -> Scope:
        if self.depth >= MAX_DEPTH:
            raise invalid(name, "the chain is too long")
        return Scope(self.metadata, self.bases, self.now, self.depth + 1)


def read_values(key: str, text: str, read: Callable[[str], Value]) -> tuple[Value, ...]:
    """Read each non-empty value of an OR-list."""
    parts = [part for part in split_escaped(text, ",") if part.strip()]
    if len(parts) > MAX_VALUES:
        raise invalid(key, "it has too many values")
    try:
        return tuple(dict.fromkeys(read(part) for part in parts))
    except MalformedValueError as error:
        raise invalid(key, f"the value is {error}") from None
