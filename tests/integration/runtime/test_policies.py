"""Access policies of every engine through a whole box, and attacks on them.

Source: authentication specification, "Access policies", "Compartments and common restriction
patterns".
"""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager

import pytest

from tests.integration.runtime.making import BASES, OAK, batch, entry, fresh, outcome, transaction
from tests.integration.runtime.test_access import make_client


@asynccontextmanager
async def allowed(box, *policies, **details):
    """Give a client of the box with these policies, which are its only ones."""
    id_ = await make_client(box, secret="pass", details=details or None)
    names = []
    for policy in policies:
        names.append(fresh())
        resource = {"link": [{"resourceType": "Client", "id": id_}], **policy}
        answer = await box.client.put(f"/AccessPolicy/{names[-1]}", json=resource)
        assert answer.status_code == 201, answer.text
    try:
        async with box.client_of((id_, "pass")) as client:
            yield client
    finally:
        for name in names:
            await box.client.delete(f"/AccessPolicy/{name}")


async def patient(box, **more):
    id_ = fresh()
    answer = await box.client.put(f"/fhir/Patient/{id_}", json={**OAK, "id": id_, **more})
    assert answer.status_code == 201, answer.text
    return id_


def matcho(**pattern):
    return {"engine": "matcho", "matcho": pattern}


OWN = matcho(
    **{"request-method": "get"},
    uri="#^/(fhir/)?Patient/",
    params={"resource/id": ".client.details.patient_id"},
)


@BASES
async def test_a_patient_reaches_its_own_record_and_compartment_only(box, base):
    mine, other = await patient(box), await patient(box)
    async with allowed(box, OWN, patient_id=mine) as client:
        for path, status in (
            (f"/Patient/{mine}", 200),
            (f"/Patient/{mine}/Observation", 200),
            (f"/Patient/{other}", 403),
            (f"/Patient/{other}/Observation", 403),
            ("/Patient", 403),
            (f"/Patient/{other}?resource/id={mine}", 403),
            (f"/Patient/{other}?resource%2Fid={mine}", 403),
            (f"/Patient/{mine}?resource/id={other}", 200),
            (f"/Patient?_id={other}&resource/id={mine}", 403),
            ("/Observation", 403),
            (f"/Nothing/{mine}", 403),
        ):
            assert (await client.get(base + path)).status_code == status, path
        assert (await client.put(f"{base}/Patient/{mine}", json=OAK)).status_code == 403
        assert (await client.delete(f"{base}/Patient/{mine}")).status_code == 403


@BASES
async def test_the_effective_method_is_judged(box, base):
    mine = await patient(box)
    post = matcho(**{"request-method": "post"}, uri="#^/(fhir/)?Patient")
    async with allowed(box, post, OWN, patient_id=mine) as client:
        for method in ("DELETE", "PUT", "PATCH", "delete"):
            denied = await client.post(
                f"{base}/Patient/{mine}", json=OAK, headers={"X-HTTP-Method-Override": method}
            )
            assert denied.status_code == 403
        read = await client.post(
            f"{base}/Patient/{mine}", headers={"X-HTTP-Method-Override": "GET"}
        )
        assert read.status_code == 200
    assert (await box.client.get(f"/Patient/{mine}")).status_code == 200


async def test_path_tricks_reach_no_other_resource(box):
    mine, other = await patient(box), await patient(box)
    async with allowed(box, OWN, patient_id=mine) as client:
        header = client.build_request("GET", "/")
        next(client.auth.sync_auth_flow(header))
        authorization = {"authorization": header.headers["authorization"]}
        for target in (
            f"/fhir/Patient/{mine}/../{other}", f"/fhir/Patient/{mine}/%2e%2e/{other}",
            f"/fhir/Patient/{mine}%2f..%2f{other}", f"/fhir//Patient/{other}",
            f"/fhir/./Patient/{other}", f"/fhir/Patient/{other}%00", f"/fhir/Patient/{other}%2F{mine}",
        ):  # fmt: skip
            status, _, body = await box.raw("GET", target.encode(), authorization)
            assert status in {400, 403}, target
            assert b"Oak" not in body
        status, _, _ = await box.raw("GET", f"/%66hir/P%61tient/{mine}".encode(), authorization)
        assert status == 200


