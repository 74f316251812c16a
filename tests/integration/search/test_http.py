"""Searches through the whole box: Bundles, links, includes, handling, errors.

Source: search specification, 2, 2.1, 6.6, 7, 12.1, 13.
"""

from __future__ import annotations

import json

import pytest

from tests.integration.search.conftest import BASE


def ids(bundle: dict, mode: str = "match") -> list[str]:
    return [
        f"{e['resource']['resourceType']}/{e['resource'].get('id')}"
        for e in bundle.get("entry", [])
        if e["search"]["mode"] == mode
    ]


def links(bundle: dict) -> dict[str, str]:
    return {link["relation"]: link["url"] for link in bundle["link"]}


async def test_root_bundle_has_aidbox_members(client):
    answer = await client.get("/Patient?gender=female,male&_count=1&_page=2&_foo=x")
    bundle = answer.json()
    assert answer.status_code == 200
    assert (bundle["resourceType"], bundle["type"], bundle["total"]) == ("Bundle", "searchset", 2)
    assert ids(bundle) == ["Patient/lee"]
    assert bundle["entry"][0]["fullUrl"] == f"{BASE}/Patient/lee"
    assert bundle["entry"][0]["resource"]["meta"]["createdAt"]
    assert links(bundle) == {
        "first": "/Patient?gender=female,male&_count=1&page=1",
        "self": "/Patient?gender=female,male&_count=1&page=2",
        "previous": "/Patient?gender=female,male&_count=1&page=1",
        "last": "/Patient?gender=female,male&_count=1&page=2",
    }
    sql, *values = bundle["query-sql"]
    assert sql.count("?") == len(values) + 2  # one jsonb operator, doubled
    assert values[-2:] == [1, 1]
    assert bundle["query-timeout"] == 60000
    assert answer.headers["etag"] == bundle["meta"]["versionId"]


async def test_fhir_bundle_has_fhir_members_only(client):
    answer = await client.get("/fhir/Patient?gender=female")
    bundle = answer.json()
    assert set(bundle) == {"resourceType", "type", "meta", "total", "link", "entry"}
    assert bundle["entry"][0]["fullUrl"] == f"{BASE}/fhir/Patient/lee"
    assert (
        bundle["entry"][0]["resource"]["managingOrganization"]["reference"] == "Organization/north"
    )
    assert set(links(bundle)) == {"first", "self"}
    assert links(bundle)["self"] == f"{BASE}/fhir/Patient?gender=female&page=1"


async def test_pages_can_be_followed_to_the_end(client):
    for base in ("", "/fhir"):
        url, seen = f"{base}/Patient?_count=2&_sort=-_id&_total=none", []
        while url:
            bundle = (await client.get(url)).json()
            seen += ids(bundle)
            url = links(bundle).get("next")
            assert "last" not in links(bundle)
        assert seen == [f"Patient/{i}" for i in ("local", "lee", "gone", "dyke", "dead", "bare")]


async def test_page_beyond_the_end_is_empty(client):
    bundle = (await client.get("/fhir/Patient?_count=2&_page=9")).json()
    assert "entry" not in bundle
    assert bundle["total"] == 6
    assert links(bundle)["previous"].endswith("page=3")


async def test_empty_result(client):
    bundle = (await client.get("/Patient?gender=nosuch")).json()
    assert (bundle["type"], bundle["total"], bundle["entry"]) == ("searchset", 0, [])
    assert "entry" not in (await client.get("/fhir/Patient?gender=nosuch")).json()


@pytest.mark.parametrize(
    "query", ["_count=0&_totalMethod=count", "_count=0&_total=none", "_summary=count"]
)
async def test_count_only(client, query):
    bundle = (await client.get(f"/fhir/Patient?{query}")).json()
    assert bundle["total"] == 6
    assert "entry" not in bundle
    assert set(links(bundle)) == {"self"}


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("_total=none", 6),
        ("_total=none&page=1", None),
        ("_total=none&_count=6", None),
        ("_total=estimate&_count=7", 6),
        ("_total=accurate&_count=2", 6),
    ],
)
async def test_totals(client, query, total):
    assert (await client.get(f"/Patient?{query}")).json().get("total") == total


