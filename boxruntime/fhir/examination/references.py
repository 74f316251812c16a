"""References inside one resource: what is contained, and what kind of thing is pointed at.

Whether a target exists in the box is the business of writes.
Source: FHIR R4, References ("Contained Resources"; dom-3, ref-1); core specification, "References".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.fhir_members import Kind
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.shape import Scope, Visit

TARGET = re.compile(
    r"(?:^|.*/)(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?"
)


def reference_issues(metadata: Metadata, visits: Iterable[Visit]) -> Iterator[Issue]:
    """Yield what is wrong with references, and with the resources contained in a resource."""
    for visit in visits:
        if visit.member.element.type == "Reference":
            yield from _reference(metadata, visit)
        elif visit.member.kind is Kind.RESOURCE and visit.scope.root is visit.scope.resource:
            yield from _contained(visit)


def _reference(metadata: Metadata, visit: Visit) -> Iterator[Issue]:
    text = visit.value.get("reference")
    if not isinstance(text, str) or not text:
        return
    if text.startswith("#"):
        target = _contained_type(visit.scope, text[1:])
        if target is None and len(text) > 1:
            message = "ref-1: contained resource not found"
            yield Issue(message=message, path=visit.path, code="invariant")
    else:
        match = TARGET.fullmatch(text)
        target = match["type"] if match is not None else None
    refers = visit.member.element.refers
    if (
        refers is not None
        and target is not None
        and target in metadata.resource_types
        and target not in refers
    ):
        message = f"expected reference to {', '.join(sorted(refers))}"
        yield Issue(message=message, path=visit.path, code="structure")


def _contained_type(scope: Scope, id_: str) -> str | None:
    for item in _items(scope.root):
        if item.get("id") == id_:
            return str(item.get("resourceType"))
    return None


def _items(resource: dict[str, Any]) -> list[dict[str, Any]]:
    contained = resource.get("contained")
    items = contained if isinstance(contained, list) else []
    return [item for item in items if isinstance(item, dict)]


def _contained(visit: Visit) -> Iterator[Issue]:
    """Each contained resource has an id of its own, and something points from or to it (dom-3)."""
    resource, path = visit.value, visit.path
    if "contained" not in resource:
        return
    used: set[str] = set()
    _fragments(resource, used)
    seen: set[str] = set()
    for index, item in enumerate(resource["contained"] if _items(resource) else ()):
        if not isinstance(item, dict):
            continue
        id_, place = item.get("id"), (*path, "contained", index)
        if not isinstance(id_, str):
            yield _issue(place, "a contained resource needs an id")
            continue
        if id_ in seen:
            yield _issue((*place, "id"), "an id that another contained resource has")
        seen.add(id_)
        own: set[str] = set()
        _fragments(item, own)
        if f"#{id_}" not in used and "#" not in own:
            yield Issue(
                message="dom-3: a contained resource that nothing refers to, nor it to the resource",
                path=place,
                code="invariant",
                severity="error",
            )


def _fragments(value: Any, found: set[str]) -> None:
    """Gather every text that begins with "#", wherever it stands."""
    if isinstance(value, str):
        if value.startswith("#"):
            found.add(value)
    elif isinstance(value, dict):
        for item in value.values():
            _fragments(item, found)
    elif isinstance(value, list):
        for item in value:
            _fragments(item, found)


def _issue(path: Path, message: str) -> Issue:
    return Issue(message=message, path=path, code="invalid")