@BASES
async def test_a_search_may_be_tied_to_a_parameter(box, base):
    mine, other = await patient(box), await patient(box)
    policy = matcho(
        params={"resource/type": "Patient", "_id": ".client.details.patient_id"},
        uri=f"#^{base}/Patient(/_search)?$",
    )
    async with allowed(box, policy, patient_id=mine) as client:
        found = await client.get(f"{base}/Patient?_id={mine}")
        assert [item["resource"]["id"] for item in found.json()["entry"]] == [mine]
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        posted = await client.post(f"{base}/Patient/_search", content=f"_id={mine}", headers=form)
        assert [item["resource"]["id"] for item in posted.json()["entry"]] == [mine]
        for query in (
            "", f"?_id={other}", f"?_id={mine}&_id={other}", f"?_id={other}&_id={mine}",
            f"?_id={mine},{other}", "?_id=", f"?_id={mine}&_id=",
        ):  # fmt: skip
            status = (await client.get(f"{base}/Patient{query}")).status_code
            assert status == (200 if query == f"?_id={mine}&_id=" else 403), query
        for content, query in ((f"_id={other}", f"?_id={mine}"), (f"_id={mine}&_id={other}", "")):
            denied = await client.post(
                f"{base}/Patient/_search{query}", content=content, headers=form
            )
            assert denied.status_code == 403


@BASES
async def test_a_create_is_judged_by_its_body(box, base):
    mine = await patient(box)
    place = "resource" if base else "body"
    policy = matcho(
        **{"request-method": "post"},
        uri="#^/(fhir/)?Observation$",
        **{place: {"subject": {"id": ".client.details.patient_id", "resourceType": "Patient"}}},
    )
    subject = {"reference": f"Patient/{mine}"} if base else {"resourceType": "Patient", "id": mine}
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": subject,
    }
    async with allowed(box, policy, patient_id=mine) as client:
        assert (await client.post(f"{base}/Observation", json=observation)).status_code == 201
        del observation["subject"]
        assert (await client.post(f"{base}/Observation", json=observation)).status_code == 403
        assert (await client.post(f"{base}/Observation", content=b"{")).status_code == 403


async def test_json_schema_with_data(box):
    mine, other = await patient(box), await patient(box)
    policy = {
        "engine": "json-schema",
        "schema": {
            "required": ["params"],
            "properties": {
                "request-method": {"constant": "get"},
                "params": {
                    "required": ["resource/id"],
                    "properties": {
                        "resource/id": {"constant": {"$data": "#/client/details/patient_id"}}
                    },
                },
            },
        },
    }
    async with allowed(box, policy, patient_id=mine) as client:
        assert (await client.get(f"/fhir/Patient/{mine}")).status_code == 200
        assert (await client.get(f"/fhir/Patient/{other}")).status_code == 403
        assert (await client.get("/fhir/Patient")).status_code == 403


NAMED = """
SELECT resource @> jsonb_build_object('name', jsonb_build_array(
  jsonb_build_object('family', {{client.details.family}}::text)))
FROM patient WHERE id = {{params.resource/id}}
"""


def sql(query):
    return {"engine": "sql", "sql": {"query": query}}


@pytest.mark.parametrize(
    ("query", "allows"),
    [
        ("SELECT true FROM patient WHERE id = {{params.resource/id}}", True),
        ("SELECT true FROM {{!params.resource/type}} WHERE id = {{params.resource/id}}", True),
        ("SELECT id = {{params.resource/id}} FROM patient WHERE id = {{client.details.mine}}", True),
        ("SELECT {{client.details.n}} > 4", True),
        ("SELECT {{client.details.day}}::date < now()", True),
        ("SELECT {{client.details}} @> '{\"n\": 5}'", True),
        ("SELECT {{client.details.list}} ? 'a'", True),
        ("SELECT {{client.details.none}} IS NULL", True),
        ("SELECT {{client.id}} IS NOT NULL", True),
        ("SELECT {{client.details.none}} IS NOT NULL", False),
        (NAMED, True),
        ("SELECT false", False),
        ("SELECT NULL::bool", False),
        ("SELECT 1", False),
        ("SELECT 'true'", False),
        ("SELECT true, true", False),
        ("SELECT true FROM generate_series(1, 2)", False),
        ("SELECT true -- at the end", True),
        ("SELECT true FROM patient WHERE false", False),
        ("SELECT true FROM no_such_table", False),
        ("SELECT 1 / 0 = 1", False),
        ("SELECT {{client.details.family}}::int = 1", False),
        ("SELECT true FROM {{!params.nothing}}", False),
        ("SELECT true FROM pg_sleep(3)", False),
        ("WITH gone AS (DELETE FROM patient RETURNING id) SELECT true FROM gone LIMIT 1", False),
        ("SELECT nextval('transaction_id_seq') > 0", False),
        ("SELECT set_config('transaction_read_only', 'off', false) = 'off'", False),
    ],
)  # fmt: skip
async def test_sql_policies(box, query, allows):
    mine = await patient(box)
    details = {"mine": mine, "n": 5, "day": "2020-01-01", "list": ["a"], "family": "Oak"}
    async with allowed(box, sql(query), **details) as client:
        answer = await client.get(f"/fhir/Patient/{mine}")
        assert answer.status_code == (200 if allows else 403)
    assert (await box.client.get(f"/Patient/{mine}")).status_code == 200


