"""Aidbox format to FHIR format.

Source: core specification, "Aidbox and FHIR format".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.compile import Convert, FirstClass, Handler, Node, Rules, choice_key, node_of
from boxruntime.fhir.metadata import CREATED_AT_URL
from boxruntime.fhir.references import reference_to_fhir

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, Metadata

# The handlers' path argument is unused on the way out: nothing is reported.


def to_fhir_node(metadata: Metadata, type_name: str) -> Node:
    """Return the compiled converter of a type that leaves raw extensions alone."""
    return node_of(metadata, type_name, RULES)


def to_fhir_extensions_node(metadata: Metadata, type_name: str) -> Node:
    """Return the converter that also looks into raw extensions, wherever they may stand."""
    return node_of(metadata, type_name, EXTENSION_RULES)


def render_node(
    node: Node, source: dict[str, Any], _path: Any, metadata: Metadata
) -> dict[str, Any]:
    """Return the object with its listed members converted; itself when it has none of them."""
    handlers = node.handlers
    result: dict[str, Any] | None = None
    if len(handlers) < len(source):
        for key, handler in handlers.items():
            if key in source:
                if result is None:
                    result = source.copy()
                handler(result, key, source[key], (), metadata)
    else:
        for key, value in source.items():
            if key in handlers:
                if result is None:
                    result = source.copy()
                handlers[key](result, key, value, (), metadata)
    if node.first_class:
        result = _with_first_class(node, source, result, metadata)
    return source if result is None else result


def _run(node: Node) -> Convert:
    return partial(render_node, node)


def _one(convert: Convert) -> Handler:
    def handle(result: dict[str, Any], key: str, value: Any, _path: Any, metadata: Any) -> None:
        if type(value) is dict:
            result[key] = convert(value, (), metadata)

    return handle


def _many(convert: Convert) -> Handler:
    def handle(result: dict[str, Any], key: str, value: Any, _path: Any, metadata: Any) -> None:
        if type(value) is list:
            result[key] = [
                convert(item, (), metadata) if type(item) is dict else item for item in value
            ]

    return handle


def _reference(_element: Element) -> Convert:
    return _render_reference


def _render_reference(source: dict[str, Any], _path: Any, metadata: Metadata) -> dict[str, Any]:
    return reference_to_fhir(source, metadata)


def _union(
    element: Element, alternatives: dict[str, Convert | None], siblings: dict[str, Element]
) -> dict[str, Handler]:
    name = element.name
    table: dict[str, tuple[str, Convert | None]] = {}
    for alternative, convert in alternatives.items():
        key = choice_key(name, alternative)
        if key not in siblings:
            table[alternative] = key, convert
            table["_" + alternative] = "_" + key, None

    def handle(result: dict[str, Any], key: str, value: Any, _path: Any, metadata: Any) -> None:
        if type(value) is not dict:
            return
        rest: dict[str, Any] = {}
        for alternative, item in value.items():
            known = table.get(alternative)
            if known is None:
                rest[alternative] = item
                continue
            member, convert = known
            if convert is not None and type(item) is dict:
                item = convert(item, (), metadata)  # noqa: PLW2901 - the converted one replaces it
            result[member] = item
        if rest:
            result[key] = rest
        else:
            del result[key]

    return {name: handle}


def _first_class(node: Node, found: list[FirstClass]) -> dict[str, Handler]:
    """No handlers: these elements are moved together, in the order of their Attributes."""
    node.first_class = tuple(sorted(found, key=lambda item: item.order))
    return {}


def _with_first_class(
    node: Node, source: dict[str, Any], result: dict[str, Any] | None, metadata: Metadata
) -> dict[str, Any] | None:
    """Turn first-class elements back into extensions, after the raw ones."""
    for item in node.first_class:
        value = source.get(item.name)
        if value is None:
            continue
        if result is None:
            result = source.copy()
        del result[item.name]
        values = value if item.array and isinstance(value, list) else [value]
        made = [_extension(item, each, metadata) for each in values]
        raw = result.get(item.member)
        result[item.member] = [*raw, *made] if isinstance(raw, list) else made
    return result


def _extension(item: FirstClass, value: Any, metadata: Metadata) -> dict[str, Any]:
    if item.convert is not None and type(value) is dict:
        value = item.convert(value, (), metadata)
    if item.value_key is not None:
        return {"url": item.url, item.value_key: value}
    # Group: its converted children already stand in `extension`.
    return {"url": item.url, **value} if isinstance(value, dict) else {"url": item.url}


def _resource(find_node: Any) -> Convert:
    def convert(source: dict[str, Any], _path: Any, metadata: Metadata) -> dict[str, Any]:
        type_name = source.get("resourceType")
        if not isinstance(type_name, str) or type_name not in metadata.resource_types:
            return source
        type_name = metadata.fhir_type(type_name)
        found = render_node(find_node(metadata, type_name), source, (), metadata)
        return with_created_at(found, metadata.created_at_url)

    return convert


CREATED_AT_URLS = frozenset({CREATED_AT_URL, "ax:createdAt"})
"""What clients send back, from any release."""
SOURCE_ID_URL = "ex:sourceId"


def with_created_at(resource: dict[str, Any], url: str) -> dict[str, Any]:
    """Move meta.createdAt, and meta.sourceId, into extensions of meta.

    Source: core specification, "Meta and primitive extensions".
    """
    meta = resource.get("meta")
    if not isinstance(meta, dict) or "createdAt" not in meta:
        return resource
    rest = meta.copy()
    created = {"url": url, "valueInstant": rest.pop("createdAt")}
    raw = rest.get("extension")
    rest["extension"] = [*raw, created] if isinstance(raw, list) else [created]
    if "sourceId" in rest:
        rest["extension"].append({"url": SOURCE_ID_URL, "valueString": rest.pop("sourceId")})
    return {**resource, "meta": rest}


def _raw_extension(source: dict[str, Any], _path: Any, metadata: Metadata) -> dict[str, Any]:
    """Render an extension whose value is in Aidbox form; one in FHIR form passes through."""
    return render_node(to_fhir_extensions_node(metadata, "Extension"), source, (), metadata)


RULES = Rules(
    kind="to_fhir",
    run=_run,
    one=_one,
    many=_many,
    reference=_reference,
    resource=lambda _element: _resource(to_fhir_node),
    types={},
    union=_union,
    first_class=_first_class,
)
EXTENSION_RULES = RULES._replace(
    kind="to_fhir_extensions",
    resource=lambda _element: _resource(to_fhir_extensions_node),
    types={"Extension": _raw_extension},
)
