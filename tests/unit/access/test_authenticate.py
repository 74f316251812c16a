"""Source: authentication specification, "Authenticating a request", "Basic authentication"."""

from __future__ import annotations

import base64
import hashlib

import pytest

from boxruntime.access.authenticate import Authenticator, CredentialsError
from boxruntime.access.portal import PortalToken, issue_portal_token
from boxruntime.access.principal import ANONYMOUS, Kind

KEY = bytes(range(32))
SECRET = "__sha256:" + hashlib.sha256("s3:crét".encode()).hexdigest()


def basic(text):
    return b"Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode())


class Clients:
    def __init__(self, **clients):
        self.clients = clients
        self.asked = 0

    async def find(self, id_):
        self.asked += 1
        return self.clients.get(id_)


def client(**more):
    return {"resourceType": "Client", "id": "c", "secret": SECRET, "grant_types": ["basic"], **more}


def made(clients, access_key=KEY):
    return Authenticator(box_id="box", access_key=access_key, find_client=clients.find)


async def test_no_credential_is_anonymous():
    found = made(Clients())
    assert await found.authenticate(None) is ANONYMOUS
    assert await found.authenticate(None, cookie=b"other=1; x") is ANONYMOUS


async def test_a_client_is_known_without_its_secret_and_remembered():
    clients = Clients(c=client())
    found = made(clients)
    for _ in range(3):
        principal = await found.authenticate(basic("c:s3:crét"))
        assert (principal.kind, principal.client_id) == (Kind.CLIENT, "c")
        assert "secret" not in principal.client
    assert clients.asked == 1
    found.forget()
    await found.authenticate(basic("c:s3:crét"))
    assert clients.asked == 2


async def test_failures_are_not_remembered():
    clients = Clients(c=client())
    found = made(clients)
    for _ in range(2):
        with pytest.raises(CredentialsError):
            await found.authenticate(basic("c:wrong"))
    assert clients.asked == 2


async def test_a_change_during_verification_is_good_for_one_request_only():
    class Changing(Clients):
        async def find(self, id_):
            found.forget()
            return await super().find(id_)

    clients = Changing(c=client())
    found = made(clients)
    await found.authenticate(basic("c:s3:crét"))
    await found.authenticate(basic("c:s3:crét"))
    assert clients.asked == 2


@pytest.mark.parametrize(
    "change",
    [
        {"active": False}, {"grant_types": []}, {"grant_types": None}, {"grant_types": "basic"}, {"grant_types": 5},
        {"grant_types": ["password"]}, {"secret": None}, {"secret": ""}, {"secret": 5}, {"secret": "s3:crét"},
        {"secret": "__sha256:zz"},
    ],
)  # fmt: skip
async def test_clients_that_cannot_sign_in(change):
    with pytest.raises(CredentialsError) as refused:
        await made(Clients(c=client(**change))).authenticate(basic("c:s3:crét"))
    assert refused.value.challenge.startswith("Basic")


@pytest.mark.parametrize(
    "header",
    [b"", b"Basic", b"Basic ", b"Basic !", basic("c"), basic(":s3:cr\xc3\xa9t"), basic("c:"), basic(b"c:\xff"),
     basic("x:s3:cr\xe9t"), b"Digest x", b"Negotiate", b"\xff\xfe", basic("c\x00:x"), basic("c:s3:crét")[:-3]],
)  # fmt: skip
async def test_headers_that_name_nobody(header):
    with pytest.raises(CredentialsError):
        await made(Clients(c=client())).authenticate(header)


async def test_the_scheme_is_read_in_any_case():
    header = b"bAsIc" + basic("c:s3:crét")[5:]
    assert (await made(Clients(c=client())).authenticate(header)).client_id == "c"


def bearer():
    person = PortalToken(subject="7", name="a@b.test", role="writer", jti="j", expires=0)
    return issue_portal_token(person, key=KEY, box_id="box", lifetime_s=60).encode()


async def test_bearer_and_cookie():
    for credentials in (
        {"authorization": b"Bearer " + bearer()},
        {"authorization": None, "cookie": b"a=b; aidbox-auth-token=" + bearer()},
    ):
        principal = await made(Clients()).authenticate(**credentials)
        assert (principal.kind, principal.user_id, principal.role) == (Kind.PORTAL, "7", "writer")


async def test_the_first_credential_decides():
    with pytest.raises(CredentialsError):
        await made(Clients()).authenticate(b"Bearer x", cookie=b"aidbox-auth-token=" + bearer())
    principal = await made(Clients(c=client())).authenticate(
        basic("c:s3:crét"), cookie=b"aidbox-auth-token=" + bearer()
    )
    assert principal.kind is Kind.CLIENT


async def test_a_box_without_portal_takes_no_tokens():
    found = made(Clients(), access_key=None)
    with pytest.raises(CredentialsError) as refused:
        await found.authenticate(b"Bearer " + bearer())
    assert refused.value.challenge == 'Bearer error="invalid_token"'
    assert await found.authenticate(None, cookie=b"aidbox-auth-token=" + bearer()) is ANONYMOUS


async def test_a_program_beside_a_bearer():
    found = made(Clients(c=client()))
    good = basic("c:s3:crét")
    principal = await found.authenticate(b"Bearer " + bearer(), client_authorization=good)
    assert (principal.user_id, principal.client_id) == ("7", "c")
    for wrong in (basic("c:wrong"), b"Bearer " + bearer(), b"", b"x"):
        with pytest.raises(CredentialsError):
            await found.authenticate(b"Bearer " + bearer(), client_authorization=wrong)
