"""What entries of a Bundle may address and be, and what is answered for them.

Source: core specification, "Batch and transaction"; FHIR R4, "Transaction Processing Rules".
"""

from __future__ import annotations

import json

import pytest

from tests.integration.runtime.making import (
    BASES,
    OAK,
    batch,
    encounter,
    entry,
    fresh,
    linked,
    outcome,
    post,
    transaction,
)

KINDS = pytest.mark.parametrize("make", [batch, transaction])


def statuses(answer):
    return [item["response"]["status"] for item in answer.json()["entry"]]


def known(mrn, **more):
    return {**OAK, "identifier": [{"system": "mrn", "value": mrn}], **more}


@pytest.mark.parametrize(
    "url",
    ["fhir?_count=0", "/fhir?_count=0", "/fhir/?_count=0", "?_count=0", "/?_count=0",
     "http://box.test/fhir?_count=0", "http://box.test?_count=0", "/fhir/Patient?_count=0"],
)  # fmt: skip
@KINDS
async def test_a_base_in_front_of_a_search_is_dropped(box, make, url):
    answer = await post(box, "/fhir", make(entry("GET", url)))
    assert answer.json()["entry"][0]["resource"]["type"] == "searchset"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://elsewhere.test/fhir/Patient/x", 400), ("//Patient/x", 400), ("fhirPatient/x", 404),
        ("http://box.test.evil/Patient/x", 400), ("Patient/../x", 400), ("/fhir/fhir/Patient/x", 404),
        ("Patient/%2e%2e", 400), ("Nothing/x", 404), ("$nothing", 404), ("Patient/x?a=%ff", 400),
    ],
)  # fmt: skip
@BASES
async def test_urls_that_lead_nowhere(box, base, url, status):
    assert statuses(await post(box, base, batch(entry("GET", url)))) == [str(status)]
    body = outcome(await post(box, base, transaction(entry("GET", url))), status)
    assert body["issue"][0]["expression"] == ["Bundle.entry[0]"]


@BASES
async def test_an_entry_gets_the_status_that_it_would_have_got_alone(box, base):
    id_ = fresh()
    await box.client.put(f"/Patient/{id_}", json=OAK)
    for method, url, resource in (
        ("POST", f"Patient/{id_}", OAK),
        ("PUT", "Patient", OAK),
        ("DELETE", "Patient", None),
        ("DELETE", f"Patient/{fresh()}", None),
        ("DELETE", f"Patient?_id={fresh()}", None),
        ("PUT", "Patient/_history", OAK),
        ("GET", f"Patient/{fresh()}", None),
        ("GET", f"Patient/{id_}/_history/1", None),
        ("POST", "Patient", [OAK]),
        ("POST", "Patient", 5),
        ("POST", "Patient?identifier=", OAK),
        ("PUT", f"Patient/{id_}?_no-content=true", OAK),
        ("GET", "metadata?mode=zzz", None),
        ("GET", "_history?_count=1", None),
        ("GET", "Patient/_history?_count=x", None),
        ("HEAD", f"Patient/{id_}", None),
        ("GET", "/", None) if not base else ("GET", "?_count=0", None),
    ):
        request = {} if resource is None else {"json": resource}
        alone = await box.client.request(method, f"{base}/{url.lstrip('/')}", **request)
        found = (await post(box, base, batch(entry(method, url, resource)))).json()["entry"][0]
        assert found["response"]["status"] == str(alone.status_code), (method, url)
        assert "resource" not in found or alone.status_code != 204, (method, url)
        if alone.status_code >= 400:
            assert found["response"]["outcome"] == alone.json()
            body = outcome(
                await post(box, base, transaction(entry(method, url, resource))), alone.status_code
            )
            assert body["issue"][0]["expression"][0].startswith("Bundle.entry[0]")


async def test_entries_at_fhir_reach_what_is_at_root_only(box):
    body = (await post(box, "/fhir", transaction(entry("GET", "/health")))).json()
    assert body["entry"][0]["resource"]["status"] == "pass"
    assert "status" not in body["entry"][0]
    sneaky = batch(entry("GET", "/health"), entry("GET", "/fhir/nothing"))
    assert statuses(await post(box, "/fhir", sneaky)) == ["200", "404"]


