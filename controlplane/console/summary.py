"""One line that tells a resource from its neighbours in a list."""

from __future__ import annotations

from typing import Any

MAX_LENGTH = 120


def summarize(resource: dict[str, Any]) -> str:
    """Return a name, title, code or the like of a resource in FHIR format; "" if it has none."""
    parts = [
        _first(
            _human_name(resource.get("name")),
            _text(resource.get("title")),
            _text(resource.get("description")),
            _concept(resource.get("code")),
            _concept(resource.get("vaccineCode")),
            _concept(resource.get("medicationCodeableConcept")),
            _concept(_one(resource.get("type"))),
            _concept(_one(resource.get("category"))),
        ),
        _value(resource),
        _when(resource),
        _text(resource.get("status")),
    ]
    line = " · ".join(part for part in parts if part)
    return line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH - 1] + "…"


def _first(*texts: str) -> str:
    return next((text for text in texts if text), "")


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _human_name(value: Any) -> str:
    name = _one(value)
    if isinstance(name, str):
        return name
    if not isinstance(name, dict):
        return ""
    given = [part for part in name.get("given") or [] if isinstance(part, str)]
    built = " ".join([*given, _text(name.get("family"))]).strip()
    return _text(name.get("text")) or built


def _concept(value: Any) -> str:
    concept = _one(value)
    if isinstance(concept, str):
        return concept
    if not isinstance(concept, dict):
        return ""
    coding = _one(concept.get("coding"))
    if not isinstance(coding, dict):
        coding = concept
    return _first(
        _text(concept.get("text")), _text(coding.get("display")), _text(coding.get("code"))
    )


def _value(resource: dict[str, Any]) -> str:
    quantity = resource.get("valueQuantity")
    if isinstance(quantity, dict) and "value" in quantity:
        return f"{_number(quantity['value'])} {_text(quantity.get('unit'))}".strip()
    return _first(
        _text(resource.get("valueString")), _concept(resource.get("valueCodeableConcept"))
    )


def _number(value: Any) -> str:
    """Return six significant digits: enough to tell rows apart; the resource's page has all."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _when(resource: dict[str, Any]) -> str:
    for key in (
        "birthDate", "effectiveDateTime", "onsetDateTime", "occurrenceDateTime", "authoredOn",
        "recordedDate", "created", "issued", "date",
    ):  # fmt: skip
        if isinstance(resource.get(key), str):
            return str(resource[key])[:10]
    for key in ("period", "performedPeriod", "billablePeriod", "effectivePeriod"):
        period = resource.get(key)
        if isinstance(period, dict) and isinstance(period.get("start"), str):
            return str(period["start"])[:10]
    return ""
