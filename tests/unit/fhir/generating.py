"""Resources made from metadata: FHIR documents that every rule of the type allows."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from boxruntime.fhir.compile import choice_key, fhir_type

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, Metadata

VALUES = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "positiveInt": st.integers(1, 2**31 - 1),
    "unsignedInt": st.integers(0, 2**31 - 1),
    "decimal": st.sampled_from([Decimal("1.00"), Decimal("0.1"), 3]),
    "number": st.sampled_from([Decimal("1.00"), 3]),
    "base64Binary": st.sampled_from(["AAAA", "AA=="]),
    "date": st.sampled_from(["2000", "2000-02", "2000-02-29"]),
    "dateTime": st.sampled_from(["2000", "2000-02-29T23:59:59.123Z"]),
    "instant": st.just("2000-02-29T23:59:59+14:00"),
    "time": st.just("23:59:59"),
    "oid": st.just("urn:oid:1.2.3"),
    "uuid": st.just("urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
    "id": st.just("x"),
    "email": st.just("a@b.c"),
    "xhtml": st.just('<div xmlns="http://www.w3.org/1999/xhtml">x</div>'),
}
TEXT = st.sampled_from(["a", "b.c", "Patient/p1", "value"])
RAW = st.sampled_from(
    [
        {"url": "urn:raw", "valueString": "x"},
        {"url": "urn:raw", "valueReference": {"reference": "Patient/nobody"}},
        {"url": "urn:raw", "extension": [{"url": "a", "valueQuantity": {"value": 1}}]},
    ]
)


@st.composite
def documents(draw: Any, metadata: Metadata, type_name: str) -> dict[str, Any]:
    """A FHIR resource with all required and some optional members."""
    elements = metadata.types[type_name].elements
    document = draw(_objects(metadata, elements, type_name, 3))
    if draw(st.integers(0, 3)) == 0:
        document["meta"] = {"profile": ["http://e.x/p"], "tag": [{"code": "t"}]}
    return {"resourceType": type_name.removeprefix("fhir:"), **document}


@st.composite
def _objects(
    draw: Any, metadata: Metadata, elements: dict[str, Element], owner: str, depth: int
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    lifted: list[tuple[int, str, dict[str, Any]]] = []
    for name, element in elements.items():
        if name in {"meta", "contained", "modifierExtension", "resourceType"}:
            continue
        if not (element.required or (depth > 0 and draw(st.integers(0, 5)) == 0)):
            continue
        if element.extension_url is not None:
            member = "modifierExtension" if element.modifier else "extension"
            for _ in range(draw(st.integers(1, 2)) if element.array else 1):
                item = draw(_extensions(metadata, element, owner, depth - 1))
                lifted += [(element.order, member, item)] if item else []
            continue
        if element.union:
            alternative = draw(st.sampled_from(element.union))
            key, element = choice_key(name, alternative), element.children[alternative]  # noqa: PLW2901
        else:
            key = name
        value = draw(_values(metadata, element, owner, depth - 1))
        if value is not None:
            result[key] = [value] if element.array else value
            if _may_have_extra(metadata, name, element) and draw(st.integers(0, 4)) == 0:
                _accompany(draw, result, key, element)
    for _, member, item in sorted(lifted, key=lambda found: found[0]):
        result[member] = [*result.get(member, ()), item]
    return result


def _may_have_extra(metadata: Metadata, name: str, element: Element) -> bool:
    """Whether an `_x` may stand beside the element: not beside ids and XHTML (FHIR R4)."""
    return name != "id" and element.type != "xhtml" and _is_primitive(metadata, element)


def _accompany(draw: Any, result: dict[str, Any], key: str, element: Element) -> None:
    """Put an `_x` beside a primitive, or in the place of one item."""
    extra = {"extension": [draw(RAW)]}
    if not element.array:
        result["_" + key] = extra
    elif draw(st.booleans()):
        result[key] = [*result[key], None]
        result["_" + key] = [None, extra]
    else:
        result["_" + key] = [extra]


@st.composite
def _extensions(
    draw: Any, metadata: Metadata, element: Element, owner: str, depth: int
) -> dict[str, Any] | None:
    url = element.extension_url
    if element.type is None:
        inner = draw(_objects(metadata, element.children, owner, depth))
        nested = inner.get("extension")
        return {"url": url, "extension": nested} if nested and len(inner) == 1 else None
    value = draw(_values(metadata, element, owner, depth))
    if value is None:
        return None
    return {"url": url, choice_key("value", fhir_type(element.type)): value}


@st.composite
def _values(draw: Any, metadata: Metadata, element: Element, owner: str, depth: int) -> Any:
    if element.type == "Reference":
        target = draw(st.sampled_from(sorted(element.refers or {"Patient"})))
        texts = [f"{target}/x", "urn:uuid:1", "http://e.x/y", "#"]
        kind = draw(st.integers(0, 5))
        if kind < 4:
            return {"reference": texts[kind], **({"display": "D"} if draw(st.booleans()) else {})}
        return {"display": "D"} if kind == 4 else {"type": target, "identifier": {"value": "1"}}
    if element.type == "Extension":
        return draw(RAW)
    if element.type == "Resource":
        return {"resourceType": "Basic", "code": {"text": "t"}} if depth > 0 else None
    if element.codes:
        return draw(st.sampled_from(sorted(element.codes)))
    if element.schema is not None:
        return _as_schema(element.schema)
    if _is_primitive(metadata, element):
        return draw(VALUES.get(element.type or "", TEXT))
    if element.type is None and element.is_open and not element.children:
        return {"any": [1, {"value": {"string": None}}]}
    below, children = metadata.children_of(owner, element)
    return draw(_objects(metadata, children, below, depth)) or None


def _as_schema(schema: dict[str, Any]) -> Any:
    """Return something that the few schemas of elements in the definitions allow."""
    if "const" in schema:
        return schema["const"]
    if "minimum" in schema:
        return schema["minimum"] + 1
    return [["name"]] if schema.get("items", {}).get("type") == "array" else [{"a": 1}]


def _is_primitive(metadata: Metadata, element: Element) -> bool:
    type_def = metadata.find_type(element.type) if element.type else None
    return type_def is not None and type_def.kind == "primitive"
