"""Observations of vital signs: the profile of their LOINC code applies, whether named or not.

Source: FHIR R4, Observation Vital Signs Profiles (vs-1 to vs-3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.fhir_members import Kind
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from boxruntime.fhir.examination.rules import Rules
    from boxruntime.fhir.shape import Visit

_LOINC = "http://loinc.org"
_UCUM = "http://unitsofmeasure.org"
_CATEGORY = ("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")
_SHORTEST_DAY = 8
"""vs-1: an effectiveDateTime says the day at least."""


def vital_sign_issues(
    rules: Rules, visits: Iterable[Visit], asked: Sequence[str] = ()
) -> Iterator[Issue]:
    """Yield where an Observation breaks the profile of its vital sign.

    `asked`: profiles that the outermost resource shall be held to as well.
    """
    for visit in visits:
        if visit.member.kind is Kind.RESOURCE and visit.scope.type_name == "Observation":
            codings = _codings(visit.value.get("code"))
            meta = visit.value.get("meta")
            stated = meta.get("profile") if isinstance(meta, dict) else None
            named = [*(stated if isinstance(stated, list) else ()), *(() if visit.path else asked)]
            for url, profile in rules.vital_signs.items():
                has_code = (_LOINC, profile["code"]) in codings
                if has_code or url in named:
                    if not has_code and "code" in visit.value:
                        message = f"the profile wants the LOINC code {profile['code']}"
                        yield _issue((*visit.path, "code"), message)
                    yield from _observation(profile, visit.value, visit.path)


def _observation(profile: dict[str, Any], value: dict[str, Any], path: Path) -> Iterator[Issue]:
    categories = value.get("category")
    listed = categories if isinstance(categories, list) else []
    if not any(_CATEGORY in _codings(each) for each in listed):
        yield _issue(path, "a vital sign has the category vital-signs")
    if "subject" not in value:
        yield _issue(path, "a vital sign has a subject")
    if not any(key.lstrip("_") in {"effectiveDateTime", "effectivePeriod"} for key in value):
        yield _issue(path, "a vital sign has an effective dateTime or Period")
    moment = value.get("effectiveDateTime")
    if isinstance(moment, str) and len(moment) < _SHORTEST_DAY:
        yield _issue((*path, "effectiveDateTime"), "vs-1: a vital sign tells its day at least")
    parts = _objects(value.get("component"))
    if not (parts or "hasMember" in value or _has_value(value)):
        yield _issue(path, "vs-2: a vital sign has a value, or tells why not")
    for index, part in parts:
        if not _has_value(part):
            place = (*path, "component", index)
            yield _issue(place, "vs-3: a component has a value, or tells why not")
    if "units" in profile:
        yield from _quantity(value.get("valueQuantity"), profile["units"], (*path, "valueQuantity"))
    for code, units in profile.get("components", {}).items():
        matching = [(i, part) for i, part in parts if (_LOINC, code) in _codings(part.get("code"))]
        if not matching:
            yield _issue(path, f"a component with the LOINC code {code} is required")
        for index, part in matching:
            place = (*path, "component", index, "valueQuantity")
            yield from _quantity(part.get("valueQuantity"), units, place)


def _quantity(quantity: Any, units: list[str], path: Path) -> Iterator[Issue]:
    if not isinstance(quantity, dict):
        return
    for name in ("value", "unit", "system", "code"):
        if name not in quantity and f"_{name}" not in quantity:
            yield _issue(path, f"Property {name} is required")
    if quantity.get("system", _UCUM) != _UCUM:
        yield _issue((*path, "system"), f"expected one of {_UCUM}")
    elif units and quantity.get("code", units[0]) not in units:
        yield _issue((*path, "code"), f"expected one of {', '.join(units)}")


def _has_value(holder: dict[str, Any]) -> bool:
    return any(key.lstrip("_").startswith("value") or key == "dataAbsentReason" for key in holder)


def _codings(concept: Any) -> list[tuple[Any, Any]]:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    return [(each.get("system"), each.get("code")) for _, each in _objects(codings)]


def _objects(items: Any) -> list[tuple[int, dict[str, Any]]]:
    listed = items if isinstance(items, list) else []
    return [(index, item) for index, item in enumerate(listed) if isinstance(item, dict)]


def _issue(path: Path, message: str) -> Issue:
    return Issue(message=message, path=path, code="structure")
