"""Resources made of a document by a template. Source: core specification, "Structured data capture"."""

from __future__ import annotations

import pytest

from boxruntime.fhir.capture import extract
from boxruntime.fhir.outcome import OutcomeError

SOURCE = {"resourceType": "Vitals", "id": "v1", "rate": 71, "marks": [{"at": "a"}, {"at": "b"}],
          "none": None, "no": False}  # fmt: skip


def path(*steps):
    return {"$path!": list(steps)}


def one(body, source=SOURCE):
    (found,) = extract({"Observation": {"hr": body}}, source)
    return {k: v for k, v in found.items() if k not in {"resourceType", "id", "meta"}}


def test_each_prefix_of_each_type_makes_one_resource_in_order():
    template = {"Observation": {"hr": {"status": "final"}, "bp": {}}, "Flag": {"f": {}}}
    assert extract(template, SOURCE) == [
        {"resourceType": "Observation", "id": "hr-v1", "meta": {"sourceId": "v1"},
         "status": "final"},
        {"resourceType": "Observation", "id": "bp-v1", "meta": {"sourceId": "v1"}},
        {"resourceType": "Flag", "id": "f-v1", "meta": {"sourceId": "v1"}},
    ]  # fmt: skip


def test_the_template_decides_neither_type_nor_id_but_keeps_its_meta():
    body = {"resourceType": "Client", "id": "x", "meta": {"tag": [{"code": "t"}], "sourceId": "y"}}
    (found,) = extract({"Observation": {"hr": body}}, SOURCE)
    assert (found["resourceType"], found["id"]) == ("Observation", "hr-v1")
    assert found["meta"] == {"tag": [{"code": "t"}], "sourceId": "v1"}


def test_paths_are_replaced_at_any_depth():
    body = {"value": {"Quantity": {"value": path("rate"), "unit": "/min"}},
            "notes": [{"text": path("marks", 1, "at")}], "whole": path("marks")}  # fmt: skip
    assert one(body) == {
        "value": {"Quantity": {"value": 71, "unit": "/min"}},
        "notes": [{"text": "b"}],
        "whole": SOURCE["marks"],
    }


@pytest.mark.parametrize(
    "steps", [("nothing",), ("rate", "x"), ("marks", 2), ("marks", "at"), ("none",), (0,)]
)
def test_a_path_that_leads_nowhere_leaves_member_or_item_out(steps):
    body = {"a": path(*steps), "b": {"c": path(*steps)}, "d": [1, path(*steps)]}
    assert one(body) == {"b": {}, "d": [1]}


def test_false_is_a_value():
    assert one({"a": path("no")}) == {"a": False}


def test_a_source_without_id_gives_none():
    assert extract({"Flag": {"f": {"a": 1}}}, {}) == [{"a": 1, "resourceType": "Flag"}]


@pytest.mark.parametrize(
    "template",
    [
        None, [], "x", {"Flag": []}, {"Flag": {"f": 1}}, {"Flag": {"f": path("rate")}},
        {"Flag": {"f": {"a": {"$path!": "rate"}}}}, {"Flag": {"f": {"a": {"$path!": []}}}},
        {"Flag": {"f": {"a": {"$path!": [-1]}}}}, {"Flag": {"f": {"a": {"$path!": [True]}}}},
        {"Flag": {"f": {"a": {"$path!": ["rate"], "b": 1}}}},
    ],
)  # fmt: skip
def test_a_template_that_is_none_is_refused_at_its_place(template):
    with pytest.raises(OutcomeError) as refused:
        extract(template, SOURCE)
    assert all(issue.path[0] == "template" for issue in refused.value.issues)
