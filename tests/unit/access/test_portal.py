"""Source: platform specification, "Routing to a box"; authentication specification, "Must be refused"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from boxruntime.access.portal import PortalToken, issue_portal_token, verify_portal_token

KEY = bytes(range(32))
NOW = 1_600_000_000.0
PERSON = PortalToken(subject="7", name="a@b.test", role="writer", jti="j", expires=0)


def token(**changes):
    claims = {
        "iss": "halebox", "aud": "box", "sub": "7", "role": "writer", "typ": "access", "jti": "j",
        "iat": int(NOW), "exp": int(NOW) + 600, **changes,
    }  # fmt: skip
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(KEY))


def verify(text, **changes):
    options = {"key": KEY, "box_id": "box", "kind": "access", "now": NOW, **changes}
    return verify_portal_token(text, **options)


def test_a_good_token():
    assert verify(token()) == PortalToken("7", "7", "writer", "j", int(NOW) + 600)


def test_an_issued_token_is_accepted_for_its_box_and_time():
    text = issue_portal_token(PERSON, key=KEY, box_id="box", lifetime_s=60, now=NOW)
    found = verify(text)
    assert found is not None
    assert (found.subject, found.name, found.role) == ("7", "a@b.test", "writer")
    assert verify(text, now=NOW + 61) is None
    assert verify(text, box_id="other") is None
    assert verify(text, key=b"x" * 32) is None
    assert verify(text, kind="sudo") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "x"}, {"aud": "x"}, {"aud": ["box"]}, {"aud": None}, {"sub": None}, {"sub": 7}, {"role": "god"},
        {"role": ["owner"]}, {"role": None}, {"typ": "sudo"}, {"typ": None}, {"jti": None}, {"jti": 5},
        {"exp": None}, {"exp": "x"}, {"exp": int(NOW)}, {"exp": int(NOW) + 10**6}, {"exp": 1.5e9},
        {"iat": None}, {"iat": int(NOW) + 3600},
    ],
)  # fmt: skip
def test_a_claim_that_is_not_right(changes):
    assert verify(token(**changes)) is None


@given(
    st.text(max_size=80)
    | st.from_regex(r"[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}")
)
def test_noise_is_no_token(text):
    assert verify(text) is None


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_is_noticed(position, change):
    text = bytearray(token().encode())
    position %= len(text) - 1  # the last character of a base64 text has spare bits
    text[position] ^= change & 0x7F or 1
    assert verify(text.decode("latin-1")) is None
