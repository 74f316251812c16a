"""`POST /rpc`, its answers word for word. Source: platform specification, "RPC API"."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest
from django.test import Client
from ruamel.yaml import YAML

from tenants import selectors
from tenants.models import Box
from tests.fixtures_django import SUPERUSER
from tests.integration.controlplane.making import ask_for_box, make_box

pytestmark = pytest.mark.django_db


def call(client: Client, method: str, params: dict | None = None, **options):
    body = {"method": f"multibox/{method}"} | ({} if params is None else {"params": params})
    return client.post("/rpc", json.dumps(body), content_type="application/json", **options)


def basic(user: str, password: str) -> dict[str, str]:
    import base64

    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"authorization": f"Basic {encoded}"}


@pytest.fixture
def root(tiers) -> Client:
    return Client(headers=basic(*SUPERUSER))


def failure(answer) -> str:
    assert answer.status_code == 422, answer.content
    body = answer.json()
    assert list(body) == ["error"]
    return body["error"]["message"]


def test_guessing_the_superusers_password_ends_even_with_the_right_one(tiers, client):
    for number in range(30):
        answer = call(client, "list-boxes", headers=basic("root", f"guess{number}"))
        assert failure(answer) == "No user session"
    right = {"headers": basic(*SUPERUSER)}
    assert failure(call(client, "list-boxes", **right)) == "Too many attempts"
    elsewhere = right | {"REMOTE_ADDR": "192.0.2.7"}
    assert call(client, "list-boxes", **elsewhere).status_code == 200


@pytest.mark.parametrize("text", ["a\0bcd", "\ud800abcd"])
def test_text_that_no_database_holds_is_refused(root, text):
    for method in ("get-box", "delete-box", "check-id", "get-box-status"):
        failure(call(root, method, {"id": text}))
    failure(call(root, "create-box", {"id": "clinic9", "fhirVersion": text}))
    made = {"id": "clinic9", "fhirVersion": "4.0.1"}
    failure(call(root, "create-box", made | {"description": text}))
    failure(call(root, "create-box", made | {"env": {"box-a": text}}))
    failure(call(root, "add-collaborator", {"box": "clinic9", "user": text, "role": "admin"}))
    assert not Box.objects.filter(name="clinic9").exists()


def test_versions_are_for_everyone(client):
    for method in ("fhir-versions", "versions"):
        answer = call(client, method)
        offered = ["fhir-4.0.1", "fhir-5.0.0", "fhir-4.3.0", "fhir-3.0.2", "fhir-1.0.2"]
        assert (answer.status_code, answer.json()) == (200, {"result": offered})


def test_an_id_is_checked_for_everyone(client, ada):
    ask_for_box(ada, "taken1")
    assert call(client, "check-id", {"id": "free12"}).json() == {
        "result": {"id": "free12", "available": True}
    }
    assert failure(call(client, "check-id", {"id": "taken1"})) == "Box taken1 already exists"
    for text in ("x", "UPPER1", "postgres", "../etc"):
        failure(call(client, "check-id", {"id": text}))
    failure(call(client, "check-id", {"id": 7}))
    failure(call(client, "check-id"))


@pytest.mark.parametrize("method", ["list-boxes", "get-box", "create-box", "delete-box"])
def test_others_need_a_session_or_the_superuser(client, method):
    assert failure(call(client, method, {"id": "clinic1"})) == "No user session"


@pytest.mark.parametrize(
    "headers",
    [
        basic("root", "wrong"),
        basic("other", SUPERUSER[1]),
        {"authorization": "Basic !!!"},
        {"authorization": "Bearer x"},
        {"authorization": "Basic"},
    ],
)
def test_wrong_credentials_open_nothing(client, headers):
    assert failure(call(client, "list-boxes", headers=headers)) == "No user session"
    failure(call(client, "fhir-versions", headers=headers))


def test_guessing_the_superuser_is_stopped(client):
    said = {failure(call(client, "list-boxes", headers=basic("root", str(n)))) for n in range(31)}
    assert said == {"No user session", "Too many attempts"}


def test_unknown_methods_and_unreadable_bodies_fail_by_name(root):
    assert failure(call(root, "nonsense")) == "Method multibox/nonsense not found"
    for body in ("", "{", "[]", '{"method": 5}', '{"method": "x", "params": []}'):
        failure(root.post("/rpc", body, content_type="application/json"))
    assert root.get("/rpc").status_code == 405


def test_yaml_goes_in_and_out(client):
    answer = client.post(
        "/rpc",
        "method: multibox/check-id\nparams:\n  id: clinic1\n",
        content_type="text/yaml",
        headers={"accept": "text/yaml"},
    )
    assert answer.headers["Content-Type"].startswith("text/yaml")
    assert YAML(typ="safe").load(answer.content) == {"result": {"id": "clinic1", "available": True}}


@pytest.mark.parametrize(
    "body",
    [
        "a: &a [x,x]\nb: &b [*a,*a]\nmethod: multibox/versions",
        "!!python/object:os.system x",
        "a: [",
    ],
)
def test_hostile_yaml_is_refused(client, body):
    answer = client.post("/rpc", body, content_type="text/yaml")
    assert failure(answer) == "The body could not be read"


def test_a_session_of_another_sites_making_is_no_session(ada):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    assert failure(call(client, "list-boxes")) == "No user session"
    page = client.get("/boxes").content.decode()
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    answer = call(client, "list-boxes", headers={"x-csrftoken": token})
    assert answer.json()["result"] == {"list": [], "constraints": None}


def test_a_box_is_described_and_entered(client, ada, platform):
    environment = {"box-web-thread": "8"}
    make_box(ada, platform, "clinic1", environment=environment, description="Pilot")
    client.force_login(ada)
    listed = call(client, "list-boxes").json()["result"]
    assert listed == {"list": [{"id": "clinic1", "fhirVersion": "fhir-4.0.1"}], "constraints": None}
    box = call(client, "get-box", {"id": "clinic1"}).json()["result"]
    assert box["box-url"] == "http://clinic1.localhost:8888"
    assert re.fullmatch(
        r"http://clinic1\.localhost:8888/__sudo\?token=[\w.-]+&redirect-uri=/", box["access-url"]
    )
    assert box["access-token"] not in box["access-url"]
    assert box["env"] == environment
    assert box["participant"] == [{"role": "owner", "user": {"resourceType": "User", "id": ada.pk}}]
    assert (box["resourceType"], box["id"], box["description"]) == ("Box", "clinic1", "Pilot")
    assert box["import"] == {"fhir-4.0.1": {}}
    assert set(box["meta"]) == {"versionId", "lastUpdated"}
    assert "secret" not in json.dumps(box).lower()


def test_a_foreign_box_is_no_box(client, ada, eve, platform):
    ask_for_box(ada, "clinic1")
    client.force_login(eve)
    for method in ("get-box", "delete-box", "get-box-status"):
        said = failure(call(client, method, {"id": "clinic1"}))
        assert said == "No box with id - clinic1"
    assert call(client, "list-boxes").json()["result"]["list"] == []


def test_the_superuser_enters_every_box_and_takes_part_in_none(root, ada, platform):
    make_box(ada, platform, "clinic1")
    assert call(root, "list-boxes").json()["result"]["list"] == []
    box = call(root, "get-box", {"id": "clinic1"}).json()["result"]
    assert box["access-token"]
    from controlplane.boxclient import BoxClient

    client = BoxClient(
        platform.environment.box_socket("clinic1"), "clinic1.localhost", box["access-token"]
    )
    assert client.list_page("Patient", page=1, size=1).resources == []


def test_a_collaborator_is_added(client, ada, eve):
    ask_for_box(ada, "clinic1")
    client.force_login(ada)
    params = {"box": "clinic1", "user": eve.pk, "role": "writer"}
    box = call(client, "add-collaborator", params).json()["result"]
    assert {"role": "writer", "user": {"resourceType": "User", "id": eve.pk}} in box["participant"]


def test_small_methods_answer(root, ada):
    ask_for_box(ada, "clinic1")
    assert call(root, "drop-box-caches").json() == {"result": "ok"}
    status = call(root, "get-box-status", {"id": "clinic1"}).json()["result"]
    assert status == {
        "id": "clinic1", "loaded": False, "exists": True, "database": False, "changed": False,
    }  # fmt: skip


def test_without_a_worker_a_box_that_was_not_made_is_removed(root):
    assert failure(call(root, "create-box", {"id": "clinic1", "fhirVersion": "fhir-4.0.1"})) == (
        "Can not create box"
    )
    assert Box.objects.get().state == "deleting"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"id": "clinic1"}, "fhirVersion"),
        ({"fhirVersion": "fhir-4.0.1"}, "id"),
        ({"id": "www", "fhirVersion": "fhir-4.0.1"}, "lower-case"),
        ({"id": "clinic1", "fhirVersion": "fhir-9"}, "not offered"),
        ({"id": "clinic1", "fhirVersion": "fhir-4.0.1", "env": {"pghost": "x"}}, "pghost is set"),
        ({"id": "clinic1", "fhirVersion": "fhir-4.0.1", "env": []}, "env"),
    ],
)
def test_a_wrong_creation_says_what_is_wrong(root, params, said):
    if params.get("env") == []:
        params = params | {"env": ["x"]}
    assert said in failure(call(root, "create-box", params))
    assert not Box.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_create_box_answers_when_the_box_serves_and_delete_box_when_it_is_gone(
    root, platform, monkeypatch
):
    """A thread with its own database connection stands for the worker."""
    from django.db import connection

    from controlplane.provisioning.run import run_job

    threads = []

    def send(job_id, **_):
        def work():
            time.sleep(0.1)
            try:
                run_job(job_id, platform)
            finally:
                connection.close()

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return True

    monkeypatch.setattr("controlplane.provisioning.queue.send", send)
    params = {"id": "rpcbox1", "fhirVersion": "fhir-4.0.1", "env": {"box-web-thread": "8"}}
    made = call(root, "create-box", params)
    assert made.status_code == 200, made.content
    box = made.json()["result"]
    assert box["participant"] == [{"role": "owner", "user": {"resourceType": "User", "id": "root"}}]
    assert box["env"] == {"box-web-thread": "8"}
    assert "box-url" not in box
    assert "root:SECRET" not in made.content.decode()
    assert selectors.find_box("rpcbox1").sealed_client_secret == ""
    assert failure(call(root, "create-box", params)) == "Box rpcbox1 already exists"
    reloaded = call(root, "reload-box", {"id": "rpcbox1"}).json()["result"]
    assert reloaded == {
        "id": "rpcbox1", "loaded": True, "exists": True, "database": True, "changed": False
    }  # fmt: skip
    assert platform.runtime.status("rpcbox1").generation == 2
    gone = call(root, "delete-box", {"id": "rpcbox1"}).json()["result"]
    assert (gone["resourceType"], gone["id"]) == ("Box", "rpcbox1")
    assert failure(call(root, "get-box", {"id": "rpcbox1"})) == "No box with id - rpcbox1"
    for thread in threads:
        thread.join()
