"""The pages about boxes, served with a real box behind them."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from controlplane import boxes as verbs
from controlplane.provisioning.run import run_job
from tenants.models import Box, Job
from tests.integration.controlplane.making import ask_for_box, make_box


@pytest.fixture
def as_ada(client: Client, ada) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def as_eve(eve) -> Client:
    client = Client()
    client.force_login(eve)
    return client


NEW = {"name": "clinic1", "purpose": "staging", "fhir_version": "4.0.1", "tier": "free"}
PAGES = ("", "/progress", "/open", "/settings", "/delete", "/resources", "/resources/Patient")


def test_every_page_asks_strangers_to_sign_in(client, ada):
    name = ask_for_box(ada).box.name
    for path in ("/boxes", "/boxes/new", "/account", *(f"/boxes/{name}{page}" for page in PAGES)):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/sign-in?next={path}")


def test_a_foreign_box_is_a_404_everywhere(as_eve, ada):
    name = ask_for_box(ada).box.name
    for page in PAGES:
        foreign, none = (as_eve.get(f"/boxes/{box}{page}") for box in (name, "nosuchbox"))
        if page == "/progress":
            continue  # answers a watcher whose box is gone; the same for both, below
        assert foreign.status_code == none.status_code == 404
    verbs_of_pages = (
        "secret",
        "retry",
        "collaborators",
        "collaborators/remove",
        "transfer",
        "restart",
        "delete",
    )
    for page in (f"/{verb}" for verb in verbs_of_pages):
        assert as_eve.post(f"/boxes/{name}{page}", {"name": name}).status_code == 404
    foreign, none = (as_eve.get(f"/boxes/{box}/progress") for box in (name, "nosuchbox"))
    assert foreign.content == none.content == b""


def test_pages_allow_nothing_inline_and_nothing_from_elsewhere(as_ada, ada):
    name = ask_for_box(ada).box.name
    for path in ("/boxes", "/boxes/new", f"/boxes/{name}", f"/boxes/{name}/settings", "/account"):
        answer = as_ada.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        html = answer.content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", html)
        assert set(re.findall(r'(?:src|href)="(https?://[^/"]+)', html)) <= {
            f"http://{name}.localhost:8888",
        }


def test_a_new_box_is_asked_for_and_watched(as_ada, platform, ada):
    answer = as_ada.post("/boxes/new", NEW, follow=True)
    assert answer.redirect_chain == [("/boxes/clinic1", 302)]
    html = answer.content.decode()
    assert "job queue does not answer" in html, "the broker is away in this test"
    assert 'hx-trigger="every' in html
    assert '<noscript><meta http-equiv="refresh"' in html
    run_job(Job.objects.get(box__name="clinic1").id, platform)
    watched = as_ada.get("/boxes/clinic1/progress", headers={"hx-request": "true"})
    assert watched.headers["HX-Refresh"] == "true"
    html = as_ada.get("/boxes/clinic1").content.decode()
    assert "http://clinic1.localhost:8888/fhir" in html
    assert "curl -u root:SECRET http://clinic1.localhost:8888/fhir/Patient" in html
    assert 'hx-trigger="every' not in html


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "www"}, "starts with a lower-case letter"),
        ({"name": "<script>"}, "starts with a lower-case letter"),
        ({"name": "metrics"}, "reserved"),
        ({"name": ""}, "required"),
        ({"fhir_version": "3.0.1"}, "not one of the available choices"),
        ({"tier": "gold"}, "not one of the available choices"),
    ],
)
def test_a_wrong_new_box_is_explained_on_the_form(as_ada, change, said):
    answer = as_ada.post("/boxes/new", NEW | change)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert "<script>" not in answer.content.decode()
    assert not Box.objects.exists()


def test_a_name_is_checked_while_it_is_typed(as_ada, as_eve, ada):
    ask_for_box(ada, "taken1")

    def check(name: str) -> str:
        return as_eve.get("/boxes/check-name", {"name": name}).content.decode()

    assert "taken1" not in check("taken1")
    assert "in use" in check("taken1")
    assert "free1 is free" in check("free1")
    assert "at least four" in check("x")


def test_the_secret_is_shown_once_and_only_to_managers(as_ada, as_eve, platform, ada, eve):
    box = make_box(ada, platform)
    verbs.add_collaborator(ada, box.name, eve.pk, "writer")
    run_job(Job.objects.get(box=box, kind="repair").id, platform)
    assert "Show the secret" not in as_eve.get(f"/boxes/{box.name}").content.decode()
    assert as_eve.post(f"/boxes/{box.name}/secret").status_code == 403
    assert as_ada.get(f"/boxes/{box.name}/secret").status_code == 405
    assert "Show the secret" in as_ada.get(f"/boxes/{box.name}").content.decode()
    shown = as_ada.post(f"/boxes/{box.name}/secret").content.decode()
    secret = re.search(r'id="client-secret">([^<]+)<', shown)[1]
    assert len(secret) >= 40
    again = as_ada.post(f"/boxes/{box.name}/secret", follow=True).content.decode()
    assert secret not in again
    assert "cannot be shown again" in again


def test_only_the_owner_deletes_and_only_by_typing_the_name(as_ada, as_eve, platform, ada, eve):
    box = make_box(ada, platform)
    verbs.add_collaborator(ada, box.name, eve.pk, "admin")
    path = f"/boxes/{box.name}/delete"
    assert as_eve.post(path, {"name": box.name}).status_code == 403
    assert "Delete box" not in as_eve.get(f"/boxes/{box.name}/settings").content.decode()
    assert as_ada.post(path, {"name": "something"}).status_code == 200
    box.refresh_from_db()
    assert box.state != "deleting"
    assert as_ada.post(path, {"name": box.name}).status_code == 302
    run_job(Job.objects.get(box=box, kind="delete").id, platform)
    assert as_ada.get(f"/boxes/{box.name}").status_code == 404
    watched = as_ada.get(f"/boxes/{box.name}/progress", headers={"hx-request": "true"})
    assert watched.headers["HX-Redirect"].endswith("/boxes")


def test_a_collaborator_is_added_on_the_settings_page(as_ada, as_eve, ada, eve):
    box = ask_for_box(ada).box
    path = f"/boxes/{box.name}/collaborators"
    refused = as_ada.post(path, {"user": "nobody@example.org", "role": "reader"})
    assert (refused.status_code, b"No such user" in refused.content) == (422, True)
    as_ada.post(path, {"user": "eve@example.org", "role": "reader"})
    assert as_eve.get(f"/boxes/{box.name}").status_code == 200
    assert as_eve.post(path, {"user": "ada@example.org", "role": "reader"}).status_code == 403


def test_a_ready_box_is_restarted_from_its_settings(as_ada, platform, ada):
    box = make_box(ada, platform)
    assert b"Restart box" in as_ada.get(f"/boxes/{box.name}/settings").content
    answer = as_ada.post(f"/boxes/{box.name}/restart", follow=True)
    assert b"hx-get" in answer.content, "progress is shown"
    run_job(Job.objects.get(box=box, kind="repair").id, platform)
    assert platform.runtime.status(box.name).generation == 2


def test_the_team_shrinks_and_changes_hands_on_the_page(as_ada, as_eve, ada, eve, make_account):
    box = ask_for_box(ada).box
    grace = make_account("grace")
    for account in (eve, grace):
        verbs.add_collaborator(ada, box.name, account.pk, "writer")
    page = f"/boxes/{box.name}/settings"
    assert b"Leave" in as_eve.get(page).content
    assert b"Hand over" not in as_eve.get(page).content
    transfer, remove = f"/boxes/{box.name}/transfer", f"/boxes/{box.name}/collaborators/remove"
    assert as_eve.post(transfer, {"owner": ada.pk}).status_code == 422
    assert as_eve.post(transfer, {"owner": grace.pk}).status_code == 403
    assert as_eve.post(remove, {"user": grace.pk}).status_code == 403
    assert as_ada.post(transfer, {"owner": "nobody"}).status_code == 422
    assert as_ada.post(remove, {"user": grace.pk}).headers["Location"] == page
    assert as_ada.post(transfer, {"owner": eve.pk}).headers["Location"] == page
    assert as_eve.post(remove, {"user": ada.pk}).headers["Location"] == page
    assert as_ada.get(page).status_code == 404


def test_open_box_leads_to_the_box_and_signs_in_there(as_ada, platform, ada):
    box = make_box(ada, platform)
    answer = as_ada.get(f"/boxes/{box.name}/open")
    where = answer.headers["Location"]
    assert where.startswith(f"http://{box.name}.localhost:8888/__sudo?token=")
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.fixture
def filled(as_ada, platform, ada):
    """A box with 30 patients and one whose text wants to be a tag."""
    box = make_box(ada, platform)
    client = verbs.open_client(ada, box)
    entries = [
        {
            "request": {"method": "POST", "url": "Patient"},
            "resource": {
                "resourceType": "Patient",
                "name": [{"family": f"Family{number:02}", "given": ["<b>Given</b>"]}],
            },
        }
        for number in range(30)
    ]
    client._ask("POST", "/fhir", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
    client._ask(
        "PUT",
        "/fhir/Observation/o-1",
        json={
            "resourceType": "Observation",
            "id": "o-1",
            "status": "final",
            "code": {"text": "Height"},
            "subject": {"display": "<script>alert(1)</script>"},
        },
    )
    return box


def test_resources_are_browsed_as_the_person(as_ada, as_eve, filled, ada):
    base = f"/boxes/{filled.name}/resources"
    types = as_ada.get(base).content.decode()
    assert re.search(r">Patient</a></td><td class=\"number\">30<", types)
    assert re.search(r">Observation</a></td><td class=\"number\">1<", types)
    first = as_ada.get(f"{base}/Patient").content.decode()
    assert "1\N{EN DASH}25 of 30" in first
    assert "&lt;b&gt;Given&lt;/b&gt; Family" in first
    second = as_ada.get(f"{base}/Patient?page=2").content.decode()
    assert "26\N{EN DASH}30 of 30" in second
    ids = re.findall(r"resources/Patient/([^\"]+)\"", first + second)
    assert len(set(ids)) == 30
    one = as_ada.get(f"{base}/Observation/o-1").content.decode()
    assert "&lt;script&gt;" in one
    assert "<script>alert" not in one
    assert as_ada.get(f"{base}/Observation/none").status_code == 404
    assert as_ada.get(f"{base}/Nonsense").status_code == 404
    assert as_ada.get(f"{base}/Patient?page=junk").status_code == 200
    assert as_eve.get(base).status_code == 404


def test_resources_with_long_and_odd_ids_are_listed_and_read(as_ada, platform, ada):
    box = make_box(ada, platform)
    client = verbs.open_client(ada, box)
    for rid in ("a_b.c", "POST.mymod.fn__" + "x" * 100):
        client._ask("PUT", f"/AccessPolicy/{rid}", json={"engine": "allow"})
        assert (
            f"/AccessPolicy/{rid}"
            in as_ada.get(f"/boxes/{box.name}/resources/AccessPolicy").content.decode()
        )
        one = as_ada.get(f"/boxes/{box.name}/resources/AccessPolicy/{rid}")
        assert (one.status_code, rid in one.content.decode()) == (200, True)


def test_a_box_that_is_down_has_a_page_for_it(as_ada, platform, ada):
    box = make_box(ada, platform)
    platform.runtime.remove(box.name)
    answer = as_ada.get(f"/boxes/{box.name}/resources")
    assert answer.status_code == 503
    assert b"does not answer" in answer.content


def test_errors_have_pages(as_ada):
    for path in ("/nothing", "/boxes/../etc/passwd", "/boxes/UPPER", "/boxes/new/x"):
        answer = as_ada.get(path)
        assert answer.status_code == 404
        assert b"There is nothing here" in answer.content


def test_text_that_no_database_holds_is_a_400(as_ada, monkeypatch):
    def lookup(account):
        return list(Box.objects.filter(name="a\0b"))

    monkeypatch.setattr("tenants.selectors.boxes_of", lookup)
    answer = as_ada.get("/boxes")
    assert (answer.status_code, b"cannot be stored" in answer.content) == (400, True)


def test_a_bug_shows_a_page_without_its_inside_and_is_written_down(as_ada, monkeypatch, caplog):
    def broken(account):
        raise RuntimeError(account.email)

    monkeypatch.setattr("tenants.selectors.boxes_of", broken)
    as_ada.raise_request_exception = False
    answer = as_ada.get("/boxes")
    assert answer.status_code == 500
    assert b"on our side" in answer.content
    assert b"ada@" not in answer.content
    (record,) = [record for record in caplog.records if record.name == "controlplane.failures"]
    assert record.failure.encode() in answer.content
    assert (record.err, "in broken" in record.etr) == ("RuntimeError", True)
    assert "ada@" not in str(vars(record))
