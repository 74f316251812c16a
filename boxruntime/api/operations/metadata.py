"""The metadata of the box as a whole: GET and POST /$metadata, GET /$resource-types, root only.

Source: core specification, "$metadata".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.api.atomic import atomically
from boxruntime.api.call import Call, Result
from boxruntime.api.intake import body_object
from boxruntime.api.manifests import define_all
from boxruntime.api.render import render_resource
from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.storage.meta import load_all

if TYPE_CHECKING:
    from boxruntime.api.box import Box

_SECTIONS = ("Entity", "Attribute", "SearchParameter", "Operation")


async def read_metadata(call: Call, box: Box) -> Result:
    """Return {Entity: {id: ...}, Attribute: {...}, ...}, or the sub-tree that `path` names.

    A path is dotted, and so are ids: `Attribute.Patient.name.isCollection`. Raises OutcomeError
    NOT_FOUND for a path that leads nowhere.
    """
    path = call.parameter("path")
    if not path:
        return Result(status=200, value={name: await _section(box, name) for name in _SECTIONS})
    section, *steps = path.split(".")
    if section not in _SECTIONS:
        raise _nowhere()
    if not steps:
        return Result(status=200, value=await _section(box, section))
    for count in range(len(steps), 0, -1):
        stored = await box.store.find(section, ".".join(steps[:count]))
        if stored is not None:
            return Result(status=200, value=_below(stored.resource(), steps[count:]))
    raise _nowhere()


async def write_metadata(call: Call, box: Box) -> Result:
    """Write the Entity and Attribute resources that `definitions` stands for; answer them.

    Raises OutcomeError UNPROCESSABLE with the place of each finding.
    """
    body = body_object(call)
    if "definitions" not in body:
        issue = Issue(message="Property definitions is required")
        raise OutcomeError(Fault.UNPROCESSABLE, issue)
    stored = await atomically(
        box, call.dialect, lambda inner: define_all(call, inner, body["definitions"])
    )
    resources = [render_resource(box.metadata, each, call.dialect) for each in stored]
    return Result(status=200, value=resources, is_write=True)


async def resource_types(_call: Call, box: Box) -> Result:
    """Return an object keyed by the names of all resource types."""
    types = box.metadata.types
    names = sorted(box.metadata.resource_types)
    return Result(status=200, value={name: {"module": types[name].module} for name in names})


async def _section(box: Box, resource_type: str) -> dict[str, Any]:
    return {each["id"]: each for each in await load_all(box.store.runner, resource_type)}


def _below(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if not isinstance(value, dict) or step not in value:
            raise _nowhere()
        value = value[step]
    return value


def _nowhere() -> OutcomeError:
    return OutcomeError(Fault.NOT_FOUND, "The metadata has nothing at this path.")
