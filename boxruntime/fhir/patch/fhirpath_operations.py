"""The operations of a FHIRPath Patch, as its Parameters say them.

Spec: https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.outcome import OutcomeError
from boxruntime.fhir.patch.given import Given, find_given
from boxruntime.fhir.patch.path_syntax import Tree, parse_path
from boxruntime.fhir.patch.refusal import MAX_OPERATIONS, located, malformed, too_costly

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Metadata

_KINDS = {
    "add": frozenset({"name", "value"}),
    "insert": frozenset({"index", "value"}),
    "delete": frozenset(),
    "replace": frozenset({"value"}),
    "move": frozenset({"source", "destination"}),
}
"""What each type of operation needs beside its type and path."""
_TEXTS = frozenset({"type", "path", "name"})
_NUMBERS = frozenset({"index", "source", "destination"})


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation, as `Parameters.parameter[number]` says it."""

    number: int
    kind: str
    path: Tree
    name: str = ""
    value: Given | None = None
    index: int = 0
    source: int = 0
    destination: int = 0

    @property
    def place(self) -> str:
        return _place(self.number)

    def refused(self, why: str) -> OutcomeError:
        return malformed(why, self.place)


def _place(number: int) -> str:
    return f"Parameters.parameter[{number}]"


def parse_fhirpath_patch(metadata: Metadata, body: Any) -> list[Operation]:
    """Return the operations of a FHIRPath Patch. Raises OutcomeError: INVALID, TOO_LARGE."""
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise malformed("A FHIRPath Patch is a Parameters resource.")
    parameters = body.get("parameter", [])
    if not isinstance(parameters, list):
        raise malformed("The operations must be an array.", "Parameters.parameter")
    if len(parameters) > MAX_OPERATIONS:
        raise too_costly(f"A patch has at most {MAX_OPERATIONS} operations.")
    return [_operation(metadata, number, each) for number, each in enumerate(parameters)]


def _operation(metadata: Metadata, number: int, parameter: Any) -> Operation:
    place = _place(number)
    parts = parameter.get("part") if isinstance(parameter, dict) else None
    if not isinstance(parts, list) or parameter.get("name") != "operation":
        raise malformed("Each parameter is an operation with parts.", place)
    said: dict[str, Any] = {}
    for position, part in enumerate(parts):
        name = part.get("name") if isinstance(part, dict) else None
        known = name in _TEXTS or name in _NUMBERS or name == "value"
        if not isinstance(name, str) or not known or name in said:
            raise malformed("The part is unknown or there twice.", f"{place}.part[{position}]")
        said[name] = _said(metadata, name, part, f"{place}.part[{position}]")
    kind = said.pop("type", None)
    if kind not in _KINDS:
        raise malformed(f"The type is none of {', '.join(sorted(_KINDS))}.", place)
    path = said.pop("path", None)
    missing = [] if path is not None else ["path"]
    missing += sorted(_KINDS[kind] - said.keys())
    if missing:
        raise malformed(f"The operation needs {', '.join(missing)}.", place)
    try:
        tree = parse_path(path)
    except OutcomeError as error:
        raise located(error, place) from None
    return Operation(number=number, kind=kind, path=tree, **said)


def _said(metadata: Metadata, name: str, part: dict[str, Any], place: str) -> Any:
    given = find_given(metadata, part)
    if given is None:
        raise malformed("The part has no value, or one that FHIR does not know.", place)
    if name == "value":
        return given
    value = given.element.value if given.element is not None else None
    wanted = str if name in _TEXTS else int
    if not isinstance(value, wanted) or isinstance(value, bool) or value == "":
        raise malformed(f"The part must have {'text' if wanted is str else 'a number'}.", place)
    return value
