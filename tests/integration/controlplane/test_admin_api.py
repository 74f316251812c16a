"""The admin REST API: credentials, scopes, boxes, jobs, problems, its OpenAPI document."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from django.test import Client

from controlplane.api import credentials
from controlplane.provisioning.run import run_job
from tenants.models import Box, Job
from tests.integration.controlplane.making import ask_for_box, traces_of

pytestmark = pytest.mark.django_db


def get_token(made, scope: str = "read write", **change):
    words = {"grant_type": "client_credentials", "scope": scope} | change
    encoded = base64.b64encode(f"{made.client_id}:{made.secret}".encode()).decode()
    return Client().post("/o/token/", words, headers={"authorization": f"Basic {encoded}"})


def api_of(account, scope: str = "read write") -> Client:
    made = credentials.create_credential(account, "test")
    token = get_token(made, scope).json()["access_token"]
    return Client(headers={"authorization": f"Bearer {token}"})


@pytest.fixture
def api(ada) -> Client:
    return api_of(ada)


def problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert {"type", "title"} <= set(body)
    return body


NEW = {"name": "clinic1", "purpose": "production", "tier": "standard"}


def test_a_box_is_made_read_listed_and_deleted(api, ada, platform):
    made = api.post("/api/v1/boxes", NEW, content_type="application/json")
    assert made.status_code == 202, made.content
    assert made.headers["Location"] == "/api/v1/boxes/clinic1"
    body = made.json()
    assert body["box"]["state"] == "requested"
    assert body["first_client"]["id"] == "root"
    secret = body["first_client"]["secret"]
    assert Box.objects.get().sealed_client_secret == "", "shown now, so kept nowhere"
    run_job(body["job"]["id"], platform)
    job = api.get(f"/api/v1/jobs/{body['job']['id']}").json()
    assert (job["state"], job["kind"], job["box"]) == ("done", "create", "clinic1")
    assert next(step["name"] for step in job["steps"]) == "credentials"
    read = api.get("/api/v1/boxes/clinic1").json()
    assert (read["state"], read["base_url"]) == ("ready", "http://clinic1.localhost:8888")
    assert (read["role"], read["tier"], read["purpose"]) == ("owner", "standard", "production")
    assert secret not in str(read)
    listed = api.get("/api/v1/boxes").json()
    assert (listed["count"], listed["results"][0]["name"]) == (1, "clinic1")
    gone = api.delete("/api/v1/boxes/clinic1")
    assert (gone.status_code, gone.json()["kind"]) == (202, "delete")
    run_job(gone.json()["id"], platform)
    assert traces_of("clinic1", platform) == []
    problem(api.get("/api/v1/boxes/clinic1"), 404)
    assert api.get(f"/api/v1/jobs/{gone.json()['id']}").json()["state"] == "done"


def test_repeating_a_creation_makes_nothing_twice(api):
    assert api.post("/api/v1/boxes", NEW, content_type="application/json").status_code == 202
    again = problem(api.post("/api/v1/boxes", NEW, content_type="application/json"), 409)
    assert again["code"] == "box:name:taken"
    assert (Box.objects.count(), Job.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "WWW"}, "name"),
        ({"fhir_version": "6.0.0"}, "fhirVersion"),
        ({"tier": "gold"}, "tier"),
        ({"env": {"pghost": "x"}}, "env"),
        ({"purpose": "fun"}, "purpose"),
        ({"description": 5 * ["x"]}, "description"),
    ],
)
def test_a_wrong_field_is_named(api, change, field):
    answer = api.post("/api/v1/boxes", NEW | change, content_type="application/json")
    assert problem(answer, 422)["errors"][0]["field"] == field


def test_unreadable_bodies_and_wrong_methods_are_problems(api):
    problem(api.post("/api/v1/boxes", "{", content_type="application/json"), 400)
    problem(api.post("/api/v1/boxes", "x", content_type="text/plain"), 415)
    problem(api.put("/api/v1/boxes", "{}", content_type="application/json"), 405)
    problem(api.get("/api/v1/nothing"), 404)


def test_without_a_token_nothing_is_told(client):
    answer = client.get("/api/v1/boxes")
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    problem(client.get("/api/v1/boxes", headers={"authorization": "Bearer wrong"}), 401)


def test_a_session_is_no_token(client, ada):
    client.force_login(ada)
    problem(client.get("/api/v1/boxes"), 401)


def test_scopes_are_kept(ada):
    reader, writer = api_of(ada, "read"), api_of(ada, "write")
    assert reader.get("/api/v1/boxes").status_code == 200
    problem(reader.post("/api/v1/boxes", NEW, content_type="application/json"), 403)
    problem(writer.get("/api/v1/boxes"), 403)
    assert writer.post("/api/v1/boxes", NEW, content_type="application/json").status_code == 202


def test_an_application_acts_as_its_account(ada, eve):
    ask_for_box(ada, "clinic1")
    theirs = api_of(eve)
    assert theirs.get("/api/v1/boxes").json()["count"] == 0
    assert theirs.get("/api/v1/jobs").json()["count"] == 0
    problem(theirs.get("/api/v1/boxes/clinic1"), 404)
    problem(theirs.delete("/api/v1/boxes/clinic1"), 404)
    problem(theirs.get(f"/api/v1/jobs/{Job.objects.get().id}"), 404)


def test_jobs_and_boxes_come_in_pages(api, ada):
    for _ in range(3):
        ask_for_box(ada)
    page = api.get("/api/v1/boxes?page_size=2").json()
    assert (page["count"], len(page["results"])) == (3, 2)
    assert len(api.get(page["next"]).json()["results"]) == 1
    assert api.get("/api/v1/jobs?page_size=2").json()["count"] == 3
    problem(api.get("/api/v1/boxes?page=9"), 404)


def test_a_deleted_credential_opens_nothing_more(client, ada):
    client.force_login(ada)
    client.post("/account/credentials", {"name": "robot"})
    made = credentials.create_credential(ada, "other")
    token = get_token(made).json()["access_token"]
    robot = Client(headers={"authorization": f"Bearer {token}"})
    assert robot.get("/api/v1/boxes").status_code == 200
    pk = credentials.credentials_of(ada).get(name="other").pk
    client.post(f"/account/credentials/{pk}/delete")
    problem(robot.get("/api/v1/boxes"), 401)
    assert get_token(made).status_code == 401


def test_a_credentials_secret_is_shown_once_and_kept_as_a_hash(client, ada, eve):
    client.force_login(ada)
    page = client.post("/account/credentials", {"name": "robot"}).content.decode()
    secret = page.split('id="made-secret">')[1].split("<")[0]
    stored = credentials.credentials_of(ada).get()
    assert secret not in (stored.client_secret, client.get("/account").content.decode())
    client.force_login(eve)
    client.post(f"/account/credentials/{stored.pk}/delete")
    assert credentials.credentials_of(ada).exists(), "someone else's credential"


@pytest.mark.parametrize("grant", ["password", "authorization_code", "implicit"])
def test_only_client_credentials_are_granted(ada, grant):
    made = credentials.create_credential(ada, "test")
    words = {"grant_type": grant, "username": "ada@example.org", "password": "x", "code": "x"}
    assert get_token(made, **words).status_code in (400, 401)


def test_the_openapi_document_describes_every_path(client):
    import msgspec

    answer = client.get("/api/v1/schema", headers={"accept": "application/json"})
    document = msgspec.json.decode(answer.content)
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {
        "/api/v1/boxes",
        "/api/v1/boxes/{name}",
        "/api/v1/jobs",
        "/api/v1/jobs/{job_id}",
    }
    flow = document["components"]["securitySchemes"]["oauth"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"].endswith("/o/token/")
    boxes = document["paths"]["/api/v1/boxes"]
    assert (boxes["get"]["security"], boxes["post"]["security"]) == (
        [{"oauth": ["read"]}],
        [{"oauth": ["write"]}],
    )


@pytest.mark.parametrize("method", ["get", "delete"])
def test_a_path_that_no_database_holds_is_refused(api, method):
    problem(getattr(api, method)("/api/v1/boxes/a%00b"), 400)


def test_a_client_id_that_no_database_holds_is_refused(ada):
    made = credentials.create_credential(ada, "test")
    assert get_token(replace(made, client_id="a\0b")).status_code == 400
