"""If-Match, If-None-Match and If-Modified-Since.

Source: core specification, "Response headers", "Read", "Update".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.storage.store import version_mismatch

if TYPE_CHECKING:
    from boxruntime.api.call import Call
    from boxruntime.storage.rows import Stored

_TAG = re.compile(r'(?:W/)?"?([^",\s]+)"?')
ANY = "*"
MAX_DIGITS = 19  # a longer number is no bigint, so no version either


def tags(header: str) -> frozenset[str]:
    """Return the version ids of a tag list: '30, W/"31"' -> {"30", "31"}; "*" stays."""
    return frozenset(_TAG.findall(header))


def accepted_versions(call: Call) -> frozenset[int] | None:
    """Return the versions that If-Match accepts, None without the header or for "*"."""
    header = call.header(b"if-match")
    if header is None:
        return None
    found = tags(header)
    if ANY in found:
        return None
    return frozenset(
        int(tag) for tag in found if tag.isascii() and tag.isdigit() and len(tag) < MAX_DIGITS
    )


def requires_existing(call: Call) -> bool:
    """Tell whether If-Match: * asks that the resource exist."""
    header = call.header(b"if-match")
    return header is not None and ANY in tags(header)


def refuse_absent(call: Call) -> None:
    """Return if If-Match lets the resource not exist. Raises OutcomeError."""
    if requires_existing(call):
        raise precondition_failed("The resource does not exist.")
    if accepted_versions(call) is not None:
        raise version_mismatch(call.dialect)


def requires_absent(call: Call) -> bool:
    """Tell whether If-None-Match: * asks that the resource not exist."""
    header = call.header(b"if-none-match")
    return header is not None and ANY in tags(header)


def is_unchanged(call: Call, stored: Stored) -> bool:
    """Tell whether a conditional read may be answered with 304."""
    header = call.header(b"if-none-match")
    if header is not None:
        found = tags(header)
        return stored.version_id in found or ANY in found
    since = call.header(b"if-modified-since")
    if since is None:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return False
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _whole_seconds(stored.ts) <= moment


def precondition_failed(message: str) -> OutcomeError:
    """Return the 412 of a precondition that does not hold."""
    return OutcomeError(Fault.PRECONDITION_FAILED, message)


def _whole_seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
