"""GET /$json-schema[?path=definitions.Patient]: the schema that writes are held to.

Source: core specification, "Generated schema".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.api.call import Call, Result
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.schema import find_in_schema

if TYPE_CHECKING:
    from boxruntime.api.box import Box


async def json_schema(call: Call, box: Box) -> Result:
    """Return the schema at a dotted path, the whole one without. Raises OutcomeError NOT_FOUND."""
    dotted = call.parameter("path")
    path = dotted.split(".") if dotted else []
    try:
        schema = find_in_schema(box.metadata, path)
    except LookupError:
        raise OutcomeError(Fault.NOT_FOUND, "The schema has nothing at this path.") from None
    return Result(status=200, value={"path": path, "schema": schema})