@pytest.mark.parametrize(
    "attack",
    ["x' OR true --", "x') OR (true", "{{client.id}}", "$1", "x\\' OR 1=1 --", 'x" OR "a"="a'],
)
async def test_no_value_becomes_a_part_of_the_statement(box, attack):
    query = "SELECT true FROM patient WHERE id = {{params._id}}"
    named = "SELECT true FROM {{!params._table}} WHERE false"
    async with allowed(box, sql(query), sql(named)) as client:
        answer = await client.get("/fhir/Patient", params={"_id": attack, "_table": attack})
        assert answer.status_code == 403


async def test_complex_policies(box):
    mine = await patient(box)
    no, yes, broken = matcho(uri="no"), matcho(uri="present?"), sql("SELECT 1 / 0 = 1")
    for policy, allows in (
        ({"and": [yes, sql("SELECT true")]}, True),
        ({"and": [yes, no]}, False),
        ({"and": [yes, broken]}, False),
        ({"or": [no, broken, sql("SELECT true")]}, True),
        ({"or": [broken, yes]}, True),
        ({"or": [no, {"engine": "complex", "and": [yes, {"engine": "allow"}]}]}, True),
        ({"or": [no, no]}, False),
    ):
        async with allowed(box, {"engine": "complex", **policy}) as client:
            status = (await client.get(f"/fhir/Patient/{mine}")).status_code
            assert status == (200 if allows else 403), policy


@BASES
@pytest.mark.parametrize(
    ("policy", "place"),
    [
        ({"engine": "clj"}, "AccessPolicy.engine"),
        ({"description": "no engine"}, "AccessPolicy.engine"),
        ({"engine": "allow", "link": []}, "AccessPolicy.link"),
        ({"engine": "matcho"}, "AccessPolicy.matcho"),
        ({"engine": "matcho", "matcho": {"uri": "#("}}, "AccessPolicy.matcho.uri"),
        ({"engine": "matcho", "matcho": {"a": {"$no": 1}}}, "AccessPolicy.matcho.a.$no"),
        ({"engine": "json-schema"}, "AccessPolicy.schema"),
        ({"engine": "json-schema", "schema": {"type": 5}}, "AccessPolicy.schema"),
        ({"engine": "json-schema", "schema": {"$ref": "http://x.test/y"}}, "AccessPolicy.schema"),
        (sql("SELECT '{{user.id}}' = 'x'"), "AccessPolicy.sql.query"),
        (sql("SELECT true; SELECT true"), "AccessPolicy.sql.query"),
        (sql("SELECT true FORM patient WHERE"), "AccessPolicy.sql.query"),
        (sql("DELETE FROM patient"), "AccessPolicy.sql.query"),
        ({"engine": "complex"}, "AccessPolicy.and"),
        ({"engine": "complex", "and": [{"engine": "allow"}], "or": [{"engine": "allow"}]}, "AccessPolicy.and"),
        ({"engine": "complex", "or": [{"engine": "matcho", "matcho": {"a": "#("}}]}, "AccessPolicy.or[0].matcho.a"),
        ({"engine": "complex", "or": [sql("SELECT true WHERE (")]}, "AccessPolicy.or[0].sql.query"),
    ],
)  # fmt: skip
async def test_policies_that_cannot_work_are_refused(box, base, policy, place):
    answer = await box.client.put(f"{base}/AccessPolicy/{fresh()}", json=policy)
    found = outcome(answer, 422)
    if not base:
        place = place.replace("[0]", ".0")
    assert found["issue"][0]["expression"] == [place]


async def test_the_older_spelling_is_stored_as_the_newer(box):
    id_, nobody = fresh(), {"uri": "^no$"}
    link = [{"resourceType": "Operation", "id": "Logs"}]
    body = {"type": "matcho", "match": nobody, "link": link}
    stored = (await box.client.put(f"/AccessPolicy/{id_}", json=body)).json()
    assert (stored["engine"], stored["matcho"]) == ("matcho", nobody)
    assert not {"type", "match"} & stored.keys()
    await box.client.delete(f"/AccessPolicy/{id_}")


