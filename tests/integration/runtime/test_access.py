"""Who may: Basic, portal tokens, cookies and the `allow` engine, through a whole box.

Source: authentication specification, "Authenticating a request", "Basic authentication",
"Decision algorithm", "Must be refused"; platform specification, "Routing to a box".
"""

from __future__ import annotations

import base64
import time

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.fixtures_box import ACCESS_KEY
from tests.integration.runtime.making import BASES, OAK, batch, entry, fresh, transaction

KEY = OctKey.import_key(bytes.fromhex(ACCESS_KEY))


def token(**changes):
    now = int(time.time())
    claims = {
        "iss": "halebox", "aud": "box", "sub": "7", "name": "a@b.test", "role": "owner",
        "typ": "access", "jti": fresh(), "iat": now, "exp": now + 300, **changes,
    }  # fmt: skip
    return jwt.encode({"alg": "HS256"}, claims, KEY)


def bearer(**changes):
    return {"Authorization": f"Bearer {token(**changes)}"}


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


async def make_client(box, *, secret="s3:cret ü", allowed=False, **more):
    id_ = fresh()
    body = {"secret": secret, "grant_types": ["basic"], **more}
    answer = await box.client.put(f"/Client/{id_}", json=body)
    assert answer.status_code == 201, answer.text
    if allowed:
        policy = {"engine": "allow", "link": [{"resourceType": "Client", "id": id_}]}
        assert (await box.client.put(f"/AccessPolicy/{id_}", json=policy)).status_code == 201
    return id_


def check(answer, status, base, code):
    assert answer.status_code == status
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    assert body["issue"][0]["code"] == code
    if base:
        assert body.keys() <= {"resourceType", "id", "text", "issue"}
        assert answer.headers["content-type"].startswith("application/fhir+json")
    else:
        assert body["message"]


@BASES
async def test_nothing_is_open_by_default(box, base):
    async with box.client_of() as nobody:
        for method, path in (
            ("GET", "/Patient"), ("POST", "/Patient"), ("GET", "/Patient/x"), ("PUT", "/Patient/x"),
            ("DELETE", "/Patient/x"), ("GET", "/Patient/_history"), ("GET", "/Nothing"), ("POST", "/"),
            ("GET", "/no/such/route/at/all"), ("PATCH", "/Patient/x"), ("GET", "/$psql"),
        ):  # fmt: skip
            answer = await nobody.request(method, base + path)
            check(answer, 403, base, "forbidden")
            assert answer.json()["issue"][0]["diagnostics"] == "Access Denied"
        for path in ("/metadata", "/fhir/metadata", "/health", "/__healthcheck"):
            assert (await nobody.get(path)).status_code == 200


@BASES
@pytest.mark.parametrize(
    "header",
    [
        "Basic", "Basic !!!", "Basic cm9vdA==", "Basic OnNlY3JldA==", "Basic cm9vdDo=", "Basic /w==",
        "Basic cm9vdDp3cm9uZw==", "Basic bm9ib2R5OnNlY3JldA==", "Bearer", "Bearer x.y.z", "Bearer é",
        "Digest x", "x", "Basic cm9vdDpzZWNyZXQ", "Basic AHJvb3Q6c2VjcmV0",
    ],
)  # fmt: skip
async def test_bad_credentials_are_401_even_where_anyone_may(box, base, header):
    status, headers, _ = await box.raw("GET", f"{base}/Patient".encode(), {"authorization": header})
    assert status == 401
    assert headers["www-authenticate"].startswith(("Basic", 'Bearer error="invalid_token"'))
    status, _, _ = await box.raw("GET", b"/fhir/metadata", {"authorization": header})
    assert status == 401


@BASES
async def test_a_client_needs_a_policy(box, base):
    id_ = await make_client(box)
    async with box.client_of((id_, "s3:cret ü")) as client:
        check(await client.get(f"{base}/Patient"), 403, base, "forbidden")
        policy = {"engine": "allow", "link": [{"resourceType": "Client", "id": id_}]}
        await box.client.put(f"/AccessPolicy/{id_}", json=policy)
        assert (await client.get(f"{base}/Patient")).status_code == 200
        await box.client.delete(f"/AccessPolicy/{id_}")
        check(await client.get(f"{base}/Patient"), 403, base, "forbidden")


