"""One reference, between its FHIR and its Aidbox form.

Source: core specification, "References".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.conversion import Conversion, FoundReference
from boxruntime.fhir.outcome import Dialect, Issue, Path
from boxruntime.fhir.release import reference_members

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from boxruntime.fhir.metadata import Metadata

_AIDBOX_TARGET = ("resourceType", "uri", "localRef")
_ID = re.compile(r"[A-Za-z0-9\-._]{1,255}")
_QUERY = re.compile(r"([A-Z][A-Za-z0-9]*)\?(.+)", re.DOTALL)


def split_reference(text: str, resource_types: Collection[str]) -> dict[str, str]:
    """Parse Reference.reference into the stored shape.

    "Patient/p1" -> {"resourceType": "Patient", "id": "p1"}
    "#c"         -> {"localRef": "c"}
    anything else, "Patient/p1/_history/1" and "Patient?x=y" too -> {"uri": text}
    """
    if text.startswith("#"):
        return {"localRef": text[1:]}
    target, _, target_id = text.partition("/")
    if target in resource_types and _ID.fullmatch(target_id) is not None:
        return {"resourceType": target, "id": target_id}
    return {"uri": text}


def reference_from_fhir(
    source: dict[str, Any], path: Path, state: Conversion, refers: frozenset[str] | None
) -> dict[str, Any]:
    """Return the Aidbox form of a FHIR Reference, noting what is wrong and what to check."""
    text = source.get("reference")
    if len(source) > 1 or text is None:
        _check_members(source, path, state)
    if text is None:
        if "id" not in source:
            return source
        result = source.copy()
        result["_id"] = result.pop("id")
        return result
    if not isinstance(text, str):
        state.report((*path, "reference"), "expected type of string")
        return source
    return _from_text(source, text, path, state, refers)


def _check_members(source: dict[str, Any], path: Path, state: Conversion) -> None:
    """Report what FHIR does not know in a Reference, the one inside its identifier included."""
    known = reference_members(state.metadata)
    if not source.keys() <= known:
        for key in sorted(source.keys() - known):
            state.report((*path, key), "extra property")
    if not isinstance(source.get("id", ""), str):
        state.report((*path, "id"), "expected type of string")
    identifier = source.get("identifier")
    assigner = identifier.get("assigner") if isinstance(identifier, dict) else None
    if isinstance(assigner, dict):
        place = (*path, "identifier", "assigner")
        _check_members(assigner, place, state)
        if not isinstance(assigner.get("reference", ""), str):
            state.report((*place, "reference"), "expected type of string")


def _from_text(
    source: dict[str, Any],
    text: str,
    path: Path,
    state: Conversion,
    refers: frozenset[str] | None,
) -> dict[str, Any]:
    rewrite = state.rewrite
    if rewrite:
        text = rewrite.get(text, text)
    target, _, target_id = text.partition("/")
    result: dict[str, Any]
    if target in state.metadata.resource_types and _ID.fullmatch(target_id) is not None:
        result = {"resourceType": target, "id": target_id}
        if len(source) > 1:
            _carry(result, source)
            named = result.get("type")
            if named is not None:
                if named == target:
                    del result["type"]
                else:
                    state.report((*path, "type"), f"expected one of {target}")
        _check_target(result, path, state, refers)
        return result
    if text.startswith("#"):
        result = {"localRef": text[1:]}
        _check_local(text[1:], path, state)
    else:
        result = {"uri": text}
    if len(source) > 1:
        _carry(result, source)
    if rewrite is not None and state.dialect is Dialect.FHIR and state.checked:
        query = _QUERY.fullmatch(text)
        if query is not None and query[1] in state.metadata.resource_types:
            state.references.append(
                FoundReference(
                    path=path,
                    holder=result,
                    resource_type=query[1],
                    id=None,
                    refers=refers,
                    query=query[2],
                )
            )
    return result


def _carry(result: dict[str, Any], source: dict[str, Any]) -> None:
    """Copy what stands beside `reference`; the FHIR element id steps aside for the target's."""
    for key, value in source.items():
        if key == "reference":
            continue
        result["_id" if key == "id" else key] = value


