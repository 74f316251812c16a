"""Valid published resources, and the same with one thing changed: input of property tests."""

from __future__ import annotations

import copy
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from boxruntime.fhir.json_text import encode_json
from tests.conformance.data import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG = (
    True, 5, -1, 2**40, Decimal("1.5"), "", " ", "x y\n", "2001-02-30", "1e400", "urn:x",
    "not base64!", None, [], {}, ["x"], {"bogus": 1},
)  # fmt: skip
EXTENSION = {"url": "http://x.org/e", "valueCode": "x"}
SHADOWS = (
    {"id": "a"}, {"extension": [EXTENSION]}, {"extension": [{"url": "http://x.org/e"}]},
    {"extension": [5]}, {"bogus": 1}, {}, None, [None], [{"id": "a"}], [{"extension": [EXTENSION]}],
    "x", 5,
)  # fmt: skip
_MAX_BYTES = 20_000
"""Of an example: larger ones only take longer."""


@cache
def small_examples() -> tuple[dict[str, Any], ...]:
    """Return the examples that are valid and not large."""
    faulty = {("Questionnaire", "qs1")}
    return tuple(
        each
        for each in examples()
        if len(encode_json(each)) < _MAX_BYTES and (each["resourceType"], each["id"]) not in faulty
    )


ODD = (
    *WRONG, [[]], "#", "|", {"coding": 5}, {"coding": [5]}, {"reference": 5}, {"reference": "#"},
    {"url": {}}, {"resourceType": []}, {"resourceType": "Patient"}, {"start": 5, "end": "x"},
    {"start": "2000-01-01T00:00:00Z", "end": "no time at all, but long"}, {"value": "x", "code": []},
)  # fmt: skip


def _places(value: Any, *, is_root: bool = True) -> Iterator[tuple[Any, Any]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        if not (is_root and key == "resourceType"):
            yield value, key
            yield from _places(item, is_root=False)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Return an example with one member or item dropped, replaced, wrapped, repeated or added."""
    document = copy.deepcopy(draw(st.sampled_from(small_examples())))
    places = list(_places(document))
    holder, key = places[draw(st.integers(0, len(places) - 1))]
    value = holder[key]
    match draw(st.sampled_from(("drop", "wrong", "wrong", "shadow", "list", "unlist", "more"))):
        case "drop":
            del holder[key]
        case "wrong":
            holder[key] = draw(st.sampled_from(WRONG))
        case "shadow" if isinstance(key, str):
            holder[f"_{key}"] = draw(st.sampled_from(SHADOWS))
        case "list":
            holder[key] = [value]
        case "unlist" if isinstance(value, list) and value:
            holder[key] = value[0]
        case "more" if isinstance(value, list):
            value.append(draw(st.sampled_from((None, "x", {}, []))))
        case "more" if isinstance(key, str) and key.startswith("value") and key != "value":
            holder["valueString" if key == "valueInteger" else "valueInteger"] = 1
        case _:
            (value if isinstance(value, dict) else document)["nothingLikeThis"] = 1
    return document


@st.composite
def spoiled(draw: st.DrawFn) -> dict[str, Any]:
    """Return an example in which several things are what nobody would expect there."""
    document = copy.deepcopy(draw(st.sampled_from(small_examples())))
    for _ in range(draw(st.integers(1, 5))):
        places = list(_places(document))
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        holder[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return document
