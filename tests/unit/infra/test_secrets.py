"""The cluster key: what it seals, derives and signs."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import OctKey

from infra.secrets import ClusterKey, SealError

KEY = ClusterKey(bytes(range(32)))
PERSON = {"subject": "7", "name": "ada@example.org", "role": "admin"}


def verify(token: str, box: str, key: ClusterKey = KEY) -> dict:
    secret = OctKey.import_key(bytes.fromhex(key.access_key(box)))
    return jwt.decode(token, secret, algorithms=["HS256"]).claims


def test_a_sealed_secret_opens_with_the_same_key_only():
    sealed = KEY.seal("pässword")
    assert "ssword" not in sealed
    assert sealed != KEY.seal("pässword")
    assert KEY.unseal(sealed) == "pässword"
    with pytest.raises(SealError):
        ClusterKey.generate().unseal(sealed)
    with pytest.raises(SealError):
        KEY.unseal("not even a token")


def test_the_access_key_is_the_agreed_hmac():
    expected = hmac.new(bytes(range(32)), b"halebox box access:clinic", hashlib.sha256)
    assert KEY.access_key("clinic") == expected.hexdigest()


def test_a_token_names_one_person_one_box_one_kind_and_ends_soon():
    claims = verify(KEY.mint_token("clinic", **PERSON, kind="access", now=1000.9), "clinic")
    jti = claims.pop("jti")
    assert claims == {
        "iss": "halebox",
        "aud": "clinic",
        "sub": "7",
        "name": "ada@example.org",
        "role": "admin",
        "typ": "access",
        "iat": 1000,
        "exp": 1600,
    }
    sudo = verify(KEY.mint_token("clinic", **PERSON, kind="sudo", now=1000), "clinic")
    assert (sudo["typ"], sudo["exp"]) == ("sudo", 1120)
    assert sudo["jti"] != jti


def test_a_token_does_not_verify_in_another_box_or_cluster():
    token = KEY.mint_token("clinic", **PERSON)
    with pytest.raises(BadSignatureError):
        verify(token, "other")
    with pytest.raises(BadSignatureError):
        verify(token, "clinic", ClusterKey.generate())


def test_a_role_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="Unknown role"):
        KEY.mint_token("clinic", subject="7", name="a", role="superuser")


def test_the_key_travels_as_hex_and_never_shows_in_representations():
    assert ClusterKey.from_hex(KEY.hex()).access_key("clinic") == KEY.access_key("clinic")
    assert KEY.hex()[:8] not in repr(KEY)
    for wrong in ("00", "x" * 64):
        with pytest.raises(ValueError, match="cluster key") as caught:
            ClusterKey.from_hex(wrong)
        assert wrong not in str(caught.value)
