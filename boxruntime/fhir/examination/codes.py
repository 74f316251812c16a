"""Codes against what the definitions list: required bindings, and systems that are held whole.

Source: core specification, "$validate"; FHIR R4, Terminologies, "Required".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxruntime.fhir.examination.rules import Rules
    from boxruntime.fhir.metadata import Element
    from boxruntime.fhir.shape import Visit

_NO_CODE = "no code, where one of the value set is required"
_UNKNOWN = "a code that its system does not have"
_NOT_IN_SET = "expected a code of the required value set"
_SYNTAX = {
    # BCP 13: type/subtype, with parameters.
    "http://hl7.org/fhir/ValueSet/mimetypes": re.compile(
        # FHIR itself uses the short names of its formats where it takes a media type.
        r"[A-Za-z0-9!#$&^_.+\-]+/[A-Za-z0-9!#$&^_.+\-]+(\s*;.*)?|xml|json|ttl|none"
    ),
    "http://hl7.org/fhir/ValueSet/languages": re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"),
    "http://hl7.org/fhir/ValueSet/currencies": re.compile(r"[A-Z]{3}"),
}
"""Value sets that cannot be listed, yet whose codes have a form."""


def code_issues(rules: Rules, visits: Iterable[Visit]) -> Iterator[Issue]:
    """Yield what is wrong with codes, Codings and CodeableConcepts."""
    for visit in visits:
        element, value, path = visit.member.element, visit.value, visit.path
        required = element.strength == "required" and element.value_set is not None
        if element.type == "code":
            yield from _code(element, value, path, is_required=required)
        elif not isinstance(value, dict):
            continue
        elif element.type == "Coding":
            if (message := _coding(rules, value)) is not None:
                yield _issue((*path, "code"), message)
            elif required:
                yield from _bound(rules, element, [value], path)
        elif element.type == "CodeableConcept" and required:
            codings = value.get("coding", [])
            listed = [c for c in codings if isinstance(c, dict)] if type(codings) is list else []
            yield from _bound(rules, element, listed, path)


def _code(element: Element, value: Any, path: Path, *, is_required: bool) -> Iterator[Issue]:
    if value is None:
        if is_required:
            yield _issue(path, _NO_CODE)
        return
    syntax = _SYNTAX.get(element.value_set or "")
    if syntax is not None and isinstance(value, str) and not syntax.fullmatch(value):
        yield _issue(path, _NOT_IN_SET)


def _coding(rules: Rules, coding: dict[str, Any]) -> str | None:
    """Return what is wrong with a Coding as such."""
    system, code = coding.get("system"), coding.get("code")
    if not isinstance(system, str) or not isinstance(code, str) or "version" in coding:
        return None
    return _UNKNOWN if rules.knows_code(system, code) is False else None


def _bound(
    rules: Rules, element: Element, codings: list[dict[str, Any]], path: Path
) -> Iterator[Issue]:
    """One of the codings must come from the value set; a set that is not held says nothing."""
    allowed = rules.value_sets.get(element.value_set or "")
    if allowed is None:
        return
    if not any("code" in coding for coding in codings):
        yield _issue(path, _NO_CODE)
    elif not any(
        str(coding.get("code")) in allowed.get(str(coding.get("system")), ()) for coding in codings
    ):
        yield _issue(path, _NOT_IN_SET)


def _issue(path: Path, message: str) -> Issue:
    return Issue(message=message, path=path, code="code-invalid")
