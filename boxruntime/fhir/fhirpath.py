"""Our one door to the FHIRPath engine: compiled once, imported only when somebody evaluates.

The engine lacks functions that FHIR adds to FHIRPath, reads `Boolean` as something else than FHIR's
boolean, and raises whatever it stumbles over; these are mended here.
Source: FHIR R4, FHIRPath ("Additional functions", "Using FHIR types in expressions").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MODELS = {"1.0": "dstu2", "3.0": "stu3", "4.0": "r4", "4.3": "r4", "5.0": "r5"}
"""What the engine calls the types of a FHIR version; R4B has R4's."""
_UCUM = "http://unitsofmeasure.org"
_SYSTEM_TYPE = re.compile(r"\b(is|as)(\s+|\()(Boolean|String|Integer|Decimal)\b")


class NotEvaluableError(Exception):
    """The engine could not say what the expression is worth."""


def prepare(expressions: Iterable[str], fhir_version: str) -> None:
    """Import the engine and parse expressions, so that boxes share them. 0.4 s for R4's 200.

    A box process may not read the engine's files once it gave up its rights.
    """
    for expression in expressions:
        _parsed(expression)
    holds("true", fhir_version=fhir_version, value={}, type_path="Element", resource={}, root={})


def holds(
    expression: str,
    *,
    fhir_version: str,
    value: Any,
    type_path: str,
    resource: dict[str, Any],
    root: dict[str, Any],
) -> bool:
    """Tell whether a constraint holds at a value, itself a part of the resource `resource`.

    `type_path` names what the value is: "Patient.contact", "Quantity". `root` is what
    %rootResource means. An empty result does not hold, unless it comes from `implies` (what is
    unknown implies nothing) or from the target of a reference, which nobody looks up. 80 us for a usual expression, a few ms when it is first seen.
    Raises NotEvaluableError.
    """
    from fhirpathpy import apply_parsed_path  # 60 ms and 10 MB: most boxes never evaluate
    from fhirpathpy.engine.nodes import ResourceNode

    model = _model(fhir_version)
    variables = {"resource": resource, "rootResource": root, "ucum": _UCUM}
    try:
        parsed = _parsed(expression)
        node = ResourceNode.create_node(value, type_path)  # type: ignore[no-untyped-call]
        result = apply_parsed_path(node, parsed, variables, model, _OPTIONS)  # type: ignore[no-untyped-call]
    except RecursionError:
        raise
    except Exception as error:
        raise NotEvaluableError(type(error).__name__) from error
    if len(result) == 1 and isinstance(result[0], bool):
        return result[0]
    return bool(result) or "resolve()" in expression or _is_implication(parsed)


@lru_cache(maxsize=4096)
def _parsed(expression: str) -> dict[str, Any]:
    from fhirpathpy.parser import parse

    fhir_types = _SYSTEM_TYPE.sub(lambda m: m[1] + m[2] + m[3].lower(), expression)
    parsed: dict[str, Any] = parse(fhir_types)  # type: ignore[no-untyped-call]
    return parsed


@lru_cache(maxsize=8)
def _model(fhir_version: str) -> dict[str, Any]:
    from fhirpathpy.models import models

    model: dict[str, Any] = models[_MODELS[fhir_version[:3]]]
    return model


def _is_implication(parsed: dict[str, Any]) -> bool:
    node = parsed
    while len(node.get("children", ())) == 1:
        node = node["children"][0]
    return bool(node["type"] == "ImpliesExpression")


def _has_value(items: list[Any]) -> bool:
    return len(items) == 1 and items[0] is not None and not isinstance(items[0], (dict, list))


def _on_text(test: Callable[[str, str], object]) -> dict[str, Any]:
    """A test of a text that is false, not empty, where there is none: HL7's validator reads it so."""

    def applied(items: list[Any], argument: str) -> bool:
        return len(items) == 1 and isinstance(items[0], str) and bool(test(items[0], argument))

    return {"fn": applied, "arity": {1: ["String"]}}


def _matches(text: str, pattern: str) -> bool:
    return re.search(pattern, text) is not None


_OPTIONS: dict[str, Any] = {
    "traceFn": lambda _label, _value: None,
    "userInvocationTable": {
        "hasValue": {"fn": _has_value, "arity": {0: []}},
        "resolve": {"fn": lambda _items: [], "arity": {0: []}},
        "startsWith": _on_text(str.startswith),
        "endsWith": _on_text(str.endswith),
        "contains": _on_text(str.__contains__),
        "matches": _on_text(_matches),
    },
}