async def test_searches_and_histories_by_entries(box):
    id_ = fresh()
    body = (
        await post(
            box,
            "/fhir",
            transaction(
                entry("GET", f"Patient/{id_}/_history"),
                entry("GET", "Patient/_history?_count=1"),
                entry("GET", f"Patient/{id_}/_history?_count=0"),
                entry("POST", f"Patient/_search?_id={id_}"),
                entry("PUT", f"Patient/{id_}", OAK),
                entry("GET", f"Patient/{id_}?_elements=gender"),
                entry("HEAD", f"Patient/{id_}"),
            ),
        )
    ).json()["entry"]
    assert [one["resource"]["total"] for one in (body[0], body[2])] == [1, 1]
    assert body[1]["resource"]["entry"][0]["resource"]["id"] == id_
    assert body[3]["resource"]["type"] == "searchset"
    assert "name" not in body[5]["resource"]
    assert "resource" not in body[6]
    assert body[6]["response"]["etag"] == body[4]["response"]["etag"]


@BASES
@KINDS
async def test_preferences_hold_for_the_entries_and_a_bundle_is_answered(box, base, make):
    id_ = fresh()
    bundle = make(entry("PUT", f"Patient/{id_}", OAK), entry("GET", f"Patient/{id_}"))
    for preference in ("minimal", "OperationOutcome", "representation"):
        answer = await box.client.post(
            f"{base}/", json=bundle, headers={"Prefer": f"return={preference}"}
        )
        written, read = answer.json()["entry"]
        assert answer.json()["type"] == f"{bundle['type']}-response"
        assert ("resource" in written) == (preference == "representation")
        assert written["response"]["location"].endswith(f"Patient/{id_}/_history/{tag(written)}")
        assert ("outcome" in written["response"]) == (preference == "OperationOutcome")
        assert read["resource"]["id"] == id_
    empty = await box.client.post(f"{base}/?_no-content=true", json=bundle)
    assert (empty.status_code, empty.content) == (204, b"")
    assert "content-type" not in empty.headers


def tag(item):
    return item["response"]["etag"].removeprefix("W/").strip('"')


@BASES
async def test_if_match_and_if_none_match_of_entries(box, base):
    id_ = fresh()
    version = (await box.client.put(f"/Patient/{id_}", json=OAK)).json()["meta"]["versionId"]
    mismatch = 412 if base else 409
    for item, status in (
        (entry("PUT", f"Patient/{id_}", OAK, ifMatch='W/"1"'), mismatch),
        (entry("DELETE", f"Patient/{id_}", ifMatch="1"), mismatch),
        (entry("PUT", f"Patient/{fresh()}", OAK, ifMatch="*"), 412),
        (entry("PUT", f"Patient/{id_}", OAK, ifNoneMatch="*"), 412),
    ):
        assert statuses(await post(box, base, batch(item))) == [str(status)]
        outcome(await post(box, base, transaction(item)), status)
    unchanged = batch(entry("GET", f"Patient/{id_}", ifNoneMatch=f'W/"{version}"'))
    body = (await post(box, base, unchanged)).json()["entry"][0]
    assert body["response"]["status"] == "304"
    assert "resource" not in body
    fits = transaction(entry("PUT", f"Patient/{id_}", OAK, ifMatch=f'W/"{version}"'))
    assert statuses(await post(box, base, fits)) == ["200"]


FULL_URLS = [
    "urn:uuid:5bd1bd4d-3e6c-4d4c-8a3f-3e0e4a4a4b33", "urn:oid:1.2.3", "any text at all", "Patient/17", "17",
    "http://elsewhere.test/fhir/Patient/9", "http://box.test/fhir/Patient/none", "#x", "Patient?identifier=none",
]  # fmt: skip


@BASES
@pytest.mark.parametrize("full_url", FULL_URLS)
async def test_a_full_url_may_be_any_text(box, base, full_url):
    bundle = transaction(
        entry("POST", "Encounter", encounter(base, full_url)),
        entry("POST", "Patient", OAK, fullUrl=full_url),
    )
    visit, patient = (item["resource"] for item in (await post(box, base, bundle)).json()["entry"])
    assert linked(base, visit) == f"Patient/{patient['id']}"


@BASES
async def test_a_full_url_of_an_entry_that_reads_stands_for_what_it_reads(box, base):
    id_ = fresh()
    await box.client.put(f"/Patient/{id_}", json=OAK)
    bundle = transaction(
        entry("GET", f"Patient/{id_}", fullUrl="urn:read"),
        entry("POST", "Encounter", encounter(base, "urn:read")),
    )
    assert linked(base, (await post(box, base, bundle)).json()["entry"][1]["resource"]) == (
        f"Patient/{id_}"
    )


