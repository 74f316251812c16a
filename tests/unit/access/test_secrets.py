"""Source: authentication specification, "Secrets at rest"."""

from __future__ import annotations

import pytest

from boxruntime.access.secrets import (
    MalformedHashError,
    hash_secret,
    is_hashed,
    is_slow,
    verify_secret,
)

SHA256 = "__sha256:2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B"  # "secret"
SALT = bytes(range(16))


def test_the_scrypt_form():
    stored = hash_secret("s3cret", SALT)
    assert stored.startswith("$s0$f0801$AAECAwQFBgcICQoLDA0ODw==$")
    assert is_hashed(stored)
    assert is_slow(stored)
    assert verify_secret("s3cret", stored)
    assert not verify_secret("s3cret ", stored)
    assert hash_secret("s3cret") != hash_secret("s3cret")


def test_a_hash_of_another_program_is_verified():
    # The example of the $s0$ form in the scrypt library it comes from (N=16384, r=8, p=1).
    stored = "$s0$e0801$epIxT/h6HbbwHaehFnh/bw==$7H0vsXlY8UxxyW/BWx/9GuY7jEvGjT71GFd6O4SZND0="
    assert verify_secret("secret", stored)
    assert not verify_secret("Secret", stored)


@pytest.mark.parametrize("stored", [SHA256, SHA256[:9] + SHA256[9:].lower()])
def test_the_sha256_form_in_either_case(stored):
    assert is_hashed(stored)
    assert not is_slow(stored)
    assert verify_secret("secret", stored)
    assert not verify_secret("secret2", stored)


@pytest.mark.parametrize(
    "value",
    [
        "__sha256:", "__sha256:xyz", SHA256 + "0", SHA256[:-1], "$s0$", "$s0$f0801", "$s0$f0801$$",
        "$s0$zz$AAAA$AAAA", "$s0$f0801$!!$AAAA", "$s0$f0801$AAECAwQFBgcICQoLDA0ODw==$AA==",
        "$s0$ff0801$AAECAwQFBgcICQoLDA0ODw==$AAECAwQFBgcICQoLDA0ODw==",
        "$s0$1f0801$AAECAwQFBgcICQoLDA0ODw==$AAECAwQFBgcICQoLDA0ODw==",
        "$s0$-f0801$AAECAwQFBgcICQoLDA0ODw==$AAECAwQFBgcICQoLDA0ODw==",
        "$s0$00801$AAECAwQFBgcICQoLDA0ODw==$AAECAwQFBgcICQoLDA0ODw==",
        "$s0$f0801$AAECAwQFBgcICQoLDA0ODw==$AAECAwQFBgcICQoLDA0ODw==$x",
    ],
)  # fmt: skip
def test_what_begins_like_a_hash_must_be_one(value):
    with pytest.raises(MalformedHashError):
        is_hashed(value)
    assert not verify_secret("secret", value)


@pytest.mark.parametrize("value", ["", "secret", "s0", "$s1$x", "sha256:x", "__sha512:x", "_"])
def test_plain_secrets(value):
    assert not is_hashed(value)
    assert not verify_secret(value, value)
