"""Callers are recognised by their credentials. Source: authentication specification, 2 and 3."""

from __future__ import annotations

import asyncio
import base64

import pytest

from boxruntime.access import authenticate as module
from boxruntime.access.authenticate import Authenticator, CredentialsError
from boxruntime.access.principal import ANONYMOUS, Kind
from boxruntime.access.secrets import hash_secret

KEY = b"k" * 32
HASHED = hash_secret("s3", salt=bytes(16))


def basic(text):
    return b"Basic " + base64.b64encode(text.encode())


class Directory:
    """Clients by id; counts how often it is asked."""

    def __init__(self, **clients):
        self.clients = clients
        self.asked = 0

    async def find(self, client_id):
        self.asked += 1
        return self.clients.get(client_id)


def client(**members):
    return {"id": "app", "secret": HASHED, "grant_types": ["basic"], **members}


def make(**clients):
    directory = Directory(**clients)
    return directory, Authenticator(box_id="mybox", access_key=KEY, find_client=directory.find)


async def test_no_credential_is_anonymous():
    _, authenticator = make()
    assert await authenticator.authenticate(None) is ANONYMOUS


async def test_a_client_is_recognised_and_shown_without_its_secret():
    _, authenticator = make(app=client())
    principal = await authenticator.authenticate(basic("app:s3"))
    assert principal.kind is Kind.CLIENT
    assert principal.client_id == "app"
    assert "secret" not in principal.client


@pytest.mark.parametrize(
    "header",
    [
        basic("app:wrong"),
        basic("nobody:s3"),
        basic("app"),
        basic(":s3"),
        basic("app:"),
        b"Basic !!!",
        b"Basic",
        b"Digest x",
        b"Bearer nothing",
        b"Bearer " + b"a.b.c",
    ],
)
async def test_wrong_credentials_never_fall_through_to_anonymous(header):
    _, authenticator = make(app=client())
    with pytest.raises(CredentialsError):
        await authenticator.authenticate(header)


@pytest.mark.parametrize(
    "members", [{"active": False}, {"grant_types": ["password"]}, {"secret": None}, {"secret": ""}]
)
async def test_a_client_that_may_not_use_basic_is_refused(members):
    _, authenticator = make(app=client(**members))
    with pytest.raises(CredentialsError):
        await authenticator.authenticate(basic("app:s3"))


async def test_a_secret_is_verified_once_until_a_client_changes(monkeypatch):
    directory, authenticator = make(app=client())
    calls = []
    verify = module.verify_secret
    monkeypatch.setattr(module, "verify_secret", lambda *a: calls.append(1) or verify(*a))
    for _ in range(5):
        await authenticator.authenticate(basic("app:s3"))
    assert (directory.asked, len(calls)) == (1, 1)
    directory.clients["app"] = client(secret=hash_secret("other", salt=bytes(16)))
    authenticator.forget()
    with pytest.raises(CredentialsError):
        await authenticator.authenticate(basic("app:s3"))


async def test_first_requests_at_once_share_one_verification(monkeypatch):
    _, authenticator = make(app=client())
    calls = []
    verify = module.verify_secret
    monkeypatch.setattr(module, "verify_secret", lambda *a: calls.append(1) or verify(*a))
    found = await asyncio.gather(*(authenticator.authenticate(basic("app:s3")) for _ in range(20)))
    assert {principal.client_id for principal in found} == {"app"}
    assert len(calls) == 1


async def test_a_change_during_a_verification_is_not_remembered(monkeypatch):
    directory, authenticator = make(app=client())
    verify = module.verify_secret

    def verify_and_change(*arguments):
        directory.clients["app"] = client(active=False)
        authenticator.forget()
        return verify(*arguments)

    monkeypatch.setattr(module, "verify_secret", verify_and_change)
    await authenticator.authenticate(basic("app:s3"))  # began before the change
    with pytest.raises(CredentialsError):
        await authenticator.authenticate(basic("app:s3"))
