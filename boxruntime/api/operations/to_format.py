"""Conversion without storing: POST /$to-format/aidbox and /$to-format/fhir, root only.

Source: core specification, "$to-format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.api.call import Call, Result
from boxruntime.api.intake import body_object
from boxruntime.fhir.formats import to_aidbox, to_fhir
from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.fhir.shapes import shape_of
from boxruntime.fhir.transform_tree import transform_tree

if TYPE_CHECKING:
    from boxruntime.api.box import Box


async def to_format_aidbox(call: Call, box: Box) -> Result:
    """Return a FHIR resource in Aidbox format; nothing is validated."""
    document, shape = _document(call, box)
    converted = to_aidbox(box.metadata, shape, document, keep_meta=True)
    return _answer(call, box, shape, converted.resource)


async def to_format_fhir(call: Call, box: Box) -> Result:
    """Return an Aidbox resource in FHIR format; nothing is validated."""
    document, shape = _document(call, box)
    return _answer(call, box, shape, to_fhir(box.metadata, document, type_name=shape))


def _document(call: Call, box: Box) -> tuple[dict[str, Any], str]:
    document = body_object(call)
    name = document.get("resourceType")
    if not isinstance(name, str) or name not in box.metadata.resource_types:
        message = "unknown resource type" if name else "Property resourceType is required"
        raise OutcomeError(
            Fault.UNPROCESSABLE,
            Issue(message=message, path=("resourceType",), type_name="Resource"),
        )
    return document, shape_of(box.metadata, name, document)


def _answer(call: Call, box: Box, shape: str, resource: dict[str, Any]) -> Result:
    value: dict[str, Any] = {"resource": resource}
    if call.parameter("include-transform") != "false":
        value["transform"] = transform_tree(box.metadata, shape)
    return Result(status=200, value=value)
