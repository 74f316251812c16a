"""What FHIR says in prose about URIs, identifiers, attachments and texts of data types.

Source: FHIR R4, Data Types (uri, Identifier, Coding, Attachment, markdown).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.fhir_members import Kind
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.shape import Visit

_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(#.*)?")
_OID = re.compile(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.+")
_HTML = re.compile(r"<[A-Za-z!/]")
_IS_URI = "urn:ietf:rfc:3986"


def identity_issues(metadata: Metadata, visits: Iterable[Visit]) -> Iterator[Issue]:
    """Yield what is wrong with URIs, identifiers, Codings, attachments and markdown."""
    for visit in visits:
        value, path, type_name = visit.value, visit.path, visit.member.element.type
        if type_name in {"uri", "url", "canonical"}:
            if isinstance(value, str):
                yield from _uri(value, path)
        elif type_name == "Identifier":
            yield from _identifier(value, path)
        elif type_name == "Coding":
            yield from _coding(value, path)
        elif type_name == "Attachment":
            yield from _attachment(value, path)
        elif type_name == "markdown" and isinstance(value, str) and _HTML.search(value):
            message = "what looks like HTML in markdown will be shown as text"
            yield Issue(message=message, path=path, code="invalid", severity="warning")
        elif visit.member.kind is Kind.RESOURCE:
            yield from _canonical(metadata, visit)


def _uri(value: str, path: Path) -> Iterator[Issue]:
    if value.startswith("urn:uuid:") and not _UUID.fullmatch(value):
        yield _issue(path, "a UUID must be valid and in lower case")
    elif value.startswith("urn:oid:") and not _OID.fullmatch(value):
        yield _issue(path, "an OID must be valid")
    elif value.startswith("oid:"):
        yield _issue(path, "an OID as a URI begins with urn:oid:")


def _identifier(value: dict[str, Any], path: Path) -> Iterator[Issue]:
    system, text = value.get("system"), value.get("value")
    if is_relative(system):
        yield _issue((*path, "system"), "the system of an Identifier must be absolute")
    elif system == _IS_URI and isinstance(text, str) and not _ABSOLUTE.fullmatch(text):
        yield _issue((*path, "value"), "the value of an Identifier of this system must be a URI")


def _coding(value: dict[str, Any], path: Path) -> Iterator[Issue]:
    system = value.get("system")
    if is_relative(system):
        yield _issue((*path, "system"), "the system of a Coding must be absolute")
    elif system is None and "code" in value and "_system" not in value:
        message = "a code without its system says little"
        yield Issue(message=message, path=path, code="business-rule", severity="warning")


def _attachment(value: dict[str, Any], path: Path) -> Iterator[Issue]:
    size, data = value.get("size"), value.get("data")
    if type(size) is not int or not isinstance(data, str):
        return
    digits = re.sub(r"[\s=]", "", data)
    if size != len(digits) * 3 // 4:
        yield _issue(path, "the size of an Attachment is that of its data")


def _canonical(metadata: Metadata, visit: Visit) -> Iterator[Issue]:
    """A resource that others name by its URL has an absolute one."""
    type_def = metadata.find_type(metadata.fhir_type(visit.scope.type_name))
    elements = type_def.elements if type_def is not None else {}
    url = elements.get("url")
    if url is not None and url.type == "uri" and "version" in elements:
        value = visit.value.get("url")
        if is_relative(value):
            yield _issue((*visit.path, "url"), "a canonical URL must be absolute")


def is_relative(uri: Any) -> bool:
    """Tell whether a value is a URI that says nothing without a base."""
    return isinstance(uri, str) and bool(uri) and not _ABSOLUTE.fullmatch(uri)


def _issue(path: Path, message: str) -> Issue:
    return Issue(message=message, path=path, code="invalid")
