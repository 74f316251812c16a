"""What `$validate` is asked: the resource, the mode and the profiles, however they came.

Source: core specification, "$validate"; FHIR R4, Resource, operation `validate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.outcome import Fault, OutcomeError, Path

if TYPE_CHECKING:
    from boxruntime.api.call import Call

CREATE, UPDATE, DELETE = "create", "update", "delete"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The input of one `$validate`."""

    resource: dict[str, Any] | None
    """None: not sent."""
    place: Path
    """Where the resource stands in the body."""
    mode: str
    profiles: tuple[str, ...]


def read_input(call: Call) -> Asked:
    """Return what the call asks for.

    A Parameters body is always the operation's input; any other body is the resource. What the
    body says wins over the query. Raises OutcomeError INVALID for a body that is no object, or
    that has no usable `resource`.
    """
    body = {} if call.body.is_empty else call.body.value()
    if not isinstance(body, dict):
        raise OutcomeError(Fault.INVALID, "The body must be one resource, a JSON object.")
    modes = [value for name, value in call.query if name == "mode"]
    profiles = [value for name, value in call.query if name == "profile"]
    resource: dict[str, Any] | None = body or None
    place: Path = ()
    if body.get("resourceType") == "Parameters":
        resource = None
        for index, name, parameter in _parameters(body):
            if name == "resource":
                resource, place = _resource(parameter), ("parameter", index, "resource")
            elif name in {"mode", "profile"} and (text := _text(parameter)) is not None:
                (modes if name == "mode" else profiles).append(text)
    return Asked(
        resource=resource,
        place=place,
        mode=modes[-1] if modes else CREATE,
        profiles=tuple(dict.fromkeys(profiles)),
    )


def _parameters(body: dict[str, Any]) -> list[tuple[int, str, dict[str, Any]]]:
    items = body.get("parameter", [])
    if not isinstance(items, list):
        raise OutcomeError(Fault.INVALID, "The Parameters must have an array `parameter`.")
    return [
        (index, item["name"], item)
        for index, item in enumerate(items)
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    ]


def _resource(parameter: dict[str, Any]) -> dict[str, Any]:
    resource = parameter.get("resource")
    if isinstance(resource, dict):
        return resource
    raise OutcomeError(Fault.INVALID, "The parameter `resource` must hold a resource.")


def _text(parameter: dict[str, Any]) -> str | None:
    """Return the value as text, of FHIR's `valueCode` and of Aidbox's `value: {code}` alike."""
    nested = parameter.get("value")
    values = list(nested.values()) if isinstance(nested, dict) else []
    values += [value for key, value in parameter.items() if key.startswith("value")]
    return next((value for value in values if isinstance(value, str)), None)
