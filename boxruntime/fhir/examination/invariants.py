"""The FHIRPath invariants of the base definitions, each with its own severity.

Source: core specification, "$validate"; FHIR R4, Conformance Rules, "Constraints".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.examination.native import NATIVE
from boxruntime.fhir.fhir_members import Kind
from boxruntime.fhir.fhirpath import NotEvaluableError, holds
from boxruntime.fhir.outcome import Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxruntime.fhir.examination.rules import Constraint, Rules
    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.shape import Visit

_ELSEWHERE = frozenset({"ele-1", "ext-1", "txt-1", "txt-2", "dom-3", "ref-1"})
"""Judged where their subject is: shape, narratives, references inside a resource."""


def invariant_issues(metadata: Metadata, rules: Rules, visits: Iterable[Visit]) -> Iterator[Issue]:
    """Yield an issue for each invariant that does not hold, at its context element."""
    finder = _Finder(metadata, rules)
    for visit in visits:
        type_path, constraints = finder.of(visit)
        for constraint in constraints:
            if constraint.key == "dom-6" and visit.scope.root is not visit.scope.resource:
                continue  # a contained resource needs no narrative
            if not _holds(metadata, constraint, type_path, visit):
                yield Issue(
                    message=f"{constraint.key}: {constraint.human}",
                    path=visit.path,
                    code="invariant",
                    severity=constraint.severity,
                )


def _holds(metadata: Metadata, constraint: Constraint, type_path: str, visit: Visit) -> bool:
    native = NATIVE.get(constraint.key)
    if native is not None:
        return native(visit.value)
    try:
        return holds(
            constraint.expression,
            fhir_version=metadata.fhir_version,
            value=visit.value,
            type_path=type_path,
            resource=visit.scope.resource,
            root=visit.scope.root,
        )
    except NotEvaluableError:
        return True  # of a shape that is reported already, or beyond the engine


class _Finder:
    """Which invariants concern a place: its type's and bases', and those of the element itself."""

    def __init__(self, metadata: Metadata, rules: Rules) -> None:
        self._metadata = metadata
        self._rules = rules
        self._known: dict[Any, tuple[str, tuple[Constraint, ...]]] = metadata.artefacts(
            "invariants"
        )

    def of(self, visit: Visit) -> tuple[str, tuple[Constraint, ...]]:
        member = visit.member
        name = visit.scope.type_name if member.kind is Kind.RESOURCE else ""
        key = (member.owner, member.element.path, name)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._find(visit, name)
        return found

    def _find(self, visit: Visit, resource_type: str) -> tuple[str, tuple[Constraint, ...]]:
        element = visit.member.element
        if resource_type:
            return resource_type, self._of_type(resource_type)
        own = element.path[:-1] if _is_alternative(self._metadata, visit) else element.path
        at_place = self._at(visit.member.owner, own)
        if element.type is not None:
            return element.type, (*self._of_type(element.type), *at_place)
        owner, path = visit.member.below
        return ".".join((owner, *path)), self._at(owner, path)

    def _of_type(self, name: str | None) -> tuple[Constraint, ...]:
        found: tuple[Constraint, ...] = ()
        while name is not None:
            found = (*self._at(name, ()), *found)
            type_def = self._metadata.find_type(self._metadata.fhir_type(name))
            name = type_def.base if type_def is not None else None
        return found

    def _at(self, owner: str, path: tuple[str, ...]) -> tuple[Constraint, ...]:
        constraints = self._rules.constraints.get((owner.removeprefix("fhir:"), ".".join(path)), ())
        return tuple(c for c in constraints if c.key not in _ELSEWHERE)


def _is_alternative(metadata: Metadata, visit: Visit) -> bool:
    """Whether the member is one alternative of a choice: the choice's constraints are its own."""
    path = visit.member.element.path
    above = metadata.find_element(visit.member.owner, path[:-1]) if len(path) > 1 else None
    return above is not None and bool(above.union)