async def test_changes_of_a_client_hold_for_the_next_request(box):
    id_ = await make_client(box, allowed=True)
    body = {"secret": "s3:cret ü", "grant_types": ["basic"]}
    async with box.client_of((id_, "s3:cret ü")) as client:
        for change, status in (
            ({}, 200),
            ({"active": False}, 401),
            ({}, 200),
            ({"grant_types": ["client_credentials"]}, 401),
            ({}, 200),
            ({"secret": "another"}, 401),
            ({}, 200),
            ({"secret": None}, 401),
        ):
            await box.client.put(f"/Client/{id_}", json={**body, **change})
            assert (await client.get("/Patient")).status_code == status, change
        await box.client.put(f"/Client/{id_}", json=body)
        assert (await client.get("/Patient")).status_code == 200
        await box.client.delete(f"/Client/{id_}")
        assert (await client.get("/Patient")).status_code == 401


async def test_secrets_are_hashed_at_rest_and_hashes_kept(box):
    id_ = await make_client(box)
    shown = (await box.client.get(f"/Client/{id_}")).json()["secret"]
    assert shown.startswith("$s0$f0801$")
    read = (await box.client.get(f"/Client/{id_}")).json()
    again = await box.client.put(f"/Client/{id_}", json=read)
    assert again.json()["secret"] == shown
    for hashed in ("__sha256:" + "aB" * 32, "__sha256:" + "0" * 64):
        kept = await box.client.put(f"/Client/{id_}", json={"secret": hashed})
        assert kept.json()["secret"] == hashed
        assert (await box.client.get(f"/Client/{id_}")).json()["secret"] == hashed
    for broken in ("__sha256:xyz", "$s0$nonsense", "__sha256:", "$s0$f0801$$"):
        assert (await box.client.put(f"/Client/{id_}", json={"secret": broken})).status_code == 422
    user = (await box.client.post("/User", json={"password": "pw"})).json()
    assert user["password"].startswith("$s0$")


async def test_a_sha256_secret_signs_in(box):
    digest = "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B"  # "secret"
    id_ = await make_client(box, secret=f"__sha256:{digest}", allowed=True)
    async with box.client_of((id_, "secret")) as client:
        assert (await client.get("/Patient")).status_code == 200


async def test_users_cannot_use_basic(box):
    await box.client.put("/User/nina", json={"password": "pw"})
    async with box.client_of(("nina", "pw")) as nina:
        assert (await nina.get("/Patient")).status_code == 401


async def test_a_policy_on_an_operation_opens_it_to_everybody(box):
    id_ = fresh()
    policy = {"engine": "allow", "link": [{"resourceType": "Operation", "id": "FhirRead"}]}
    assert (await box.client.put(f"/AccessPolicy/{id_}", json=policy)).status_code == 201
    try:
        made = (await box.client.post("/Patient", json=OAK)).json()["id"]
        async with box.client_of() as nobody:
            assert (await nobody.get(f"/fhir/Patient/{made}")).status_code == 200
            assert (await nobody.get(f"/Patient/{made}")).status_code == 403
            assert (await nobody.get("/fhir/Patient")).status_code == 403
            assert (await nobody.put(f"/fhir/Patient/{made}", json=OAK)).status_code == 403
    finally:
        await box.client.delete(f"/AccessPolicy/{id_}")


@pytest.mark.parametrize(
    "policy",
    [
        {"engine": "matcho", "matcho": {"uri": "x"}},
        {"engine": "sql", "sql": {"query": "SELECT false"}},
        {"engine": "sql", "sql": {"query": "SELECT true FROM no_such_table"}},
        {"engine": "allow", "roleName": "nurse"},
        {"engine": "complex", "and": []},
        {"description": "no engine"},
    ],
)
async def test_policies_that_say_no_or_cannot_be_stored_allow_nothing(box, policy):
    id_ = fresh()
    await box.client.put(f"/AccessPolicy/{id_}", json=policy)
    async with box.client_of() as nobody:
        assert (await nobody.get("/fhir/Patient")).status_code == 403
    await box.client.delete(f"/AccessPolicy/{id_}")


