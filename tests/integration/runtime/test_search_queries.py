"""SearchQuery: a search put together from SQL parts. Source: search specification, 9 SearchQuery."""

from __future__ import annotations

import pytest

from tests.integration.runtime.making import fresh, outcome
from tests.integration.runtime.test_access import bearer
from tests.integration.runtime.test_sql import ATTACKS

RESOURCE = {"id": "Encounter", "resourceType": "Entity"}


def query(mark, **more):
    return {
        "resource": RESOURCE, "as": "enc", "total": True, "limit": 40,
        "query": {"where": f"enc.resource#>>'{{identifier,0,value}}' = '{mark}' -- mine", "order-by": "enc.id"},
        "params": {
            "pt": {
                "type": "string", "format": "% ?%",
                "join": {"p": {"table": "patient", "by": "enc.resource#>>'{subject,id}' = p.id"}},
                "where": 'aidbox_text_search(knife_extract_text(p.resource,$$[["name","family"]]$$)) ilike {{params.pt}}',
            },
            "status": {"where": "enc.resource->>'status' = {{params.status}}"},
        },
        "includes": {
            "subject": {"path": ["subject"], "resource": {"id": "Patient", "resourceType": "Entity"},
                        "includes": {"seen": {"path": [["subject"]], "reverse": True, "resource": RESOURCE}}},
        },
        **more,
    }  # fmt: skip


async def stored(box, body):
    id_ = fresh()
    answer = await box.client.put(f"/SearchQuery/{id_}", json=body)
    assert answer.status_code == 201, answer.text
    return id_


async def visits(box, *families):
    mark = fresh()
    for number, family in enumerate(families):
        patient = fresh()
        await box.client.put(f"/Patient/{patient}", json={"name": [{"family": family}]})
        body = {
            "status": "planned", "class": {"code": "AMB"}, "identifier": [{"value": mark}],
            "subject": {"resourceType": "Patient", "id": patient},
        }  # fmt: skip
        answer = await box.client.put(f"/Encounter/{mark}-{number}", json=body)
        assert answer.status_code == 201, answer.text
    return mark