async def test_a_linked_operation_is_open_as_far_as_the_policy_says(box):
    id_ = fresh()
    policy = matcho(params={"resource/type": "Patient"})
    link = [{"resourceType": "Operation", "id": "FhirSearch"}]
    await box.client.put(f"/AccessPolicy/{id_}", json={**policy, "link": link})
    async with box.client_of() as nobody:
        assert (await nobody.get("/fhir/Patient")).status_code == 200
        assert (await nobody.get("/Patient")).status_code == 403
        assert (await nobody.get("/fhir/User")).status_code == 403
        assert (await nobody.get("/fhir/Patient?_has:User:link:_id=admin")).status_code >= 400
        await box.client.delete(f"/AccessPolicy/{id_}")
        assert (await nobody.get("/fhir/Patient")).status_code == 403


@BASES
async def test_every_entry_of_a_bundle_is_judged_as_if_sent_alone(box, base):
    mine, other = await patient(box), await patient(box)
    envelope = matcho(uri="#^/(fhir)?$", **{"request-method": "post"})
    async with allowed(box, envelope, OWN, patient_id=mine) as client:
        entries = [
            entry("GET", f"Patient/{mine}"),
            entry("GET", f"Patient/{other}"),
            entry("DELETE", f"Patient/{mine}"),
            entry("GET", f"/Patient/{other}?resource/id={mine}"),
        ]
        answer = (await client.post(f"{base}/", json=batch(*entries))).json()
        assert [each["response"]["status"] for each in answer["entry"]] == [
            "200",
            "403",
            "403",
            "403",
        ]
        denied = await client.post(f"{base}/", json=transaction(*entries[:2]))
        outcome(denied, 403)
        assert (await client.post(f"{base}/", json=transaction(entries[0]))).status_code == 200


async def test_what_governs_the_box_needs_a_policy_about_it(box):
    async with allowed(box, matcho(uri="#^/(fhir/)?Patient")) as client:
        answer = await client.get("/fhir/Patient?_revinclude=Client:_id&_count=1")
        assert answer.status_code in {200, 400, 403}
        assert '"Client"' not in answer.text
        for type_ in ("AccessPolicy", "Client", "User", "Role", "Session"):
            assert (await client.put(f"/{type_}/{fresh()}", json={})).status_code == 403
        upsert = [{"resourceType": "Client", "id": fresh(), "secret": "x"}]
        assert (await client.put("/", json=upsert)).status_code == 403


async def describe(box, request, policy):
    answer = await box.client.post("/auth/test-policy", json={"request": request, "policy": policy})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_trying_a_policy_out(box):
    user = fresh()
    body = {"password": "hush", "email": "n@x.test", "data": {"patient_id": "p-7"}}
    assert (await box.client.put(f"/User/{user}", json=body)).status_code == 201
    request = {
        "uri": "/fhir/Patient/p-7?_pretty=true&resource/id=x",
        "request-method": "get",
        "user-id": user,
        "params": {"resource/id": "p-8", "extra": "1"},
        "headers": {"authorization": "Bearer x." + base64.urlsafe_b64encode(
            json.dumps({"iss": "me"}).encode()).decode().rstrip("=") + ".x"},
    }  # fmt: skip
    policy = matcho(params={"resource/id": ".user.data.patient_id"}, jwt={"iss": "me"})
    told = await describe(box, request, policy)
    assert told["result"] == {"eval-result": True}
    assert told["operation"]["id"] == "FhirRead"
    assert told["request"]["params"] == {
        "resource/type": "Patient", "resource/id": "p-7", "_pretty": "true", "extra": "1",
    }  # fmt: skip
    assert "hush" not in json.dumps(told)
    assert "password" not in told["request"]["user"]
    assert told["request"]["headers"]["authorization"] == "[hidden]"
    told = await describe(box, request, matcho(user={"data": {"patient_id": "no"}}))
    assert told["result"] == {"eval-result": False, "at": ["user.data.patient_id"]}
    query = "SELECT {{params.resource/id}} = {{user.data.patient_id}}"
    told = await describe(box, request, sql(query))
    assert told["result"] == {"eval-result": True, "query": ["SELECT $1 = $2", "p-7", "p-7"]}