@BASES
async def test_one_full_url_cannot_stand_for_two_resources(box, base):
    bundle = transaction(
        entry("POST", "Patient", OAK, fullUrl="urn:p"),
        entry("PUT", f"Patient/{fresh()}", OAK, fullUrl="urn:p"),
    )
    body = outcome(await post(box, base, bundle), 422)
    assert body["issue"][0]["expression"] == ["Bundle.entry[1]"]
    same = fresh()
    fine = transaction(
        entry("GET", f"Patient/{same}", fullUrl="urn:p"),
        entry("PUT", f"Patient/{same}", OAK, fullUrl="urn:p"),
    )
    if base:
        assert (await post(box, base, fine)).status_code == 200


async def test_entries_that_write_one_resource_fail_at_fhir(box):
    """FHIR R4: overlapping identities fail; at root entries follow one another."""
    id_, mrn = fresh(), fresh()
    await box.client.put(f"/fhir/Patient/{id_}", json=known(mrn))
    put = entry("PUT", f"Patient/{id_}", known(mrn))
    for one, other in (
        (put, put),
        (put, entry("DELETE", f"Patient/{id_}")),
        (put, entry("DELETE", f"Patient?identifier={mrn}")),
        (put, entry("PUT", f"Patient?identifier={mrn}", known(mrn))),
        (entry("PUT", "Patient?identifier=x" + mrn, OAK),) * 2,
        (
            entry("POST", "Patient", OAK, ifNoneExist="identifier=x" + mrn),
            entry("PUT", "Patient?identifier=x" + mrn, OAK),
        ),
        (
            entry("POST", "Patient", OAK, ifNoneExist=f"identifier={mrn}"),
            entry("DELETE", f"Patient/{id_}"),
        ),
    ):
        body = outcome(await post(box, "/fhir", transaction(one, other)), 422)
        assert body["issue"][0]["expression"][0] in {"Bundle.entry[0]", "Bundle.entry[1]"}
    history = (await box.client.get(f"/fhir/Patient/{id_}/_history")).json()
    assert history["total"] == 1
    # Finding and reading are no writes.
    fine = transaction(
        put,
        entry("POST", "Patient", known(mrn), ifNoneExist=f"identifier={mrn}"),
        entry("GET", f"Patient/{id_}"),
    )
    assert statuses(await post(box, "/fhir", fine)) == ["200", "200", "200"]
    twice = transaction(entry("PUT", f"Patient/{id_}", OAK), entry("PUT", f"Patient/{id_}", OAK))
    assert statuses(await post(box, "", twice)) == ["200", "200"]
    assert statuses(await post(box, "/fhir", batch(put, put))) == ["200", "200"]


async def test_references_by_query_find_what_the_transaction_writes(box):
    """FHIR R4: conditional references are resolved last, whatever the order of entries."""
    first, second = fresh(), fresh()
    bundle = transaction(
        entry("POST", "Encounter", encounter("/fhir", f"Patient?identifier=mrn|{first}")),
        entry("POST", "Encounter", encounter("/fhir", f"Patient?identifier=mrn|{second}")),
        entry("POST", "Patient", known(first)),
        entry("PUT", f"Patient/{second}", known(second)),
        entry("GET", f"Encounter?subject=Patient/{second}"),
    )
    answer = await post(box, "/fhir", bundle)
    assert statuses(answer) == ["201", "201", "201", "201", "200"]
    resources = [item["resource"] for item in answer.json()["entry"]]
    assert linked("/fhir", resources[0]) == f"Patient/{resources[2]['id']}"
    assert linked("/fhir", resources[1]) == f"Patient/{second}"
    assert resources[4]["total"] == 1


@BASES
async def test_links_in_raw_extensions_are_rewritten_in_transactions_only(box, base):
    url = "urn:kept"
    value = (
        {"valueReference": {"reference": "urn:o", "display": "O"}}
        if base
        else {"value": {"Reference": {"uri": "urn:o", "display": "O"}}}
    )
    patient = {
        **OAK,
        "extension": [{"url": url, **value}, {"url": url, "extension": [{"url": url, **value}]}],
        "name": [{"family": "Oak", "extension": [{"url": url, **value}]}],
    }
    entries = (
        entry("POST", "Patient", patient),
        entry("POST", "Organization", {"name": "O"}, fullUrl="urn:o"),
    )
    body = (await post(box, base, transaction(*entries))).json()["entry"]
    id_ = body[1]["resource"]["id"]
    new = (
        {"valueReference": {"reference": f"Organization/{id_}", "display": "O"}}
        if base
        else {"value": {"Reference": {"resourceType": "Organization", "id": id_, "display": "O"}}}
    )
    found = body[0]["resource"]
    assert found["extension"] == [
        {"url": url, **new},
        {"url": url, "extension": [{"url": url, **new}]},
    ]
    assert found["name"][0]["extension"] == [{"url": url, **new}]
    alone = (await post(box, base, batch(*entries))).json()["entry"][0]["resource"]
    assert alone["extension"] == patient["extension"]