async def ask(box, id_, **params):
    answer = await box.client.get("/alpha/Encounter", params={"query": id_, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()


def modes(bundle):
    return [(e["search"]["mode"], e["resource"]["resourceType"]) for e in bundle["entry"]]


async def test_clauses_are_there_when_their_parameters_are(box):
    mark = await visits(box, "Oak", "Elm", "Oakley")
    id_ = await stored(box, query(mark))
    everything = await ask(box, id_)
    assert everything["total"] == 3
    assert modes(everything) == [("match", "Encounter")] * 3 + [("include", "Patient")] * 3
    assert "JOIN" not in everything["query-sql"][0]
    assert everything["query-timeout"] == 60000
    some = await ask(box, id_, pt="oak")
    assert some["total"] == 2
    assert "/* query */" in some["query-sql"][0]
    assert "/* pt */" in some["query-sql"][0]
    assert "% oak%" in some["query-sql"]
    match = some["entry"][0]
    assert (
        match["resource"] == (await box.client.get(f"/Encounter/{match['resource']['id']}")).json()
    )
    assert (await ask(box, id_, pt="oak", status="finished"))["total"] == 0


async def test_pages_and_totals(box):
    mark = await visits(box, "Oak", "Elm", "Ash")
    id_ = await stored(box, query(mark, includes={}))
    page = await ask(box, id_, _count=2)
    assert len(page["entry"]) == 2
    links = {link["relation"]: link["url"] for link in page["link"]}
    assert links.keys() == {"first", "self", "next", "last"}
    rest = (await box.client.get(links["next"])).json()
    assert [e["resource"]["id"] for e in rest["entry"]] == [f"{mark}-2"]
    assert "total" not in await ask(box, id_, _total="none")
    for wrong in ({"_count": "x"}, {"_page": "0"}, {"_count": "-1"}, {"_timeout": "x"}):
        outcome(await box.client.get("/alpha/Encounter", params={"query": id_, **wrong}), 400)


@pytest.mark.parametrize("text", ATTACKS)
async def test_parameters_are_values(box, text):
    mark = await visits(box, "Oak")
    id_ = await stored(box, query(mark, includes={"subject": {
        "path": ["subject"], "resource": {"id": "Patient"}, "where": "{{params.status}} = {{params.status}} AND id <> {{params.pt}}"}}))  # fmt: skip
    assert (await ask(box, id_, pt=text, status=text))["entry"] == []
    assert modes(await ask(box, id_, other=text))[0] == ("match", "Encounter")


async def test_what_is_missing_or_malformed(box):
    mark = await visits(box, "Oak")
    needed = query(mark, params={"pt": {"isRequired": True, "where": "true"}})
    failed = await box.client.get("/alpha/Encounter", params={"query": await stored(box, needed)})
    assert outcome(failed, 422)["issue"][0]["diagnostics"] == "Parameter pt is required"
    for part in ({"as": "enc; DROP TABLE x"}, {"query": {"where": 5}}, {"query": {"join": {"p": 5}}},
                 {"includes": {"x": {"path": "subject", "resource": {"id": "Patient"}}}},
                 {"query": {"where": "nope"}}, {"query": {"where": "true; DELETE FROM patient"}},
                 {"query": {"where": "nextval('transaction_id_seq') > 0"}}):  # fmt: skip
        id_ = await stored(box, query(mark, **part))
        outcome(await box.client.get("/alpha/Encounter", params={"query": id_}), 422)
    id_ = await stored(box, query(mark))
    for path in (
        f"/alpha/Patient?query={id_}",
        "/alpha/Encounter?query=none",
        "/alpha/Encounter",
        f"/alpha/Nope?query={id_}",
    ):
        outcome(await box.client.get(path), 404)


async def test_rights_and_plans(box):
    mark = await visits(box, "Oak")
    includes = {"c": {"path": ["x"], "reverse": True, "resource": {"id": "Client"}}}
    id_ = await stored(box, query(mark, includes=includes))
    path = f"/alpha/Encounter?query={id_}"
    found = (await box.client.get(f"{path}&_explain=analyze")).json()
    assert found.keys() == {"query", "params", "explain", "total-query", "total-explain"}
    async with box.client_of() as person:
        assert (await person.get(path)).status_code == 403
        reader = bearer(role="reader")
        assert (await person.get(path, headers=reader)).status_code == 200
        assert (await person.get(f"{path}&_explain=analyze", headers=reader)).status_code == 403
        answer = await person.post(
            "/SearchQuery/$debug", json={"query": query(mark)}, headers=bearer(role="writer")
        )
        assert answer.status_code == 403


async def test_debugging_runs_each_test_for_itself(box):
    mark = await visits(box, "Oak", "Elm")
    needed = query(mark)
    needed["params"]["must"] = {
        "isRequired": True,
        "type": "integer",
        "where": "1/{{params.must}} >= 0",
    }
    tests = {"good": {"pt": "oak", "must": "1"}, "missing": {}, "broken": {"must": "0"}}
    body = {"query": needed, "tests": tests, "explain": True, "timeout": 2000}
    answer = await box.client.post("/SearchQuery/$debug", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["good"]["result"]["total"] == 1
    assert found["good"]["result"]["query-timeout"] == 2000
    assert found["good"]["params"] == {"pt": "% oak%", "must": 1}
    assert "Execution Time" in found["good"]["explain"]
    assert found["missing"] == {
        "status": "error",
        "params": {},
        "errors": [{"details": "Parameter must is required"}],
    }
    broken = found["broken"]["result"]
    assert (broken["status"], broken["error"]) == ("error", "division by zero")
    assert "SELECT" in broken["query"][0]
    for wrong in ({}, {"query": {"as": "x"}}):
        outcome(await box.client.post("/SearchQuery/$debug", json=wrong), 404 if wrong else 422)