def _check_local(local: Any, path: Path, state: Conversion) -> None:
    if isinstance(local, str) and local and local not in state.contained:
        state.report(path, "contained resource not found")


def _check_target(
    holder: dict[str, Any], path: Path, state: Conversion, refers: frozenset[str] | None
) -> None:
    target = holder["resourceType"]
    if state.checked:
        state.references.append(
            FoundReference(
                path=path, holder=holder, resource_type=target, id=holder["id"], refers=refers
            )
        )


def wrong_targets(type_name: str, references: Iterable[FoundReference]) -> list[Issue]:
    """Return a finding for each reference to a type that its element does not allow."""
    return [
        Issue(
            message=f"expected reference to {', '.join(sorted(found.refers))}",
            path=found.path,
            type_name=type_name,
        )
        for found in references
        if found.refers is not None and found.resource_type not in found.refers
    ]


def reference_from_aidbox(
    source: dict[str, Any], path: Path, state: Conversion, refers: frozenset[str] | None
) -> dict[str, Any]:
    """Return the stored form of a Reference sent to root; the FHIR form is accepted there too."""
    target = source.get("resourceType")
    target_id = source.get("id")
    rewrite = state.rewrite
    if target is not None and target_id is not None:
        if not isinstance(target, str) or not isinstance(target_id, str):
            return source  # the schema says what is wrong
        if target not in state.metadata.resource_types:
            state.report((*path, "resourceType"), "unknown resource type")
            return source
        if "type" in source or "reference" in source:
            source = _without_repetition(source, target, target_id, path, state)
        else:
            source = source.copy()  # given away as `holder`: never the caller's document
        _check_target(source, path, state, refers)
        return source
    if target_id is not None:
        state.report(path, "Property resourceType is required")
        return source
    text = source.get("reference")
    if text is not None:
        if any(key in source for key in _AIDBOX_TARGET):
            state.report((*path, "reference"), "extra property")
            return source
        if not isinstance(text, str):
            state.report((*path, "reference"), "expected type of string")
            return source
        return _from_text(source, text, path, state, refers)
    uri = source.get("uri")
    if rewrite and isinstance(uri, str) and uri in rewrite:
        result = split_reference(rewrite[uri], state.metadata.resource_types)
        result |= {key: value for key, value in source.items() if key != "uri"}
        if "id" in result:
            _check_target(result, path, state, refers)
        return result
    if "localRef" in source:
        _check_local(source["localRef"], path, state)
    return source


def _without_repetition(
    source: dict[str, Any], target: str, target_id: str, path: Path, state: Conversion
) -> dict[str, Any]:
    """Drop a `type` or `reference` that only repeats the target; report one that differs."""
    result = source.copy()
    named = result.get("type")
    if named == target:
        del result["type"]
    elif named is not None:
        state.report((*path, "type"), f"expected one of {target}")
    text = result.get("reference")
    if text == f"{target}/{target_id}":
        del result["reference"]
    elif text is not None:
        state.report((*path, "reference"), "extra property")
    return result


def reference_to_fhir(source: dict[str, Any], metadata: Metadata) -> dict[str, Any]:
    """Return the FHIR form of a stored Reference. About 0.5 us.

    Precedence: resourceType and id, then uri, then localRef. A resourceType without an id
    becomes `type`, if the FHIR version has that.
    """
    target = source.get("resourceType")
    target_id = source.get("id")
    if target is not None and target_id is not None:
        result = {"reference": f"{target}/{target_id}"}
        if len(source) == 2:
            return result
    else:
        uri = source.get("uri")
        local = source.get("localRef")
        result = {}
        if uri is not None:
            result["reference"] = uri
        elif local is not None:
            result["reference"] = f"#{local}"
    for key, value in source.items():
        if key == "_id":
            result["id"] = value
        elif key not in ("resourceType", "id", "uri", "localRef"):
            result[key] = value
    if target is not None and target_id is None and "type" in reference_members(metadata):
        result.setdefault("type", target)
    return result
