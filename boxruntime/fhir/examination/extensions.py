"""Extensions that the FHIR version defines itself: their values must fit the definition.

An unknown `url` is accepted, and where an extension may stand is not checked.
Source: core specification, "FHIR JSON rules at /fhir" (Extensions); FHIR R4, Extensibility.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.fhir_members import Kind
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxruntime.fhir.examination.rules import Rules
    from boxruntime.fhir.shape import Visit


def extension_issues(rules: Rules, visits: Iterable[Visit]) -> Iterator[Issue]:
    """Yield what is wrong with the content of extensions whose definition is known."""
    for visit in visits:
        if visit.member.kind is not Kind.EXTENSION:
            continue
        url = visit.value.get("url")
        if not isinstance(url, str):
            continue
        if "|" in url:
            yield Issue(
                message="the url of an extension has no version",
                path=(*visit.path, "url"),
                code="invalid",
            )
        definition = rules.extensions.get(url)
        if definition is not None:
            yield from _content(definition, visit.value, visit.path)


def _content(definition: dict[str, Any], extension: dict[str, Any], path: Path) -> Iterator[Issue]:
    types = definition.get("value", [])
    allowed = {choice_key("value", name) for name in types}
    parts = definition.get("parts", {})
    for key in extension:
        if key.startswith("value") and "*" not in types and key not in allowed:
            message = (
                f"expected a value of type {' or '.join(types)}"
                if types
                else "expected nested extensions, not a value"
            )
            yield Issue(message=message, path=(*path, key), code="structure")
    nested = extension.get("extension")
    if not isinstance(nested, list):
        return
    if types and not parts:
        yield Issue(
            message=f"expected a value of type {' or '.join(types)}", path=path, code="structure"
        )
    for index, item in enumerate(nested):
        part = parts.get(str(item.get("url"))) if isinstance(item, dict) else None
        if part is not None:
            yield from _content(part, item, (*path, "extension", index))
