"""FHIR format to Aidbox format.

Source: core specification, "Aidbox and FHIR format" and "FHIR JSON rules".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir import inward
from boxruntime.fhir.compile import Convert, FirstClass, Handler, Node, Rules, choice_key, node_of
from boxruntime.fhir.narrative import clean_narrative
from boxruntime.fhir.references import reference_from_fhir

if TYPE_CHECKING:
    from boxruntime.fhir.conversion import Conversion
    from boxruntime.fhir.metadata import Element, Metadata
    from boxruntime.fhir.outcome import Path


def from_fhir_node(metadata: Metadata, type_name: str) -> Node:
    """Return the compiled converter of a type, FHIR to Aidbox."""
    return node_of(metadata, type_name, RULES)


def _reference(element: Element) -> Convert:
    refers = element.refers

    def convert(source: dict[str, Any], path: Path, state: Conversion) -> dict[str, Any]:
        return reference_from_fhir(source, path, state, refers)

    return convert


def _union(
    element: Element, alternatives: dict[str, Convert | None], siblings: dict[str, Element]
) -> dict[str, Handler]:
    """Handlers of `valueQuantity`, `_valueString` …, and of a literal `value`: no FHIR member."""
    name = element.name
    handlers: dict[str, Handler] = {name: _not_fhir}
    for alternative, convert in alternatives.items():
        key = choice_key(name, alternative)
        if key not in siblings:
            handlers[key] = _alias(name, alternative, convert)
            handlers["_" + key] = _alias(name, "_" + alternative, None)
    return handlers


def _alias(name: str, alternative: str, convert: Convert | None) -> Handler:
    bare = alternative.lstrip("_")

    def handle(result: dict[str, Any], key: str, value: Any, path: Path, state: Conversion) -> None:
        del result[key]
        if convert is not None and type(value) is dict:
            value = convert(value, (*path, name, alternative), state)
        known = result.get(name)
        if known is None:
            result[name] = {alternative: value}
        elif isinstance(known, dict):
            if any(other.lstrip("_") != bare for other in known):
                state.report((*path, name), "expected exactly one type of value")
            result[name] = {**known, alternative: value}

    return handle


def _not_fhir(_result: Any, key: str, _value: Any, path: Path, state: Conversion) -> None:
    """A choice's bare `value`, or a first-class extension by its name: FHIR has no such member."""
    state.report((*path, key), "extra property")


def _first_class(_node: Node, found: list[FirstClass]) -> dict[str, Handler]:
    handlers: dict[str, Handler] = {item.name: _not_fhir for item in found}
    for member in ("extension", "modifierExtension"):
        by_url = {item.url: item for item in found if item.member == member}
        if by_url:
            handlers[member] = _lift(by_url)
    return handlers


def _lift(by_url: dict[str, FirstClass]) -> Handler:
    """Move extensions with a known url into their elements; the others stay raw."""

    def handle(result: dict[str, Any], key: str, value: Any, path: Path, state: Conversion) -> None:
        if type(value) is not list:
            return
        raw = []
        for item in value:
            url = item.get("url") if isinstance(item, dict) else None
            known = by_url.get(url) if isinstance(url, str) else None
            if known is None or not _fits(known, item):
                raw.append(item)
            else:
                _place(result, known, item, path, state)
        if raw:
            result[key] = raw
        else:
            del result[key]

    return handle


def _fits(known: FirstClass, item: dict[str, Any]) -> bool:
    """Whether the element can carry all of the extension; an `id`, say, has no room there."""
    if known.value_key is None:
        return item.keys() == {"url", "extension"} and isinstance(item["extension"], list)
    return len(item) == 2 and any(key.startswith("value") for key in item)


def _place(
    result: dict[str, Any], known: FirstClass, item: dict[str, Any], path: Path, state: Conversion
) -> None:
    place: Path = (*path, known.name)
    present = result.get(known.name)
    if known.array:
        place = (*place, len(present) if isinstance(present, list) else 0)
    elif present is not None:
        state.report(place, "expected a single value")
        return
    value: Any
    if known.value_key is None:
        inner = {"extension": item["extension"]}
        value = known.convert(inner, place, state) if known.convert is not None else inner
    elif known.value_key in item:
        value = item[known.value_key]
        if known.convert is not None and type(value) is dict:
            value = known.convert(value, place, state)
    else:
        state.report(place, f"expected type of {known.type_name}")
        return
    if not known.array:
        result[known.name] = value
    elif isinstance(present, list):
        result[known.name] = [*present, value]
    else:
        result[known.name] = [value]


RULES = Rules(
    kind="from_fhir",
    run=inward.run,
    one=inward.one,
    many=inward.many,
    reference=_reference,
    resource=lambda _element: inward.inner_resource(from_fhir_node),
    types={"Narrative": clean_narrative},
    union=_union,
    first_class=_first_class,
)
