"""GET /_logs: the events of this box process as they happen, as newline-delimited JSON.

Ends when the client disconnects. What stands in the events is for administrators only.
Source: core specification, "Structured logs".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.api.call import Call, Result
from boxruntime.fhir.outcome import Fault, OutcomeError

if TYPE_CHECKING:
    from boxruntime.api.box import Box

_HEADERS = (
    (b"content-type", b"application/x-ndjson; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies shall pass on every chunk as it comes
)


async def logs(call: Call, box: Box) -> Result:
    """Return the stream of events. Raises OutcomeError INVALID inside of a Bundle."""
    if call.is_entry:
        raise OutcomeError(Fault.INVALID, "The log cannot be read inside of a Bundle.")
    return Result(status=200, stream=box.follow_log(), headers=_HEADERS)