async def test_malformed_policies_written_by_sql_allow_nothing_and_stop_nothing(box):
    for number, document in enumerate(
        ('{"engine":"allow","link":[]}', '{"engine":"allow","link":[{"resourceType":["x"],"id":{}}]}',
         '{"engine":"allow","link":5}', "[]", "5", '{"engine":"allow","link":[{"id":"x"}]}')
    ):  # fmt: skip
        await box.sql(
            "INSERT INTO accesspolicy (id, txid, status, resource) "
            "VALUES ($1, nextval('transaction_id_seq'), 'created', $2::text::jsonb)",
            f"bad-{number}",
            document,
        )
    await box.application.reload(None)
    async with box.client_of() as nobody:
        assert (await nobody.get("/fhir/Patient")).status_code == 403
    assert (await box.client.get("/fhir/Patient")).status_code == 200
    await box.sql("DELETE FROM accesspolicy WHERE id LIKE 'bad-%'")
    await box.application.reload(None)


@BASES
async def test_entries_are_judged_one_by_one(box, base):
    """Whoever may post a Bundle may not therefore do what its entries ask."""
    operation = "FhirTransaction" if base else "Transaction"
    id_ = fresh()
    policy = {"engine": "allow", "link": [{"resourceType": "Operation", "id": operation}]}
    await box.client.put(f"/AccessPolicy/{id_}", json=policy)
    wanted = fresh()
    try:
        async with box.client_of() as nobody:
            put = entry("PUT", f"Patient/{wanted}", OAK)
            denied = await nobody.post(f"{base}/", json=transaction(put))
            check(denied, 403, base, "forbidden")
            body = (
                await nobody.post(f"{base}/", json=batch(put, entry("GET", "/metadata")))
            ).json()
            assert [item["response"]["status"] for item in body["entry"]] == ["403", "200"]
    finally:
        await box.client.delete(f"/AccessPolicy/{id_}")
    assert (await box.client.get(f"/Patient/{wanted}")).status_code == 404


async def test_portal_tokens(box):
    async with box.client_of() as anyone:
        assert (await anyone.get("/fhir/Patient", headers=bearer())).status_code == 200
        assert (
            await anyone.get("/fhir/Patient", headers={"Cookie": f"aidbox-auth-token={token()}"})
        ).status_code == 200
        now = int(time.time())
        for wrong in (
            {"aud": "another-box"}, {"iss": "x"}, {"typ": "sudo"}, {"role": "god"}, {"role": ["owner"]},
            {"exp": now - 1}, {"exp": now + 10**6}, {"exp": None}, {"exp": "soon"}, {"iat": now + 3600},
            {"sub": 7}, {"jti": None}, {"iat": None}, {"aud": ["box"]},
        ):  # fmt: skip
            assert (
                await anyone.get("/fhir/Patient", headers=bearer(**wrong))
            ).status_code == 401, wrong
        other = jwt.encode({"alg": "HS256"}, {"iss": "halebox"}, OctKey.import_key(b"x" * 32))
        assert (
            await anyone.get("/fhir/Patient", headers={"Authorization": f"Bearer {other}"})
        ).status_code == 401
        header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        unsigned = f"{header}.{token().split('.')[1]}."
        assert (
            await anyone.get("/fhir/Patient", headers={"Authorization": f"Bearer {unsigned}"})
        ).status_code == 401


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("owner", "PUT", "/Client/x-owner", 201), ("admin", "GET", "/AccessPolicy", 200),
        ("writer", "POST", "/Patient", 201), ("writer", "GET", "/Client", 403),
        ("writer", "POST", "/AccessPolicy", 403), ("writer", "PUT", "/Entity/Foo", 403),
        ("reader", "PATCH", "/Patient/none-such", 403), ("writer", "PATCH", "/Client/root", 403),
        ("writer", "PATCH", "/fhir/User?_id=x", 403), ("writer", "PATCH", "/Patient/none-such", 404),
        ("reader", "GET", "/Patient", 200), ("reader", "POST", "/Patient", 403),
        ("reader", "GET", "/User", 403), ("reader", "HEAD", "/Patient", 200),
        ("reader", "POST", "/", 403), ("reader", "POST", "/Patient/_search", 200),
        ("reader", "POST", "/Client/_search", 403),
    ],
)  # fmt: skip
async def test_roles_of_participants(box, role, method, path, status):
    async with box.client_of() as person:
        body = {} if method in {"POST", "PUT", "PATCH"} and not path.endswith("_search") else None
        answer = await person.request(method, path, headers=bearer(role=role), json=body)
        assert answer.status_code == status