async def test_estimate_is_at_least_what_was_seen(client):
    assert (await client.get("/Patient?_total=estimate&_count=2")).json()["total"] >= 3


async def test_post_search_adds_the_form_to_the_url(client):
    for base in ("", "/fhir"):
        answer = await client.post(
            f"{base}/Patient/_search?gender=female,male", data={"family": "van dyke"}
        )
        bundle = answer.json()
        assert ids(bundle) == ["Patient/dyke"]
        assert links(bundle)["self"].endswith(
            "/Patient?gender=female,male&family=van%20dyke&page=1"
        )
    answer = await client.post("/Patient/_search", json={"gender": "male"})
    assert answer.status_code == 415


async def test_get_with_a_form_type_and_no_body(client):
    answer = await client.get(
        "/Patient?gender=male", headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert ids(answer.json()) == ["Patient/dyke"]


async def test_handling_of_unknown_parameters(client):
    lenient = (
        await client.get("/fhir/Patient?gender=male&nosuch=1&_include=nosuch&_sort=nosuch")
    ).json()
    assert ids(lenient) == ["Patient/dyke"]
    outcome = [e for e in lenient["entry"] if e["search"]["mode"] == "outcome"]
    assert [i["severity"] for i in outcome[0]["resource"]["issue"]] == ["warning"] * 3
    assert "nosuch=1" not in links(lenient)["self"]
    assert "nosuch" not in json.dumps((await client.get("/Patient?nosuch=1")).json()["link"])
    for query in ("nosuch=1", "_include=nosuch", "_sort=nosuch"):
        strict = await client.get(f"/fhir/Patient?{query}", headers={"prefer": "handling=strict"})
        assert strict.status_code == 400
        issue = strict.json()["issue"][0]
        assert issue["code"] == "not-supported"
        assert "nosuch" in issue["diagnostics"]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/Nosuch?a=b", 404),
        ("/Patient?gender:exact=x", 400),
        ("/Patient?gender:nosuch=x", 400),
        ("/Patient?birthdate=nodate", 400),
        ("/Patient?birthdate=2020-02-30", 400),
        ("/Patient?birthdate=xx2020", 400),
        ("/Patient?organization:Patient=x", 400),
        ("/Patient?birthdate:missing=maybe", 400),
        ("/Patient?identifier:of-type=a|b", 400),
        ("/Patient?phone:below=x", 400),
        ("/Patient?_count=-1", 400),
        ("/Patient?_count=x", 400),
        ("/Patient?page=0", 400),
        ("/Patient?_total=some", 400),
        ("/Patient?_summary=text&_include=organization", 400),
        ("/Patient?_has:Nosuch:a:b=c", 400),
        ("/Patient?_has:Observation:nosuch:code=c", 400),
        ("/Patient?_has:Observation:patient:nosuch=c", 400),
        ("/Patient?organization.nosuch=c", 400),
        ("/Patient?organization.id=c", 400),
        ("/Patient?gender.name=c", 400),
        ("/Patient?.name::regclass=c", 400),
        ("/Patient?.name$drop=c", 400),
        ("/Patient?.birthDate::int$gt=5", 400),
        ("/Patient?.birthDate::int$gt=abc", 400),
        ("/Patient?_list=$current-problems", 400),
        ("/Patient?_contained=both", 400),
        ("/Patient?_text=(a", 400),
        ("/Observation?value-quantity=5|mg", 400),
        ("/Observation?value-quantity=abc", 400),
        ("/Observation?code-value-quantity=a", 400),
        ("/Observation?code-value-quantity:missing=true", 400),
        ("/Location?near=a|b", 400),
        ("/ValueSet?url:below=urn:oid:1", 400),
        ("/fhir?gender=male", 400),
        ("/fhir?_type=Nosuch", 400),
        ("/Organization/north/Patient", 404),
    ],
)
async def test_errors(client, url, status):
    answer = await client.get(url)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_system_search(client):
    bundle = (await client.get("/fhir?_type=Patient,Group&_id=lee,g1")).json()
    assert sorted(ids(bundle)) == ["Group/g1", "Patient/lee"]
    bundle = (await client.get("/fhir?_id=lee")).json()
    assert ids(bundle) == ["Patient/lee"]
    bundle = (await client.post("/fhir/_search", data={"_id": "g1"})).json()
    assert ids(bundle) == ["Group/g1"]


