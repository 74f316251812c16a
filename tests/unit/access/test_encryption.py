"""The stored form of secrets that are read again."""

from __future__ import annotations

import pytest

from boxruntime.access.encryption import WrongKeyError, is_sealed, new_key, seal, unseal

KEY = bytes(range(32))


@pytest.mark.parametrize("secret", ["x", "", "ü" * 500, "$", "$abc", "$" + "ab" * 20])
def test_a_secret_comes_back(secret):
    stored = seal(KEY, secret)
    assert is_sealed(stored)
    assert unseal(KEY, stored) == secret
    assert seal(KEY, stored) == stored
    assert seal(KEY, secret) != stored


def test_the_form_is_nonce_ciphertext_and_tag():
    assert len(seal(KEY, "12345")) == 1 + 2 * (12 + 5 + 16)


def test_another_key_and_a_changed_digit_are_noticed():
    stored = seal(KEY, "x")
    with pytest.raises(WrongKeyError):
        unseal(bytes(32), stored)
    with pytest.raises(WrongKeyError):
        seal(bytes(32), stored)
    with pytest.raises(WrongKeyError):
        unseal(KEY, stored[:-1] + ("0" if stored[-1] != "0" else "1"))


def test_keys_are_fresh():
    assert len({new_key() for _ in range(5)}) == 5
    assert len(bytes.fromhex(new_key())) == 32
