"""Search parameters that people write, in Aidbox's shape: known at once, and no longer.

Source: search specification, "SearchParameter meta-resource".
"""

from __future__ import annotations

import pytest

from tests.integration.runtime.defining import attribute, define, entity, named, new_type
from tests.integration.runtime.making import entry, outcome, transaction


def parameter(owner, name, type_, *paths):
    return {
        "resourceType": "SearchParameter",
        "id": f"{owner}.{name}",
        "name": name,
        "type": type_,
        "resource": named(owner),
        "expression": [list(path) for path in paths],
    }


async def total(box, url):
    answer = await box.client.get(url)
    assert answer.status_code == 200, answer.text
    return answer.json()["total"]


async def listed(box, name):
    resources = (await box.client.get("/fhir/metadata")).json()["rest"][0]["resource"]
    (found,) = (each for each in resources if each["type"] == name)
    return {each["name"]: each for each in found["searchParam"]}


async def test_a_parameter_of_ones_own_type_in_both_processes_and_in_the_capabilities(
    box, make_box
):
    name = new_type()
    await define(
        box,
        entity(name),
        attribute(name, "mood", type="string"),
        attribute(name, "at", type="dateTime"),
        parameter(name, "mood", "token", ["mood"]),
        parameter(name, "at", "date", ["at"]),
    )
    async with make_box() as other:
        for mood, at in (("calm", "2020-01-01"), ("tense", "2021-01-01")):
            await other.client.post(f"/{name}", json={"mood": mood, "at": at})
        for each in (box, other):
            assert await total(each, f"/fhir/{name}?mood=calm") == 1
            assert await total(each, f"/{name}?at=ge2020-06-01") == 1
            assert (await listed(each, name)).keys() >= {"mood", "at", "_id"}
        assert (await other.client.delete(f"/SearchParameter/{name}.mood")).status_code == 200
        assert "mood" not in await listed(box, name)
        outcome(
            await box.client.get(f"/fhir/{name}?mood=calm", headers={"prefer": "handling=strict"}),
            400,
        )


async def test_a_parameter_over_a_built_in_one_wins_until_it_is_deleted(box):
    family = new_type()
    for gender in ("male", "female"):
        await box.client.post("/Patient", json={"name": [{"family": family}], "gender": gender})
    own = {**parameter("Patient", "gender", "token", ["name", "family"]), "id": f"{family}-gender"}
    assert await total(box, f"/Patient?family={family}&gender=male") == 1
    await define(box, own)
    assert await total(box, f"/Patient?family={family}&gender={family}") == 2
    await box.client.delete(f"/SearchParameter/{family}-gender")
    assert await total(box, f"/Patient?family={family}&gender=male") == 1


async def test_a_deleted_built_in_parameter_is_unknown_until_it_is_written_again(new_box):
    path = "/SearchParameter/Basic.author"
    before = (await new_box.client.get(path)).json()
    assert (await new_box.client.delete(path)).status_code == 200
    assert "author" not in await listed(new_box, "Basic")
    assert (await new_box.client.put(path, json=before)).status_code == 201
    assert "author" in await listed(new_box, "Basic")


@pytest.mark.parametrize(
    "expression", [[], [[]], [["mood"], []], ["mood"], "mood", [[None]], [[["a"]]]]
)
async def test_an_expression_that_is_none(box, expression):
    body = {**parameter("Patient", "odd", "token"), "expression": expression}
    outcome(await box.client.put("/SearchParameter/Patient.odd", json=body), 422)
    bundle = transaction(entry("PUT", "/SearchParameter/Patient.odd", body))
    outcome(await box.client.post("/", json=bundle), 422)
    assert "odd" not in await listed(box, "Patient")


@pytest.mark.parametrize(
    "expression",
    [[["nothing", 0, {"a": "b"}]], [[-1]], [[{"x": None}]], [["name", "nothing", "x"]]],
)
@pytest.mark.parametrize(
    "type_", ["token", "string", "date", "reference", "quantity", "number", "uri", "composite"]
)
async def test_a_path_to_anywhere_finds_nothing_and_breaks_nothing(box, type_, expression):
    await define(box, {**parameter("Patient", "odd", type_), "expression": expression})
    value = {"date": "2020", "number": "1", "quantity": "1"}.get(type_, "x")
    answer = await box.client.get(f"/fhir/Patient?odd={value}")
    assert answer.status_code in {200, 400}, answer.text
    assert (await box.client.delete("/SearchParameter/Patient.odd")).status_code == 200