async def test_compartment_search(client):
    for base in ("", "/fhir"):
        bundle = (await client.get(f"{base}/Patient/lee/Observation?code=w")).json()
        assert (ids(bundle), bundle["total"]) == (["Observation/weight"], 1)
        bundle = (await client.get(f"{base}/Patient/lee/*?_total=none")).json()
        found = ids(bundle)
        assert {"Observation/weight", "Observation/press", "Encounter/e1", "Group/g1"} <= set(found)
        assert "Observation/light" not in found
        nobody = await client.get(f"{base}/Patient/nobody/Observation")
        assert (nobody.status_code, nobody.json()["total"]) == (200, 0)


@pytest.mark.parametrize("base", ["", "/fhir"])
@pytest.mark.parametrize(
    ("query", "matches", "included"),
    [
        ("Patient?_id=lee&_include=organization", ["lee"], {"Organization/north"}),
        ("Patient?_id=lee&_include=Patient:general-practitioner:Practitioner", ["lee"], {"Practitioner/doc"}),
        ("Patient?_id=lee&_include=*", ["lee"], {"Organization/north", "Organization/south", "Practitioner/doc"}),
        ("Patient?_id=gone,local&_include=organization", ["gone", "local"], set()),
        ("Patient?_id=lee&_revinclude=Observation:subject", ["lee"], {"Observation/weight", "Observation/press"}),
        ("Patient?_id=lee&_revinclude=Group:member", ["lee"], {"Group/g1"}),
        ("Patient?_id=lee&_include:reverse=Observation:patient", ["lee"], {"Observation/weight", "Observation/press"}),
        ("Organization?_id=south-2&_include:iterate=Organization:partof", ["south-2"], {"Organization/south", "Organization/north"}),
        ("Organization?_id=south-2&_include:recursive=Organization:partof:Organization", ["south-2"], {"Organization/south", "Organization/north"}),
        ("Organization?_id=south-2&_include=Organization:partof", ["south-2"], {"Organization/south"}),
        ("Organization?_id=south-2,south&_include=Organization:partof", ["south", "south-2"], {"Organization/north"}),
        ("Encounter?_id=e1&_with=patient{Patient{organization}}", ["e1"], {"Patient/lee", "Organization/north"}),
        ("Organization?_id=south-2&_with=partof{Organization{partof:recur}}", ["south-2"], {"Organization/south", "Organization/north"}),
        ("Patient?_id=lee&_with=Observation.patient,organization", ["lee"], {"Observation/weight", "Observation/press", "Organization/north"}),
    ],
)  # fmt: skip
async def test_includes(client, base, query, matches, included):
    bundle = (await client.get(f"{base}/{query}&_sort=_id")).json()
    assert [m.partition("/")[2] for m in ids(bundle)] == matches
    found = ids(bundle, "include")
    assert set(found) == included
    assert len(found) == len(included)
    assert bundle["total"] == len(matches)


async def test_includes_chain_by_themselves_on_root_only(client):
    query = "Encounter?_id=e1&_include=Encounter:patient:Patient&_include=Patient:organization"
    root = (await client.get(f"/{query}")).json()
    assert set(ids(root, "include")) == {"Patient/lee", "Organization/north"}
    fhir = (await client.get(f"/fhir/{query}")).json()
    assert set(ids(fhir, "include")) == {"Patient/lee"}
    iterated = query.replace("_include=Patient", "_include:iterate=Patient")
    fhir = (await client.get(f"/fhir/{iterated}")).json()
    assert set(ids(fhir, "include")) == {"Patient/lee", "Organization/north"}


