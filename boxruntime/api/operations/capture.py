"""AlphaSDC: what a template makes of a source, without storing anything. Root only.

POST /AlphaSDC/$debug {source, template}; POST /AlphaSDC/{id}/$extract with the source as the body.
Both answer {source, template, extracted}.
Source: core specification, "Structured data capture".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.api.call import Call, Result
from boxruntime.api.intake import body_object
from boxruntime.fhir.capture import extract
from boxruntime.fhir.outcome import Fault, Issue, OutcomeError

if TYPE_CHECKING:
    from boxruntime.api.box import Box


async def debug(call: Call, box: Box) -> Result:
    """Apply a template that is sent along. Raises OutcomeError UNPROCESSABLE."""
    del box
    body = body_object(call)
    return _extracted(body.get("source"), body.get("template"))


async def extract_by(call: Call, box: Box) -> Result:
    """Apply a stored template. Raises OutcomeError NOT_FOUND, GONE or UNPROCESSABLE."""
    stored = await box.store.current("AlphaSDC", call.id)
    return _extracted(body_object(call), stored.resource().get("template"))


def _extracted(source: Any, template: Any) -> Result:
    if not isinstance(source, dict):
        issue = Issue(message="expected type of object", path=("source",), type_name="AlphaSDC")
        raise OutcomeError(Fault.UNPROCESSABLE, issue)
    extracted = extract(template, source)
    value = {"source": source, "template": template, "extracted": extracted}
    return Result(status=200, value=value)
