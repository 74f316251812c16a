"""The newest Observations of each code. Source: core specification, "Compartments and `$lastn`"."""

from __future__ import annotations

import pytest

from tests.integration.runtime.making import BASES, outcome
from tests.integration.runtime.test_access import bearer

LOINC = "http://loinc.org"


def coded(code, *more):
    return {"coding": [{"system": LOINC, "code": code}, *more], "text": f"text of {code}"}


def instant(text):
    return {"effectiveInstant": text}


def at(text):
    return {"effectiveDateTime": text}


ROWS = {
    # id: code, patient, when
    "w1": (coded("w"), "p1", at("2020-01-01")),
    "w2": (coded("w"), "p1", at("2020-03-01T10:00:00Z")),
    "w3": (coded("w"), "p1", at("2020-02-01T10:00:00Z")),
    "w4": (coded("w", {"system": LOINC, "code": "h"}), "p1", at("2020-03-01T12:00:00+02:00")),
    "w5": (coded("w"), "p1", {}),
    "h1": (coded("h"), "p1", {"effectivePeriod": {"start": "2019-01-01", "end": "2020-05-01"}}),
    "h2": (coded("h"), "p1", {"effectivePeriod": {"start": "2020-04-01"}}),
    "h3": (coded("h"), "p1", instant("2020-04-15T00:00:00Z")),
    "t1": ({"text": "free"}, "p1", at("2020-01-02")),
    "t2": ({"text": "free"}, "p1", at("2020-01-03")),
    "x1": ({"coding": [{"code": "w"}]}, "p1", at("2018-01-01")),
    "n1": (coded("n"), "p1", {}),
    "q1": (coded("w"), "p2", at("2021-01-01")),
}


@pytest.fixture
async def observed(own_box):
    client = own_box.client
    for id_ in ("p1", "p2"):
        await client.put(f"/fhir/Patient/{id_}", json={"resourceType": "Patient"})
    entries = [
        {
            "resource": {
                "resourceType": "Observation", "id": id_, "status": "final", "code": code,
                "subject": {"reference": f"Patient/{patient}"}, **when,
                "category": [{"coding": [{"code": "vital" if id_[0] in "wh" else "lab"}]}],
            },
            "request": {"method": "PUT", "url": f"Observation/{id_}"},
        }
        for id_, (code, patient, when) in ROWS.items()
    ]  # fmt: skip
    answer = await client.post("/fhir", json={"type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    return client


def ids(answer):
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert bundle["type"] == "searchset"
    return [entry["resource"]["id"] for entry in bundle.get("entry", ())]


@BASES
@pytest.mark.parametrize("path", ["Observation/$lastn?patient=p1", "Patient/p1/Observation/$lastn"])
async def test_the_newest_of_each_code_ties_included_newest_group_first(observed, base, path):
    answer = await observed.get(f"{base}/{path}")
    # w2 and w4 are of one instant; the code of another coding makes no group.
    assert ids(answer) == ["h1", "w2", "w4", "t2", "x1", "n1"]
    assert answer.json()["total"] == 6
    assert {entry["search"]["mode"] for entry in answer.json()["entry"]} == {"match"}


@BASES
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("subject=Patient/p1&max=2", ["h1", "h3", "w2", "w4", "t2", "t1", "x1", "n1"]),
        ("subject=Patient/p1&max=3", ["h1", "h3", "h2", "w2", "w4", "w3", "t2", "t1", "x1", "n1"]),
        ("patient=p1&code=w,h&max=99", ["h1", "h3", "h2", "w2", "w4", "w3", "w1", "w5", "x1"]),
        (f"code={LOINC}|w", ["q1"]),
        ("patient=p1&category=lab", ["t2", "x1", "n1"]),
        ("patient=p1&date=lt2020-02-15&code=w", ["w3", "x1"]),
        ("code=nothing", []),
        ("patient=p1&code=w&_sort=date", ["w2", "w4", "x1"]),
    ],
)
async def test_filters_come_first_and_max_counts_within_groups(observed, base, query, found):
    answer = await observed.get(f"{base}/Observation/$lastn?{query}")
    assert ids(answer) == found
    assert answer.json()["total"] == len(found)


