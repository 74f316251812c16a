"""POST [base]/StructureDefinition/$convert: profiles as AidboxProfile and Attribute resources.

Source: docs/profiles.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.api.atomic import atomically
from boxruntime.api.call import Call, Result
from boxruntime.api.intake import body_object
from boxruntime.api.profile_definitions import convert_definitions, find_definitions, save
from boxruntime.api.render import render_resource, search_warnings
from boxruntime.fhir.formats import to_aidbox, to_fhir
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.fhir.profiles.convert import Conversion, is_profile
from boxruntime.fhir.profiles.library import KINDS
from boxruntime.fhir.validation import validate

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.storage.rows import Stored

_FLAGS = {"true": True, "false": False, None: False}


async def convert_profiles(call: Call, box: Box) -> Result:
    """Convert the definitions of the body and answer, as a collection, what came of them.

    The body is a StructureDefinition, a Bundle, or Parameters with resources and with URLs (`url`)
    of definitions in the box; ValueSets and CodeSystems beside them are used. `save=true` also
    writes what came of them, all or nothing. Raises OutcomeError: INVALID for another body,
    UNPROCESSABLE for definitions that are not right or cannot be converted.
    """
    body = body_object(call)
    if call.dialect is Dialect.AIDBOX and body.get("resourceType") in box.metadata.resource_types:
        body = to_fhir(box.metadata, body)
    parameters = _parameters(body)
    saves = _flag(call.parameter("save"), parameters)
    resources = _checked(box, _resources(body))
    definitions = [one for one in resources if _is_profile(one)]
    urls = [
        one.get("valueUri") or one.get("valueCanonical")
        for one in parameters
        if one.get("name") == "url"
    ]
    definitions += await find_definitions(box, [str(url) for url in urls])
    if not definitions:
        raise OutcomeError(Fault.UNPROCESSABLE, "There is no profile or extension to convert.")
    if not saves:
        conversion = await convert_definitions(box, definitions, resources)
        made = [*conversion.attributes, *conversion.profiles]
        if call.dialect is Dialect.FHIR:
            made = [to_fhir(box.metadata, one) for one in made]
        return Result(status=200, value=_answer(call, box, conversion, made))
    conversion, stored = await atomically(
        box, call.dialect, lambda inner: _convert_and_save(call, inner, definitions, resources)
    )
    now = box.current().metadata  # with the new Attributes
    made = [render_resource(now, one, call.dialect) for one in stored]
    return Result(status=200, value=_answer(call, box, conversion, made))


async def _convert_and_save(
    call: Call, box: Box, definitions: list[dict[str, Any]], resources: list[dict[str, Any]]
) -> tuple[Conversion, list[Stored]]:
    conversion = await convert_definitions(box, definitions, resources)
    return conversion, await save(call, box, conversion)


def _parameters(body: dict[str, Any]) -> list[dict[str, Any]]:
    found = body.get("parameter") if body.get("resourceType") == "Parameters" else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _flag(text: str | None, parameters: list[dict[str, Any]]) -> bool:
    for one in parameters:
        if one.get("name") == "save" and isinstance(one.get("valueBoolean"), bool):
            return bool(one["valueBoolean"])
    if text not in _FLAGS:
        raise OutcomeError(Fault.INVALID, "save must be true or false.")
    return _FLAGS[text]


def _resources(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conformance resources that the body holds. Raises OutcomeError INVALID."""
    kind = body.get("resourceType")
    if kind == "StructureDefinition":
        return [body]
    if kind == "Parameters":
        holders: Any = body.get("parameter")
    elif kind == "Bundle":
        holders = body.get("entry")
    else:
        raise OutcomeError(
            Fault.INVALID, "The body must be a StructureDefinition, a Bundle or Parameters."
        )
    found = [one.get("resource") for one in holders or () if isinstance(one, dict)]
    return [one for one in found if isinstance(one, dict) and one.get("resourceType") in KINDS]


def _is_profile(resource: dict[str, Any]) -> bool:
    return resource["resourceType"] == "StructureDefinition" and is_profile(resource)


def _checked(box: Box, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the resources as a write would take them, without what is empty.

    Raises OutcomeError UNPROCESSABLE for those that a write would refuse.
    """
    issues: list[Issue] = []
    found = []
    for resource in resources:
        kind = resource["resourceType"]
        converted = to_aidbox(box.metadata, kind, resource)
        issues += converted.issues
        issues += validate(box.metadata, kind, converted.resource, Dialect.FHIR)
        found.append(converted.resource)
    if issues:
        raise OutcomeError(Fault.UNPROCESSABLE, issues)
    return [to_fhir(box.metadata, one) for one in found]


def _answer(
    call: Call, box: Box, conversion: Conversion, made: list[dict[str, Any]]
) -> dict[str, Any]:
    entries = [{"resource": one} for one in made]
    if conversion.notes:
        issues = [
            Issue(message=f"{note.place}: {note.message}", severity="warning", code="not-supported")
            for note in conversion.notes
        ]
        entries.append({"resource": search_warnings(box.metadata, issues, call.dialect)})
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}
