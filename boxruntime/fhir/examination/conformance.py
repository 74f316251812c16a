"""What FHIR says in prose about resources that define: value sets, code systems, questionnaires.

Source: FHIR R4, ValueSet, CodeSystem ("Code System Supplements"), CapabilityStatement,
Questionnaire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.examination.identities import is_relative
from boxruntime.fhir.fhir_members import Kind
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from boxruntime.fhir.examination.rules import Rules
    from boxruntime.fhir.shape import Visit

Found = list[tuple[Path, dict[str, Any]]]


def conformance_issues(rules: Rules, visits: Iterable[Visit]) -> Iterator[Issue]:
    """Yield what is wrong with conformance and terminology resources, contained ones included."""
    for visit in visits:
        if visit.member.kind is Kind.RESOURCE:
            judge = _JUDGES.get(visit.scope.type_name)
            if judge is not None:
                yield from judge(rules, visit.value, visit.path)


def _value_set(rules: Rules, resource: dict[str, Any], path: Path) -> Iterator[Issue]:
    compose = resource.get("compose")
    for key in ("include", "exclude"):
        for place, part in _objects(compose, key, (*path, "compose")):
            system = part.get("system")
            if is_relative(system):
                yield _issue(place, "the system of a value set must be absolute")
            elif isinstance(system, str) and "version" not in part:
                for where, concept in _objects(part, "concept", place):
                    if rules.knows_code(system, str(concept.get("code"))) is False:
                        yield _issue(where, "a code that its system does not have")


def _code_system(rules: Rules, resource: dict[str, Any], path: Path) -> Iterator[Issue]:
    base = resource.get("supplements")
    if not isinstance(base, str):
        return
    if resource.get("content") != "supplement":
        yield _issue((*path, "content"), "a supplement must have the content supplement")
    for place, concept in _objects(resource, "concept", path):
        if rules.knows_code(base.partition("|")[0], str(concept.get("code"))) is False:
            yield _issue(place, "a code that the supplemented system does not have")


def _capabilities(rules: Rules, resource: dict[str, Any], path: Path) -> Iterator[Issue]:
    """A search parameter has the type that its definition gives it."""
    for rest_place, rest in _objects(resource, "rest", path):
        for place, row in _objects(rest, "resource", rest_place):
            for where, parameter in _objects(row, "searchParam", place):
                definition = str(parameter.get("definition")).partition("|")[0]
                base, _, name = definition.rpartition("/")
                known = rules.search_types.get(name)
                if base != "http://hl7.org/fhir/SearchParameter" or known is None:
                    continue
                if "type" in parameter and parameter["type"] != known:
                    yield _issue(where, f"this search parameter has the type {known}")


def _questionnaire(_rules: Rules, resource: dict[str, Any], path: Path) -> Iterator[Issue]:
    """A condition names a question that is there."""
    items = list(_nested(resource, path))
    known = {item.get("linkId") for _, item in items}
    for place, item in items:
        for where, condition in _objects(item, "enableWhen", place):
            question = condition.get("question")
            if isinstance(question, str) and question not in known:
                yield _issue(where, "a condition on a question that is not there")


def _nested(holder: dict[str, Any], path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for place, item in _objects(holder, "item", path):
        yield place, item
        yield from _nested(item, place)


def _objects(holder: Any, key: str, path: Path) -> Found:
    """Return the objects of an array with their places; none of what has another shape."""
    items = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(items, list):
        return []
    return [((*path, key, i), item) for i, item in enumerate(items) if isinstance(item, dict)]


def _issue(path: Path, message: str) -> Issue:
    return Issue(message=message, path=path, code="business-rule")


_JUDGES: dict[str, Callable[[Rules, dict[str, Any], Path], Iterator[Issue]]] = {
    "ValueSet": _value_set,
    "CodeSystem": _code_system,
    "CapabilityStatement": _capabilities,
    "Questionnaire": _questionnaire,
}
