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
from boxruntime.fhir.references import reference_to_fhir
from boxruntime.fhir.release import binary_data
from boxruntime.http.messages import RawRequest, RequestError
from boxruntime.http.negotiation import names_content, names_fhir, request_format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxruntime.fhir.metadata import Metadata
    from boxruntime.storage.rows import Stored

_PATH = b"/fhir/Binary/"
_MEDIA_TYPE = re.compile(r"[\w.+\-]+/[\w.+\-]+(?:;[ -~]*)?", re.ASCII)
_SECURITY_CONTEXT = b"x-security-context"
_HEADER_VALUE = re.compile(r"[!-~]{1,2048}")
_UNTRUSTED = (
    # Whoever may write a Binary must not run scripts as those who read it.
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
)


def takes_any_accept(request: RawRequest) -> bool:
    """Tell whether a request for another media type than ours may have an answer."""
    return (
        request.path.startswith(_PATH)
        and request.method in {"GET", "HEAD"}
        and names_content(request.header(b"accept"))
    )


def wants_content(call: Call) -> bool:
    """Tell whether a read asks for the content: unless it names a FHIR type, it does."""
    return (
        call.type == "Binary"
        and call.dialect is Dialect.FHIR
        and not call.is_entry
        and not call.parameter("_format")
        and not names_fhir(call.header(b"accept"))
    )


def content(metadata: Metadata, stored: Stored) -> Result:
    """Return the bytes of a Binary: 200, or 204 if it has none."""
    resource = stored.resource()
    try:
        data = base64.b64decode(resource.get(binary_data(metadata)) or "")
    except (binascii.Error, TypeError, ValueError):
        data = b""
    if not data:
        return Result(status=204, stored=stored)
    media_type = resource.get("contentType")
    if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
        media_type = "application/octet-stream"
    headers = (
        (b"content-type", media_type.encode()),
        *_UNTRUSTED,
        *_security_context(metadata, resource),
    )
    return Result(status=200, stored=stored, raw=data, headers=headers)


def _security_context(
    metadata: Metadata, resource: dict[str, Any]
) -> Iterator[tuple[bytes, bytes]]:
    """Return the header that tells what the content belongs to."""
    context = resource.get("securityContext")
    if not isinstance(context, dict):
        return
    target = reference_to_fhir(context, metadata).get("reference")
    if isinstance(target, str) and _HEADER_VALUE.fullmatch(target):
        yield _SECURITY_CONTEXT, target.encode()


def find_document(metadata: Metadata, call: Call) -> dict[str, Any] | None:
    """Return the Binary that a body of another than a FHIR type is, None for any other body."""
    if call.type != "Binary" or call.dialect is not Dialect.FHIR or call.is_entry:
        return None
    media_type = call.header(b"content-type")
    try:
        request_format(media_type)
    except RequestError:
        return _document(metadata, call, media_type)
    return None


def _document(metadata: Metadata, call: Call, media_type: str | None) -> dict[str, Any]:
    """Return the resource that holds the body; a body of no bytes is no `data`.

    DSTU2 has no securityContext: the header says nothing there.
    """
    document: dict[str, Any] = {"resourceType": "Binary", "contentType": media_type}
    if call.body.raw:
        document[binary_data(metadata)] = base64.b64encode(call.body.raw).decode()
    context = call.header(_SECURITY_CONTEXT)
    if context and "securityContext" in metadata.types["Binary"].elements:
        document["securityContext"] = {"reference": context}
    return document
