"""Values of a FHIRPath Patch: parts of Parameters become elements.

Spec: https://hl7.org/fhir/R4/fhirpatch.html (anonymous types: name and value pairs)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.patch.elements import Spelled, read_many, write_many, write_one
from boxruntime.fhir.patch.json_values import copied
from boxruntime.fhir.patch.kinds import Kind, choice_of, find_element, kind_below

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.outcome import OutcomeError

_VALUE = "value"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a part: an element of a type, a resource, or parts of an anonymous type."""

    element: Spelled | None = None
    type: str | None = None
    parts: tuple[tuple[str, Given], ...] = ()


def find_given(metadata: Metadata, part: dict[str, Any]) -> Given | None:
    """Return the value of a part, None if it has none, several, or one of no FHIR type."""
    said = {key for key, value in part.items() if value is not None}
    keys = {key.removeprefix("_") for key in said} & _type_by_key(metadata).keys()
    kinds = [*keys, *(said & {"part", "resource"})]
    if len(kinds) != 1:
        return None
    if keys:
        (key,) = keys
        return Given(
            element=Spelled(part.get(key), part.get("_" + key)), type=_type_by_key(metadata)[key]
        )
    if "resource" in said:
        return Given(element=Spelled(part["resource"])) if part["resource"] else None
    if not isinstance(part["part"], list):
        return None
    named: list[tuple[str, Given]] = []
    for inner in part["part"]:
        name = inner.get("name") if isinstance(inner, dict) else None
        if not isinstance(name, str):
            return None
        given = find_given(metadata, inner)
        if given is None:
            return None
        named.append((name, given))
    return Given(parts=tuple(named))


def _type_by_key(metadata: Metadata) -> dict[str, str]:
    """Return the types that a parameter's value may have: valueString -> string."""
    cache = metadata.artefacts("parameter_values")
    if _VALUE not in cache:
        element = metadata.find_element("Parameters", ("parameter", _VALUE))
        union = element.union if element is not None else ()
        cache[_VALUE] = {choice_key(_VALUE, name): name for name in union}
    found: dict[str, str] = cache[_VALUE]
    return found


def element_of(
    metadata: Metadata, kind: Kind, given: Given, refused: Callable[[str], OutcomeError]
) -> Spelled:
    """Return the element of a kind that a value describes. Raises what `refused` makes."""
    if given.element is not None:
        return Spelled(*map(copied, given.element))  # the patch may be applied again
    made: dict[str, Any] = {}
    for name, part in given.parts:
        element = find_element(kind, name)
        key = name
        if element is not None and element.union:
            if part.type not in element.union:
                raise refused("The element cannot have a value of that type.")
            key = choice_key(name, part.type)
        elif element is None and not kind.is_open and choice_of(kind, name) is None:
            raise refused("There is no element of that name.")
        below = kind_below(metadata, kind.owner, element, None)
        new = element_of(metadata, below, part, refused)
        if element is not None and element.array:
            write_many(made, key, [*read_many(made, key), new])
        elif key in made or "_" + key in made:
            raise refused("The element is there already and does not repeat.")
        else:
            write_one(made, key, new)
    return Spelled(made)
