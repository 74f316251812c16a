"""`_elements` and `_summary`: parts of a resource, in Aidbox format.

Source: search specification, 7.1, 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.release import code_system
from boxruntime.fhir.search.query import Query, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.fhir.metadata import Element, Metadata

_KEPT_BY_SUMMARY = frozenset({"resourceType", "id", "meta"})

Tree = dict[str, Any]
"""Nested steps; {} = the whole value."""


def project(
    metadata: Metadata, query: Query, resource: dict[str, Any], *, included: bool, fhir: bool
) -> dict[str, Any]:
    """Return the part of a resource that the query asks for; the resource itself if all of it.

    `resource` is whole: with resourceType, id and meta. `_elements` wins over `_summary`;
    included resources are whole unless a path begins with their type.
    """
    if query.elements:
        return _elements(metadata, query.elements, resource, included=included, fhir=fhir)
    if included or query.summary in (Summary.FALSE, Summary.COUNT):
        return resource
    return _with_tag(metadata, _summary(metadata, query.summary, resource))


def _elements(
    metadata: Metadata,
    paths: Iterable[str],
    resource: dict[str, Any],
    *,
    included: bool,
    fhir: bool,
) -> dict[str, Any]:
    type_name = resource["resourceType"]
    keep: Tree = {}
    drop: Tree = {}
    for path in paths:
        dropped = path.startswith("-")
        first, *rest = steps = path.removeprefix("-").split(".")
        if first in metadata.resource_types:
            if first != type_name:
                continue
            steps = rest
        elif included:
            continue
        if steps:
            _insert(drop if dropped else keep, _written_out(metadata, type_name, steps, fhir=fhir))
    if not keep and not drop:
        return resource
    result = _keep(resource, keep) if keep else dict(resource)
    if drop:
        result = _drop(result, drop)
    result = {"resourceType": type_name, **result}
    if fhir:
        result["id"] = resource["id"]
        result["meta"] = resource["meta"]
        return _with_tag(metadata, result)
    return result


def _written_out(metadata: Metadata, type_name: str, steps: list[str], *, fhir: bool) -> list[str]:
    """Return the Aidbox path of a path that may use FHIR's names: valueQuantity.unit."""
    if not fhir:
        return steps
    result: list[str] = []
    for step in steps:
        found = metadata.find_element(type_name, (*result, step))
        if found is None:
            result.extend(_choice(metadata, type_name, result, step) or [step])
        else:
            result.append(step)
    return result


def _choice(metadata: Metadata, type_name: str, above: list[str], step: str) -> list[str] | None:
    for cut in range(1, len(step)):
        if not step[cut].isupper():
            continue
        element = metadata.find_element(type_name, (*above, step[:cut]))
        if element is None or not element.union:
            continue
        for variant in element.union:
            if variant[0].upper() + variant[1:] == step[cut:]:
                return [step[:cut], variant]
    return None


def _insert(tree: Tree, steps: list[str]) -> None:
    node = tree
    for number, step in enumerate(steps):
        known = node.get(step)
        if number == len(steps) - 1:
            node[step] = {}
        elif known == {}:
            return  # the whole is in already
        else:
            node = node.setdefault(step, {})


def _keep(value: Any, tree: Tree) -> Any:
    if not tree:
        return value
    if isinstance(value, list):
        return [kept for item in value if (kept := _keep(item, tree)) not in ({}, None)]
    if not isinstance(value, dict):
        return None
    result = {}
    for key, below in tree.items():
        # Extensions of a primitive belong to it.
        for name in (key, f"_{key}"):
            if name in value:
                kept = _keep(value[name], below)
                if kept not in ({}, [], None):
                    result[name] = kept
    return result


def _drop(value: Any, tree: Tree) -> Any:
    if isinstance(value, list):
        return [left for item in value if (left := _drop(item, tree)) != {}]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        below = tree.get(key.removeprefix("_"))
        if below is None:
            result[key] = item
        elif below:
            left = _drop(item, below)
            if left not in ({}, []):
                result[key] = left
    return result


def _summary(metadata: Metadata, summary: Summary, resource: dict[str, Any]) -> dict[str, Any]:
    if summary is Summary.DATA:
        return {key: value for key, value in resource.items() if key != "text"}
    type_name = resource["resourceType"]
    type_def = metadata.find_type(type_name)
    elements = type_def.elements if type_def is not None else {}
    if summary is Summary.TEXT:
        return {
            key: value
            for key, value in resource.items()
            if key in _KEPT_BY_SUMMARY
            or key == "text"
            or ((element := elements.get(key)) is not None and element.required)
        }
    result = _marked(metadata, type_name, elements, resource)
    return {**{key: resource[key] for key in _KEPT_BY_SUMMARY if key in resource}, **result}


def _marked(
    metadata: Metadata, owner: str, elements: dict[str, Element], value: dict[str, Any]
) -> dict[str, Any]:
    """Return the members that are marked as summary or required, at every depth."""
    result: dict[str, Any] = {}
    for key, item in value.items():
        element = elements.get(key.removeprefix("_"))
        if element is None or not (element.summary or element.required):
            continue
        below_owner, below = metadata.children_of(owner, element)
        # A choice marks itself, its alternatives stand as they are.
        if below and not element.union:
            kept = _below(metadata, below_owner, below, item)
            if kept in ({}, []):
                continue
            result[key] = kept
        else:
            result[key] = item
    return result


def _below(metadata: Metadata, owner: str, elements: dict[str, Element], value: Any) -> Any:
    if isinstance(value, list):
        return [_below(metadata, owner, elements, item) for item in value]
    if isinstance(value, dict):
        marked = _marked(metadata, owner, elements, value)
        # Datatypes whose definition marks nothing (as Reference's own members) stay whole.
        return marked or value
    return value


def _with_tag(metadata: Metadata, resource: dict[str, Any]) -> dict[str, Any]:
    subsetted = {"system": code_system(metadata, "v3-ObservationValue"), "code": "SUBSETTED"}
    meta = resource.get("meta") or {}
    tags = meta.get("tag", [])
    if subsetted not in tags:
        tags = [*tags, subsetted]
    return {**resource, "meta": {**meta, "tag": tags}}