async def test_policies_of_a_role(box):
    nurse, other, ward = fresh(), fresh(), fresh()
    for user in (nurse, other):
        await box.client.put(f"/User/{user}", json={"email": f"{user}@x.test"})
    await box.client.put(f"/Organization/{ward}", json={})
    link = {"organization": {"resourceType": "Organization", "id": ward}}
    for name in ("clerk", "nurse"):
        role = {
            "name": name,
            "user": {"resourceType": "User", "id": nurse},
            **({"links": link} if name == "nurse" else {}),
        }
        answer = await box.client.post("/Role", json=role)
        assert answer.status_code == 201, answer.text
    policy = {
        "roleName": "nurse",
        **matcho(params={"organization": ".role.links.organization.id"}),
    }
    for user, organization, allows in (
        (nurse, ward, True),
        (nurse, "w9", False),
        (other, ward, False),
    ):
        request = {"uri": f"/Patient?organization={organization}", "user-id": user}
        told = await describe(box, request, policy)
        assert told["result"]["eval-result"] is allows
    request = {"uri": f"/Patient?organization={ward}", "user-id": nurse}
    told = await describe(box, request, {**policy, "roleName": "clerk"})
    assert told["result"]["eval-result"] is False


async def test_what_shows_policies_at_work_is_for_administrators(box):
    mine = await patient(box)
    async with allowed(box, OWN, matcho(uri="#test-policy|metadata$"), patient_id=mine) as client:
        path = f"/fhir/Patient/{mine}"
        assert (await client.get(path)).status_code == 200
        assert (await client.get(f"{path}?__debug=policy")).status_code == 403
        assert (await client.get("/metadata?__debug=policy")).status_code == 403
        assert (await client.get(path, headers={"x-debug": "policy"})).status_code == 403
        body = {"request": {}, "policy": {"engine": "allow"}}
        assert (await client.post("/auth/test-policy", json=body)).status_code == 403


async def test_debugging_shows_every_policy_and_runs_nothing(box):
    id_, wanted = fresh(), fresh()
    await box.client.put(f"/AccessPolicy/{id_}", json=matcho(uri="#^/never$"))
    sent = {"resourceType": "Patient", "password": "hush"}
    answer = await box.client.put(f"/fhir/Patient/{wanted}?__debug=policy", json=sent)
    assert answer.status_code == 200
    told = answer.json()
    assert told["request"]["uri"] == f"/fhir/Patient/{wanted}"
    assert told["request"]["request-method"] == "put"
    assert told["request"]["headers"]["authorization"] == "[hidden]"
    assert "hush" not in answer.text
    by_id = {policy["id"]: policy for policy in told["policies"]}
    assert by_id[id_]["evalResult"] is False
    assert by_id[id_]["debug"] == {"eval-result": False, "at": ["uri"]}
    assert any(policy["evalResult"] for policy in told["policies"])
    assert (await box.client.get(f"/Patient/{wanted}")).status_code == 404
    await box.client.delete(f"/AccessPolicy/{id_}")


def events(box, name):
    box.application.log.drain()
    lines = [json.loads(line) for line in box.log.read_text().splitlines()]
    return [line for line in lines if line["ev"] == name]


async def test_the_log_explains_denials_and_traces_without_values(box):
    async with allowed(box, OWN, sql("SELECT 1 / 0 = 1"), patient_id="hush-hush") as client:
        answer = await client.get("/fhir/Patient/secret-id", headers={"x-request-id": "denied-1"})
        assert answer.status_code == 403
        assert "policy" not in answer.text.lower()
    told = next(e for e in events(box, "auth/denied") if e["ctx"] == "denied-1")
    assert told["tried"] == 2
    by_engine = {each["engine"]: each for each in told["policies"]}
    assert by_engine["matcho"]["at"] == ["params.resource/id"]
    assert by_engine["sql"]["reason"] == "sql: 22012"
    assert "hush-hush" not in json.dumps(told)
    await box.client.get("/fhir/Patient", headers={"x-debug": "policy", "x-request-id": "traced-1"})
    traced = [e for e in events(box, "auth/trace-policy") if e["ctx"] == "traced-1"]
    assert traced[0]["policy-type"] == "allow"
    assert traced[0]["access-policy-id"]


async def test_patterns_can_be_tried(box):
    body = {
        "matcho": {"id": ".user.id", "a": {"$contains": 2}, "b": "present?"},
        "resource": {"id": "x", "a": [1, 2]},
        "context": {"user": {"id": "x"}},
    }
    answer = await box.client.post("/$matcho", json=body)
    assert answer.status_code == 200
    assert answer.json() == {
        **body,
        "result": [{"path": ["b"], "expected": "present?", "but": None}],
    }
    del body["matcho"]["b"]
    assert (await box.client.post("/$matcho", json=body)).json()["result"] == []
    outcome(await box.client.post("/$matcho", json={"matcho": {"a": {"$x": 1}}}), 422)
    outcome(await box.client.post("/$matcho", json={}), 422)
    async with box.client_of() as nobody:
        assert (await nobody.post("/$matcho", json=body)).status_code == 403