async def test_elements(client):
    resource = (
        await client.get("/Patient?_id=lee&_elements=name.given,gender,resourceType")
    ).json()["entry"][0]["resource"]
    assert resource == {
        "resourceType": "Patient",
        "name": [{"given": ["Ann", "Bea"]}],
        "gender": "female",
    }
    resource = (await client.get("/fhir/Patient?_id=lee&_elements=gender")).json()["entry"][0][
        "resource"
    ]
    assert set(resource) == {"resourceType", "id", "meta", "gender"}
    assert resource["meta"]["tag"][-1]["code"] == "SUBSETTED"
    resource = (await client.get("/Patient?_id=lee&_elements=-name,-identifier.system")).json()[
        "entry"
    ][0]["resource"]
    assert "name" not in resource
    assert "system" not in resource["identifier"][0]
    assert resource["identifier"][0]["value"] == "1"
    for path in ("value", "valueQuantity"):
        resource = (await client.get(f"/fhir/Observation?_id=weight&_elements={path}")).json()[
            "entry"
        ][0]["resource"]
        assert resource["valueQuantity"]["value"] == 80.5
        assert "code" not in resource
    bundle = (
        await client.get("/Patient?_id=lee&_elements=id,Organization.name&_include=organization")
    ).json()
    assert [e["resource"] for e in bundle["entry"]] == [
        {"resourceType": "Patient", "id": "lee"},
        {"resourceType": "Organization", "name": "Northern Clinic"},
    ]


@pytest.mark.parametrize("base", ["", "/fhir"])
async def test_summary(client, base):
    def get(bundle):
        return bundle.json()["entry"][0]["resource"]

    summary = get(await client.get(f"{base}/Patient?_id=lee&_summary=true"))
    assert "gender" in summary
    assert "generalPractitioner" not in summary
    assert summary["meta"]["tag"][-1]["code"] == "SUBSETTED"
    text = get(await client.get(f"{base}/Observation?_id=word&_summary=text"))
    assert set(text) == {"resourceType", "id", "meta", "text", "status", "code"}
    data = get(await client.get(f"{base}/Observation?_id=word&_summary=data"))
    assert "text" not in data
    assert "note" in data


async def test_search_etag(client):
    for base in ("", "/fhir"):
        first = await client.get(f"{base}/Group")
        tag = first.headers["etag"]
        again = await client.get(f"{base}/Group", headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        version = first.json()["meta"]["versionId"]
        assert (await client.get(f"{base}/Group?_etag={version}")).status_code == 304
        assert (await client.get(f"{base}/Group?_etag=0")).status_code == 200


async def test_result_array_and_explain(client):
    rows = (await client.get("/Patient?_id=lee&_include=organization&_result=array")).json()
    assert [row["id"] for row in rows] == ["lee", "north"]
    told = (await client.get("/Patient?_id=lee&_explain=analyze")).json()
    assert "Execution Time" in told["plan"]
    assert told["query"][1] == "lee"


async def test_timeout_is_echoed_and_kept(client):
    bundle = (await client.get("/Patient?_timeout=5000")).json()
    assert bundle["query-timeout"] == 5000


async def test_counts_are_capped_on_fhir_only(client):
    bundle = (await client.get("/Patient?_count=5000&_id=lee")).json()
    assert bundle["query-sql"][-2] == 5000
    assert (await client.get("/fhir/Patient?_count=5000&_id=lee")).json()["total"] == 1


async def test_conditional_interactions_use_search(client):
    several = await client.put("/fhir/Patient?gender=female,male", json={"resourceType": "Patient"})
    assert several.status_code == 412
    unknown = await client.delete("/fhir/Patient?nosuch=1")
    assert unknown.status_code == 400
    by_set = await client.put(
        "/fhir/Patient?gender:in=http://sets/nosuch", json={"resourceType": "Patient"}
    )
    assert by_set.status_code == 400
    chained = await client.delete("/fhir/Patient?organization.name=nosuch")
    assert chained.status_code == 204
    none = await client.delete("/fhir/Patient?gender=unknown")
    assert none.status_code == 204