async def test_links_in_first_class_extensions_are_rewritten(box):
    name = "t" + fresh()[2:]
    url = f"urn:{name}"
    attribute = {
        "resource": {"resourceType": "Entity", "id": "Patient"},
        "path": [name],
        "type": {"resourceType": "Entity", "id": "Reference"},
        "extensionUrl": url,
        "refers": ["Organization"],
    }
    made = await box.client.put(f"/Attribute/Patient.{name}", json=attribute)
    assert made.status_code == 201, made.text
    try:
        extension = [{"url": url, "valueReference": {"reference": "urn:o"}}]
        organization = entry("POST", "Organization", {"name": "O"}, fullUrl="urn:o")
        fhir = transaction(entry("POST", "Patient", {**OAK, "extension": extension}), organization)
        body = (await post(box, "/fhir", fhir)).json()["entry"]
        id_ = body[1]["resource"]["id"]
        (found,) = body[0]["resource"]["extension"]
        assert found["valueReference"] == {"reference": f"Organization/{id_}"}
        stored = (await box.client.get(f"/Patient/{body[0]['resource']['id']}")).json()
        assert stored[name] == {"resourceType": "Organization", "id": id_}
        root = transaction(entry("POST", "Patient", {**OAK, name: {"uri": "urn:o"}}), organization)
        body = (await post(box, "", root)).json()["entry"]
        assert body[0]["resource"][name]["id"] == body[1]["resource"]["id"]
    finally:
        await box.client.delete(f"/Attribute/Patient.{name}")


async def test_bytes_of_an_entry_are_answered_as_a_binary(box):
    data = {"contentType": "text/plain", "data": "aGVsbG8="}
    id_ = (await box.client.post("/fhir/Binary", json=data)).json()["id"]
    body = (await post(box, "/fhir", batch(entry("GET", f"Binary/{id_}")))).json()
    found = body["entry"][0]["resource"]
    assert (found["resourceType"], found["data"]) == ("Binary", "aGVsbG8=")


@BASES
async def test_criteria_of_any_letters_and_with_question_marks(box, base):
    name, system = "Müller-李-" + fresh(), "http://x.test/a?b=" + fresh()
    patient = {"resourceType": "Patient", "name": [{"family": name}]}
    patient["identifier"] = [{"system": system, "value": "1"}]
    made = await box.client.post(f"{base}/Patient", json=patient)
    for criteria in (f"family={name}", f"identifier={system}|1", f"Patient?identifier={system}|1"):
        for item in (
            entry("POST", "Patient", patient, ifNoneExist=criteria),
            entry("POST", f"Patient?{criteria.removeprefix('Patient?')}", patient),
        ):
            (found,) = (await post(box, base, transaction(item))).json()["entry"]
            assert found["response"]["status"] == "200", criteria
            assert found["resource"]["id"] == made.json()["id"]
        status, _, body = await box.raw(
            "POST",
            f"{base}/Patient".encode(),
            {
                "content-type": "application/json",
                "if-none-exist": criteria.encode().decode("latin-1"),
            },
            b"{}",
        )
        assert (status, made.json()["id"]) == (200, json.loads(body)["id"])


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "PUT", "url": "Patient/x", "ifMatch": {"a": 1}},
        {"method": "PUT", "url": "Patient/x", "ifMatch": ["1"], "ifNoneExist": 5},
        {"method": "PUT", "url": "Patient/x", "ifNoneMatch": "\u0000\n\r: x"},
        {"method": "POST", "url": "Patient", "ifNoneExist": "\u0000=\n"},
        {"method": "POST", "url": "Patient?\u0000=1"},
        {"method": "POST", "url": "Patient\u0000"},
        {"method": "POST", "url": "Patient?" + "&" * 5000},
        {"method": "GET", "url": "Patient/" + "x" * 50_000},
        {"method": "GET", "url": "Patient?_count=" + "9" * 5000},
        {"method": "GET", "url": "#"},
        {"method": "GET", "url": "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace")},
        {"method": "POST", "url": "Patient", "zzz": {"deep": [[[]]]}},
    ],
)  # fmt: skip
@BASES
async def test_odd_requests_of_entries_do_no_harm(box, base, request_):
    for item in ({"request": request_}, {"request": request_, "resource": OAK, "fullUrl": 5}):
        for make in (batch, transaction):
            answer = await post(box, base, make(item))
            assert answer.status_code in {200, 400, 404, 409, 412, 414, 422}, answer.text[:300]
            if answer.status_code != 200:
                outcome(answer)