async def test_a_reader_sees_no_governing_types_in_the_history_of_the_box(box):
    await make_client(box)
    async with box.client_of() as person:
        reader = (
            await person.get("/fhir/_history?_count=1000", headers=bearer(role="reader"))
        ).json()
        owner = (
            await person.get("/fhir/_history?_count=1000", headers=bearer(role="owner"))
        ).json()
    types = {item["resource"]["resourceType"] for item in reader["entry"]}
    assert not types & {"Client", "User", "AccessPolicy", "Operation"}
    assert "Client" in {item["resource"]["resourceType"] for item in owner["entry"]}


async def test_writers_do_not_administer_through_bundles(box):
    async with box.client_of() as person:
        policy = {"resourceType": "AccessPolicy", "id": fresh(), "engine": "allow"}
        sneaky = transaction(entry("POST", "AccessPolicy", policy))
        answer = await person.post("/", headers=bearer(role="writer"), json=sneaky)
        assert answer.status_code == 403
        answer = await person.put("/", headers=bearer(role="writer"), json=[policy])
        assert answer.status_code == 403
        answer = await person.put(
            f"/AccessPolicy?_id={policy['id']}", headers=bearer(role="writer"), json=policy
        )
        assert answer.status_code == 403


async def test_validation_asks_for_the_rights_on_the_type_of_the_body(box):
    client = {"resourceType": "Client", "id": "root"}
    wrapped = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": client},
            {"name": "mode", "valueCode": "delete"},
        ],
    }
    async with box.client_of() as person:
        for path, body, status in (
            ("/fhir/$validate", {"resourceType": "Patient"}, 200),
            ("/fhir/$validate", client, 403),
            ("/fhir/$validate", wrapped, 403),
            ("/fhir/Client/$validate", client, 403),
            ("/fhir/Client/root/$validate?mode=delete", None, 403),
        ):
            answer = await person.post(path, headers=bearer(role="writer"), json=body)
            assert answer.status_code == status, (path, body)
        assert (await person.post("/fhir/$validate", json=client)).status_code == 403


