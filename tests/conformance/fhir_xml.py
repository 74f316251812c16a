"""Resources in FHIR's XML as FHIR's JSON, for cases that are published in XML only.

Spec: https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.json_text import decode_json
from boxruntime.fhir.metadata import base_metadata

FHIR = "{http://hl7.org/fhir}"
XHTML = "{http://www.w3.org/1999/xhtml}"
METADATA = base_metadata("4.0.1")
ELEMENT = METADATA.types["Element"].elements


def resource_from(node: ET.Element) -> dict[str, Any]:
    """Return the JSON of a resource's XML element."""
    name = node.tag.removeprefix(FHIR)
    return {"resourceType": name, **_members(node, name, METADATA.types[name].elements)}


def _members(node: ET.Element, owner: str, elements: Any) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if "id" in node.attrib:
        members["id"] = node.attrib["id"]
    if "url" in node.attrib:
        members["url"] = node.attrib["url"]
    for child in node:
        name = child.tag.removeprefix(FHIR).removeprefix(XHTML)
        element, type_owner = _element(owner, elements, name)
        value, extra = _value(child, type_owner, element)
        if element is not None and element.array:
            members.setdefault(name, []).append(value)
            assert extra is None, "no case needs an extension in a list of primitives"
        else:
            members |= {} if value is None else {name: value}
            members |= {} if extra is None else {"_" + name: extra}
    return members


def _element(owner: str, elements: Any, name: str) -> tuple[Any, str]:
    for element in elements.values():
        for alternative in element.union:
            if choice_key(element.name, alternative) == name:
                return element.children[alternative], owner
    return elements.get(name), owner


def _value(node: ET.Element, owner: str, element: Any) -> tuple[Any, Any]:
    if node.tag.startswith(XHTML):
        return _xhtml(node), None
    if element is None:
        return node.attrib["value"], None  # Reference.reference, which Aidbox's form has not
    type_def = METADATA.find_type(element.type) if element.type else None
    if type_def is not None and type_def.kind == "primitive":
        extra = _members(node, "Element", ELEMENT)
        text = node.attrib.get("value")
        is_text = type_def.json in {None, "string"}
        value = text if text is None or is_text else decode_json(text)
        return value, extra or None
    below_owner, below = METADATA.children_of(owner, element)
    return _members(node, below_owner, below), None


def _xhtml(node: ET.Element) -> str:
    ET.register_namespace("", XHTML[1:-1])
    copy = ET.fromstring(ET.tostring(node))
    copy.tail = None
    return ET.tostring(copy, encoding="unicode")
