"""Signing up, confirming, signing in, forgetting the password; and what must not be learnt."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from controlplane import tasks
from tenants.models import Account, RateWindow
from tests.fixtures_django import PASSWORD


@pytest.fixture(autouse=True)
def _tables(tiers, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def sign_up(client: Client, email: str, password: str = PASSWORD):
    return client.post("/sign-up", {"email": email, "password": password}, follow=True)


def link_in(page) -> str:
    return re.search(r'href="http://localhost:8888(/confirm/[^"]+)"', page.content.decode())[1]


def sign_in(client: Client, email: str, password: str = PASSWORD, **extra):
    return client.post("/sign-in", {"email": email, "password": password}, **extra)


def test_sign_up_confirm_sign_in(client):
    page = sign_up(client, "New@Example.org")
    assert sign_in(client, "new@example.org").status_code == 403, "not confirmed yet"
    link = link_in(page)
    assert client.get(link).status_code == 200
    assert not Account.objects.get().is_active, "looking at the link confirmed it"
    assert b"Thank you" in client.post(link).content
    answer = sign_in(client, "NEW@example.org")
    assert answer.headers["Location"] == "/boxes"
    assert client.get("/boxes").status_code == 200


def test_a_taken_address_cannot_be_told_from_a_free_one(client, ada):
    def shape(page) -> str:
        return re.sub(r"/confirm/[^\"]+|csrfmiddlewaretoken\" value=\"[^\"]+", "", page)

    free = sign_up(Client(), "free@example.org")
    taken = sign_up(client, "ada@example.org", "attackers own choice")
    assert shape(free.content.decode()) == shape(taken.content.decode())
    lengths = {len(link_in(page)) for page in (free, taken)}
    assert max(lengths) - min(lengths) <= 2
    confirmed = client.post(link_in(taken))
    assert b"Thank you" in confirmed.content
    assert sign_in(client, "ada@example.org", "attackers own choice").status_code == 403
    assert sign_in(client, "ada@example.org").status_code == 302


def test_sign_in_says_the_same_of_unknown_and_mistyped(client, ada):
    known = sign_in(client, "ada@example.org", "wrong password")
    unknown = sign_in(client, "nobody@example.org", "wrong password")

    def shape(page) -> str:
        text = re.sub(r'csrfmiddlewaretoken" value="[^"]+', "", page.content.decode())
        return re.sub(r'value="[a-z]+@example.org"', "", text)

    assert shape(known) == shape(unknown)
    assert known.status_code == unknown.status_code == 403


@pytest.mark.parametrize("password", ["short", "password123", "1234567890123", "newcomer@example"])
def test_weak_passwords_are_refused(client, password):
    page = sign_up(client, "newcomer@example.org", password)
    assert b'aria-invalid="true"' in page.content
    assert not Account.objects.exists()


def test_guessing_is_stopped_and_others_are_not(client, ada, eve):
    for _ in range(8):
        assert sign_in(client, "ada@example.org", "guess").status_code == 403
    assert sign_in(client, "ada@example.org", "guess").status_code == 429
    assert sign_in(client, "ada@example.org").status_code == 429, "even the right one waits"
    assert sign_in(client, "eve@example.org").status_code == 302
    elsewhere = sign_in(Client(), "ada@example.org", headers={"x-forwarded-for": "192.0.2.7"})
    assert elsewhere.status_code == 302, "the person is not locked out by a stranger"


def test_a_success_forgets_the_failures_before(client, ada):
    for _ in range(3):
        for _ in range(7):
            sign_in(client, "ada@example.org", "mistyped")
        assert sign_in(client, "ada@example.org").status_code == 302
        client.post("/sign-out")


def test_counters_hold_no_addresses(client, ada):
    sign_in(client, "ada@example.org", "guess")
    assert RateWindow.objects.exists()
    assert "example.org" not in str(list(RateWindow.objects.values()))


@pytest.mark.parametrize("following", ["https://evil.example", "//evil.example", "javascript:x"])
def test_signing_in_leads_nowhere_else(client, ada, following):
    answer = client.post(
        "/sign-in", {"email": "ada@example.org", "password": PASSWORD, "next": following}
    )
    assert answer.headers["Location"] == "/boxes"


def test_forms_need_their_token(ada):
    strict = Client(enforce_csrf_checks=True)
    answer = sign_in(strict, "ada@example.org")
    assert answer.status_code == 403
    assert b"no longer valid" in answer.content


def test_signing_out_needs_a_post(client, ada):
    client.force_login(ada)
    assert client.get("/sign-out").status_code == 405
    client.post("/sign-out")
    assert client.get("/boxes").status_code == 302


def reset_link(client, email: str, caplog) -> str | None:
    caplog.clear()
    page = client.post("/password", {"email": email}, follow=True)
    assert page.redirect_chain[-1][0] == reverse("reset-sent")
    assert b"/password/" not in page.content.replace(b"/password/sent", b""), "shown on the page"
    links = [record.link for record in caplog.records if hasattr(record, "link")]
    return links[0].removeprefix("http://localhost:8888") if links else None


def test_a_forgotten_password_is_replaced_once(client, ada, caplog):
    caplog.set_level("INFO")
    signed_in_elsewhere = Client()
    signed_in_elsewhere.force_login(ada)
    link = reset_link(client, "ada@example.org", caplog)
    assert reset_link(client, "nobody@example.org", caplog) is None
    client.post(link, {"password": "a wholly new phrase"})
    assert client.post(link, {"password": "a second new phrase"}).status_code == 410
    assert sign_in(client, "ada@example.org").status_code == 403
    assert sign_in(client, "ada@example.org", "a wholly new phrase").status_code == 302
    assert signed_in_elsewhere.get("/boxes").status_code == 302, "other sessions have ended"


def test_a_confirmation_link_resets_no_password(client, caplog):
    link = link_in(sign_up(client, "new@example.org"))
    assert client.get(link.replace("/confirm/", "/password/")).status_code == 410


def test_a_changed_link_is_void(client):
    link = link_in(sign_up(client, "new@example.org"))
    assert client.get(link[:-1] + ("a" if link[-1] != "a" else "b")).status_code == 410


def test_with_a_mail_server_links_are_mailed_and_not_shown(client, settings, monkeypatch, ada):
    settings.MAIL_CONFIGURED = True
    for task in (tasks.send_confirmation, tasks.send_reset):
        monkeypatch.setattr(task, "delay", task.run)
    assert b"/confirm/" not in sign_up(client, "new@example.org").content
    sign_up(client, "ada@example.org")
    client.post("/password", {"email": "ada@example.org"})
    subjects = [message.subject for message in mail.outbox]
    assert subjects == [
        "Confirm your Halebox account",
        "You already have a Halebox account",
        "Choose a new Halebox password",
    ]
    link = re.search(r"(/confirm/\S+)", mail.outbox[0].body)[1]
    client.post(link)
    assert sign_in(client, "new@example.org").status_code == 302


def test_changing_the_password_keeps_this_session_and_ends_others(client, ada):
    client.force_login(ada)
    other = Client()
    other.force_login(ada)
    wrong = client.post("/account/password", {"current": "nope", "password": "a new phrase here"})
    assert wrong.status_code == 422
    client.post("/account/password", {"current": PASSWORD, "password": "a new phrase here"})
    assert client.get("/boxes").status_code == 200
    assert other.get("/boxes").status_code == 302