async def test_writes_by_cookie_come_from_the_box_itself(box):
    cookie = {"Cookie": f"aidbox-auth-token={token()}"}
    async with box.client_of() as browser:
        for headers, status in (
            ({}, 201),
            ({"Origin": "http://box.test"}, 201),
            ({"Origin": "http://evil.test"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://["}, 403),
            ({"Referer": "http://evil.test/x"}, 403),
            ({"Referer": "http://box.test/x"}, 201),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
        ):
            answer = await browser.post("/Patient", json=OAK, headers={**cookie, **headers})
            assert answer.status_code == status, headers
        assert (
            await browser.get("/Patient", headers={**cookie, "Origin": "http://evil.test"})
        ).status_code == 200


async def test_sudo(box):
    async with box.client_of() as browser:

        async def visit(value, target="/static/console.html"):
            return await browser.get("/__sudo", params={"token": value, "redirect-uri": target})

        once = token(typ="sudo")
        answer = await visit(once)
        assert (answer.status_code, answer.headers["location"]) == (302, "/static/console.html")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Domain" not in cookie
        assert "Secure" not in cookie
        assert (await browser.get("/Patient")).status_code == 200
        assert (await visit(once)).status_code == 401
        for wrong in (
            {"typ": "access"},
            {"typ": "sudo", "aud": "x"},
            {"typ": "sudo", "sub": "999"},
        ):
            assert (await visit(token(**wrong))).status_code == 401
        for target in (
            "//evil.test",
            "http://evil.test",
            "/\\evil.test",
            "\\\\evil",
            "evil",
            "/a\nb",
            "javascript:x",
        ):
            assert (await visit(token(typ="sudo"), target)).status_code == 400, target
        assert (await visit(token(typ="sudo", sub="root"))).status_code == 302


async def test_an_expired_cookie_is_no_bar_to_signing_in(box):
    headers = {"Cookie": f"aidbox-auth-token={token(exp=int(time.time()) - 5)}"}
    async with box.client_of() as browser:
        assert (await browser.get("/Patient", headers=headers)).status_code == 401
        answer = await browser.get("/__sudo", params={"token": token(typ="sudo")}, headers=headers)
        assert answer.status_code == 302


async def test_a_program_beside_the_bearer(box):
    id_ = await make_client(box)
    good, bad = basic(f"{id_}:s3:cret ü")["Authorization"], basic(f"{id_}:wrong")["Authorization"]
    async with box.client_of() as anyone:
        assert (
            await anyone.get("/Patient", headers={**bearer(), "X-Client-Auth": good})
        ).status_code == 200
        for wrong in (bad, "Bearer x", "x"):
            assert (
                await anyone.get("/Patient", headers={**bearer(), "X-Client-Auth": wrong})
            ).status_code == 401


async def test_pages_of_allowed_origins_only(box):
    await make_client(box, allowed_origins=["https://app.test"])
    preflight = {
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    async with box.client_of() as browser:
        for path in ("/fhir/Patient/x", "/no/route"):
            asked = await browser.options(path, headers={"Origin": "https://app.test", **preflight})
            assert asked.status_code == 204
            assert asked.headers["access-control-allow-origin"] == "https://app.test"
            assert "PUT" in asked.headers["access-control-allow-methods"]
            assert "authorization" in asked.headers["access-control-allow-headers"]
            assert "access-control-allow-credentials" not in asked.headers
            other = await browser.options(
                path, headers={"Origin": "https://evil.test", **preflight}
            )
            assert "access-control-allow-origin" not in other.headers
    for path, status in (("/fhir/Patient", 200), ("/fhir/Patient/nobody", 404)):
        answer = await box.client.get(path, headers={"Origin": "https://app.test"})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "https://app.test"
        assert "origin" in answer.headers["vary"]
        other = await box.client.get(path, headers={"Origin": "https://evil.test"})
        assert "access-control-allow-origin" not in other.headers


async def test_the_root_client_is_made_from_the_environment_once_per_value(make_box):
    id_ = fresh()
    more = {"AIDBOX_CLIENT_ID": id_, "AIDBOX_CLIENT_SECRET": "first", "BOX_ID": id_}
    async with make_box(**more) as box:
        client = await box.client.get("/fhir/metadata", auth=(id_, "first"))
        assert client.status_code == 200
        before = await box.client.get(f"/Client/{id_}", auth=(id_, "first"))
        assert before.json()["grant_types"] == ["basic"]
        await box.client.put(
            "/AccessPolicy/mine-" + id_,
            json={"engine": "allow", "link": [{"resourceType": "Client", "id": id_}]},
            auth=(id_, "first"),
        )
    async with make_box(**more) as box:
        after = await box.client.get(f"/Client/{id_}", auth=(id_, "first"))
        assert after.json() == before.json()
    async with make_box(**{**more, "AIDBOX_CLIENT_SECRET": "second"}) as box:
        assert (await box.client.get("/Patient", auth=(id_, "first"))).status_code == 401
        assert (await box.client.get("/Patient", auth=(id_, "second"))).status_code == 200
        assert (
            await box.client.get("/AccessPolicy/mine-" + id_, auth=(id_, "second"))
        ).status_code == 200
        rows = await box.sql("SELECT resource->'participant' AS p FROM _box WHERE id = 'self'")
        assert '"7"' in rows[0]["p"]


async def test_the_front_page_names_the_box_to_those_who_may_see_it(box):
    async with box.client_of() as browser:
        assert (await browser.get("/")).status_code == 403
        accept = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        page = await browser.get("/", headers=bearer(name="<b>@c.test") | accept)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "&lt;b&gt;@c.test (owner)" in page.text
