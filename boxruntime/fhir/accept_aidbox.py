"""Aidbox format as sent to root: already the stored form, but for references.

Source: core specification, "References".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir import inward
from boxruntime.fhir.compile import Convert, FirstClass, Handler, Node, Rules, node_of
from boxruntime.fhir.narrative import clean_narrative
from boxruntime.fhir.references import reference_from_aidbox

if TYPE_CHECKING:
    from boxruntime.fhir.conversion import Conversion
    from boxruntime.fhir.metadata import Element, Metadata
    from boxruntime.fhir.outcome import Path


def accepting_node(metadata: Metadata, type_name: str) -> Node:
    """Return the compiled walker of a type, Aidbox to Aidbox."""
    return node_of(metadata, type_name, RULES)


def _reference(element: Element) -> Convert:
    refers = element.refers

    def convert(source: dict[str, Any], path: Path, state: Conversion) -> dict[str, Any]:
        return reference_from_aidbox(source, path, state, refers)

    return convert


def _union(
    element: Element, alternatives: dict[str, Convert | None], _siblings: dict[str, Element]
) -> dict[str, Handler]:
    """The choice object is a node of its own, if an alternative can hold a reference."""
    inner = Node()
    for alternative, convert in alternatives.items():
        if convert is not None:
            inner.handlers[alternative] = inward.one(convert)
    if not inner.handlers:
        return {}
    wrap = inward.many if element.array else inward.one
    return {element.name: wrap(inward.run(inner))}


def _first_class(_node: Node, found: list[FirstClass]) -> dict[str, Handler]:
    """At root a first-class extension is an ordinary element."""
    return {
        item.name: (inward.many if item.array else inward.one)(item.convert)
        for item in found
        if item.convert is not None
    }


RULES = Rules(
    kind="accept_aidbox",
    run=inward.run,
    one=inward.one,
    many=inward.many,
    reference=_reference,
    resource=lambda _element: inward.inner_resource(accepting_node),
    types={"Narrative": clean_narrative},
    union=_union,
    first_class=_first_class,
)
