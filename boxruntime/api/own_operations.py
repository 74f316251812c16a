"""The Operation resources that people wrote, as the box uses them.

Two things are read from them: which operations the CapabilityStatement shows, and creates of
which types are overridden.
Source: core specification, "GET /fhir/metadata", "Structured data capture".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.outcome import Dialect

if TYPE_CHECKING:
    from collections.abc import Iterable

SDC_CREATE = "sdc/create"


class Shown(NamedTuple):
    """An operation as the CapabilityStatement names it; `types` = of these types, too."""

    name: str
    definition: str
    types: tuple[str, ...]


class OwnOperations:
    """All Operation resources that did not come with the box. Odd ones say nothing."""

    def __init__(self, operations: Iterable[dict[str, Any]]) -> None:
        self.shown: list[Shown] = []
        self._creates: dict[tuple[Dialect, str], str] = {}
        for operation in operations:
            self._note_shown(operation)
            target = _created_type(operation.get("request"))
            if target is not None and operation.get("action") == SDC_CREATE:
                self._creates[target] = operation["id"]

    def captures(self, dialect: Dialect, resource_type: str) -> str | None:
        """Return the id of the Operation that overrides creates of a type by sdc/create."""
        return self._creates.get((dialect, resource_type)) if self._creates else None

    def _note_shown(self, operation: dict[str, Any]) -> None:
        code, url = operation.get("fhirCode"), operation.get("fhirUrl")
        types = operation.get("fhirResource")
        if isinstance(code, str) and isinstance(url, str):
            names = types if isinstance(types, list) else ()
            self.shown.append(Shown(code, url, tuple(n for n in names if isinstance(n, str))))


def _created_type(request: Any) -> tuple[Dialect, str] | None:
    """Read ["post", "Vitals"] or ["post", "fhir", "Vitals"]."""
    match request:
        case [str(method), "fhir", str(name)] if method.lower() == "post":
            return Dialect.FHIR, name
        case [str(method), str(name)] if method.lower() == "post":
            return Dialect.AIDBOX, name
    return None
