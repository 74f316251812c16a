"""Binary at /fhir: what it holds, as it is, beside the resource that wraps it.

Spec: https://hl7.org/fhir/R4/binary.html#rest
Source: core specification, "Read".
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from boxruntime.api.call import Call, Result
from boxruntime.fhir.outcome import Dialect
from boxruntime.http.messages import RawRequest, RequestError
from boxruntime.http.negotiation import names_fhir, request_format

if TYPE_CHECKING:
    from boxruntime.storage.rows import Stored

_PATH = b"/fhir/Binary/"
_MEDIA_TYPE = re.compile(r"[\w.+\-]+/[\w.+\-]+(?:;[ -~]*)?", re.ASCII)
_UNTRUSTED = (
    # Whoever may write a Binary must not run scripts as those who read it.
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
)


def takes_any_accept(request: RawRequest) -> bool:
    """Tell whether a request for another media type than ours may have an answer."""
    return request.path.startswith(_PATH) and request.method in {"GET", "HEAD"}


def wants_content(call: Call) -> bool:
    """Tell whether a read asks for the content: unless it names a FHIR type, it does."""
    return (
        call.type == "Binary"
        and call.dialect is Dialect.FHIR
        and not call.is_entry
        and not call.parameter("_format")
        and not names_fhir(call.header(b"accept"))
    )


def content(stored: Stored) -> Result:
    """Return the bytes of a Binary: 200, or 204 if it has none."""
    resource = stored.resource()
    try:
        data = base64.b64decode(resource.get("data") or "")
    except (binascii.Error, TypeError, ValueError):
        data = b""
    if not data:
        return Result(status=204, stored=stored)
    media_type = resource.get("contentType")
    if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
        media_type = "application/octet-stream"
    headers = ((b"content-type", media_type.encode()), *_UNTRUSTED)
    return Result(status=200, stored=stored, raw=data, headers=headers)


def find_document(call: Call) -> dict[str, Any] | None:
    """Return the Binary that a body of another than a FHIR type is, None for any other body."""
    if call.type != "Binary" or call.dialect is not Dialect.FHIR or call.is_entry:
        return None
    media_type = call.header(b"content-type")
    try:
        request_format(media_type)
    except RequestError:
        data = base64.b64encode(call.body.raw).decode()
        return {"resourceType": "Binary", "contentType": media_type, "data": data}
    return None
