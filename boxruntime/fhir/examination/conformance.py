"""What FHIR says in prose about resources that define: value sets, code systems, questionnaires.

Source: FHIR R4, ValueSet, CodeSystem ("Code System Supplements"), CapabilityStatement,
Questionnaire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.examination.ecl import is_expression_constraint
from boxruntime.fhir.examination.identities import is_relative
from boxruntime.fhir.fhir_members import Kind
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from boxruntime.fhir.examination.rules import Rules
    from boxruntime.fhir.shape import Visit

_SNOMED = "http://snomed.info/sct"
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
                yield from _codes(rules, system, part, "concept", place)
            if system == _SNOMED:
                yield from _constraints(part, place)


def _constraints(part: dict[str, Any], path: Path) -> Iterator[Issue]:
    for place, each in _objects(part, "filter", path):
        value = each.get("value")
        if each.get("property") != "constraint" or not isinstance(value, str):
            continue
        if not is_expression_constraint(value):
            yield _issue(place, "the value is no expression constraint")


def _codes(
    rules: Rules, system: Any, holder: dict[str, Any], key: str, path: Path
) -> Iterator[Issue]:
    """Each object of an array has a code of the system, if the system is held completely."""
    for place, each in _objects(holder, key, path) if isinstance(system, str) else ():
        code = each.get("code")
        if isinstance(code, str) and rules.knows_code(system, code) is False:
            yield _issue(place, "a code that its system does not have")


def _concept_map(rules: Rules, resource: dict[str, Any], path: Path) -> Iterator[Issue]:
    for place, group in _objects(resource, "group", path):
        if "sourceVersion" not in group:
            yield from _codes(rules, group.get("source"), group, "element", place)
        if "targetVersion" not in group:
            for where, element in _objects(group, "element", place):
                yield from _codes(rules, group.get("target"), element, "target", where)


def _code_system(rules: Rules, resource: dict[str, Any], path: Path) -> Iterator[Issue]:
    concepts = list(_nested(resource, "concept", path))
    base = resource.get("supplements")
    if isinstance(base, str):
        if resource.get("content") != "supplement":
            yield _issue((*path, "content"), "a supplement must have the content supplement")
        if "|" not in base:
            for place, concept in concepts:
                if rules.knows_code(base, str(concept.get("code"))) is False:
                    yield _issue(place, "a code that the supplemented system does not have")
    count = resource.get("count")
    is_complete = resource.get("content") == "complete"
    if type(count) is int and is_complete and concepts and count != len(concepts):
        yield _issue((*path, "count"), "the count of a complete system is that of its concepts")
    types = {
        str(each.get("code")): each.get("type") for _, each in _objects(resource, "property", path)
    }
    for place, concept in concepts:
        for where, stated in _objects(concept, "property", place):
            wanted = types.get(str(stated.get("code")))
            if not isinstance(wanted, str):
                continue
            if any(k.startswith("value") and k != choice_key("value", wanted) for k in stated):
                yield _issue(where, f"this property has values of type {wanted}")


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
    items = list(_nested(resource, "item", path))
    known = {str(item.get("linkId")) for _, item in items}
    for place, item in items:
        for where, condition in _objects(item, "enableWhen", place):
            question = condition.get("question")
            if isinstance(question, str) and question not in known:
                yield _issue(where, "a condition on a question that is not there")


def _nested(holder: dict[str, Any], key: str, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the objects of an array that each have such an array again, at any depth."""
    for place, item in _objects(holder, key, path):
        yield place, item
        yield from _nested(item, key, place)


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
    "ConceptMap": _concept_map,
    "Questionnaire": _questionnaire,
}
