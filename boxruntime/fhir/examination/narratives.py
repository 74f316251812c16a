"""The rules of XHTML in a narrative (txt-1, txt-2), at `text.div`.

Source: FHIR R4, Narrative ("Limited XHTML content"); core specification, "$validate".
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from boxruntime.fhir.narrative import ATTRIBUTES, TAGS
from boxruntime.fhir.outcome import Issue
from boxruntime.fhir.release import is_dstu2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.shape import Visit

_XHTML = "http://www.w3.org/1999/xhtml"
_XML = "{http://www.w3.org/XML/1998/namespace}"


def narrative_issues(metadata: Metadata, visits: Iterable[Visit]) -> Iterator[Issue]:
    """Yield what is wrong with each `div`. In DSTU2's JSON it needs no namespace."""
    is_bare_right = is_dstu2(metadata)
    for visit in visits:
        if visit.member.element.type == "xhtml" and isinstance(visit.value, str):
            for message in dict.fromkeys(_problems(visit.value, is_bare_right=is_bare_right)):
                yield Issue(message=message, path=visit.path, code="invalid")


def _problems(div: str, *, is_bare_right: bool) -> Iterator[str]:
    if "<!DOCTYPE" in div or "<!ENTITY" in div or "<?" in div:
        # Before any parser sees them: entities of one's own could explode.
        yield "txt-1: a document type or processing instruction in the XHTML"
        return
    try:
        root = ET.fromstring(div)  # noqa: S314 - no DTD, so no entities
    except (ET.ParseError, ValueError) as error:
        undefined = "undefined entity" in str(error)
        yield "an entity that XML does not have" if undefined else "the XHTML is not well-formed"
        return
    if root.tag == "div":
        if not is_bare_right:
            yield "the div is not in the namespace of XHTML"
    elif root.tag != f"{{{_XHTML}}}div":
        yield "the XHTML must be one div"
    yield from _elements(root)
    if not _says_something(root):
        yield "txt-2: the narrative has no content"


def _elements(root: ET.Element) -> Iterator[str]:
    for node in root.iter():
        space, _, name = node.tag.rpartition("}")
        if space not in {"", f"{{{_XHTML}"}:
            yield "an element of another namespace in the XHTML"
        elif name not in TAGS:
            yield "txt-1: an element that the XHTML of a narrative may not have"
        for attribute in node.attrib:
            if attribute.replace(_XML, "xml:") not in ATTRIBUTES:
                yield "txt-1: an attribute that the XHTML of a narrative may not have"


def _says_something(root: ET.Element) -> bool:
    if any(text.strip() for text in root.itertext()):
        return True
    return any(str(node.tag).endswith("}img") for node in root.iter())
