"""Structured data capture: resources made of a document by a template.

The template {"Observation": {"hr": body}} makes one Observation with id `hr-<id of the source>`.
Inside a body {"$path!": ["vitals", 0, "rate"]} stands for what the source has at that path; where
it has nothing, the member or item is left out.
Source: core specification, "Structured data capture".
"""

from __future__ import annotations

from typing import Any

from boxruntime.fhir.outcome import Fault, Issue, OutcomeError, Path

PATH = "$path!"
_MISSING = object()


def extract(template: Any, source: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the resources (Aidbox format) that the template makes of the source, in its order.

    Without an id in the source they have neither id nor `meta.sourceId`. Raises OutcomeError
    UNPROCESSABLE for a template of another shape.
    """
    source_id = source.get("id")
    found = []
    for type_name, bodies in _object(template, ("template",)).items():
        for prefix, body in _object(bodies, ("template", type_name)).items():
            path = ("template", type_name, prefix)
            filled = _filled(_object(body, path), source, path)
            if not isinstance(filled, dict):
                raise _refused(path, "expected type of object")
            resource = {**filled, "resourceType": type_name}
            if isinstance(source_id, str):
                meta = resource.get("meta")
                known = meta if isinstance(meta, dict) else {}
                resource["id"] = f"{prefix}-{source_id}"
                resource["meta"] = {**known, "sourceId": source_id}
            found.append(resource)
    return found


def _filled(value: Any, source: dict[str, Any], path: Path) -> Any:
    """Return the value with its paths replaced; _MISSING for a path that leads nowhere."""
    if isinstance(value, dict):
        if PATH in value:
            return _at(source, _steps(value, path))
        members = ((key, _filled(item, source, (*path, key))) for key, item in value.items())
        return {key: item for key, item in members if item is not _MISSING}
    if isinstance(value, list):
        items = (_filled(item, source, (*path, index)) for index, item in enumerate(value))
        return [item for item in items if item is not _MISSING]
    return value


def _steps(value: dict[str, Any], path: Path) -> list[str | int]:
    steps = value[PATH]
    if len(value) > 1:
        raise _refused(path, f"expected nothing beside {PATH}")
    if not isinstance(steps, list) or not steps:
        raise _refused((*path, PATH), "expected an array of keys and indexes")
    for step in steps:
        if type(step) is not str and (type(step) is not int or step < 0):
            raise _refused((*path, PATH), "expected an array of keys and indexes")
    return steps


def _at(source: Any, steps: list[str | int]) -> Any:
    node = source
    for step in steps:
        if isinstance(step, str):
            node = node.get(step) if isinstance(node, dict) else None
        else:
            node = node[step] if isinstance(node, list) and step < len(node) else None
    return _MISSING if node is None else node


def _object(value: Any, path: Path) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _refused(path, "expected type of object")


def _refused(path: Path, message: str) -> OutcomeError:
    return OutcomeError(
        Fault.UNPROCESSABLE, Issue(message=message, path=path, type_name="AlphaSDC")
    )