@BASES
async def test_no_parameter_is_needed(observed, base):
    assert ids(await observed.get(f"{base}/Observation/$lastn")) == ["q1", "h1", "t2", "x1", "n1"]
    assert ids(await observed.get(f"{base}/Patient/p2/Observation/$lastn")) == ["q1"]
    assert ids(await observed.get(f"{base}/Patient/none/Observation/$lastn")) == []


@BASES
async def test_pages_follow_one_another(observed, base):
    answer = await observed.get(f"{base}/Observation/$lastn?patient=p1&max=2&_count=3")
    seen = ids(answer)
    for _ in range(5):
        assert answer.json()["total"] == 8
        following = [li["url"] for li in answer.json()["link"] if li["relation"] == "next"]
        if not following:
            break
        answer = await observed.get(following[0])
        seen += ids(answer)
    assert seen == ["h1", "h3", "w2", "w4", "t2", "t1", "x1", "n1"]
    beyond = await observed.get(f"{base}/Observation/$lastn?patient=p1&_count=3&page=9")
    assert (ids(beyond), beyond.json()["total"]) == ([], 6)
    counted = await observed.get(f"{base}/Observation/$lastn?patient=p1&_summary=count")
    assert (ids(counted), counted.json()["total"]) == ([], 6)


@BASES
async def test_elements_and_includes_work_as_in_a_search(observed, base):
    answer = await observed.get(
        f"{base}/Observation/$lastn?patient=p1&code=w&_elements=status&_include=Observation:patient"
    )
    kinds = [entry["search"]["mode"] for entry in answer.json()["entry"]]
    assert kinds == ["match", "match", "match", "include"]
    assert "code" not in answer.json()["entry"][0]["resource"]


@BASES
@pytest.mark.parametrize("wrong", ["0", "-1", "x", "1.5", "", "²"])
async def test_a_max_that_is_none_is_refused(observed, base, wrong):
    outcome(await observed.get(f"{base}/Observation/$lastn", params={"max": wrong}), 400)


@pytest.mark.parametrize(
    ("base", "parameters"),
    [
        ("/fhir", [{"name": "max", "valuePositiveInt": 2}, {"name": "code", "valueString": "h"},
                   {"name": "subject", "valueReference": {"reference": "Patient/p1"}}]),
        ("", [{"name": "max", "value": {"positiveInt": 2}}, {"name": "code", "value": {"code": "h"}},
              {"name": "subject", "value": {"Reference": {"resourceType": "Patient", "id": "p1"}}}]),
    ],
)  # fmt: skip
async def test_parameters_may_be_posted(observed, box, base, parameters):
    path = f"{base}/Observation/$lastn"
    body = {"resourceType": "Parameters", "parameter": parameters}
    assert ids(await observed.post(path, json=body)) == ["h1", "h3", "w4"]
    assert ids(await observed.post(f"{base}/Patient/p2/Observation/$lastn")) == ["q1"]
    async with box.client_of() as person:  # it reads all the same
        answer = await person.post(path, json=body, headers=bearer(role="reader"))
        assert answer.status_code == 200
    for odd in (
        {"name": "max"}, {"name": "max", "valueRange": {"low": {}, "high": {}}}, {"valueCode": "h"},
        {"name": "max", "valuePositiveInt": 2, "valueCode": "h"}, "x",
    ):  # fmt: skip
        outcome(await observed.post(path, json={"parameter": [odd]}), 400)
    outcome(await observed.post(path, json={"parameter": "x"}), 400)


@BASES
async def test_only_observations_and_defined_compartments_have_it(observed, base):
    outcome(await observed.get(f"{base}/Patient/$lastn"), 404)
    outcome(await observed.get(f"{base}/Patient/p1/Encounter/$lastn"), 404)
    outcome(await observed.get(f"{base}/Location/l1/Observation/$lastn"), 404)


async def test_strangers_get_nothing(observed, box):
    async with box.client_of() as nobody:
        for path in ("/Observation/$lastn", "/fhir/Patient/p1/Observation/$lastn"):
            outcome(await nobody.get(path), 403)
