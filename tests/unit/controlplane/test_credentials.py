from __future__ import annotations

import hashlib

from controlplane.provisioning.credentials import (
    decode_credentials,
    encode_credentials,
    hash_client_secret,
    make_client_secret,
    make_credentials,
)


def test_a_client_secret_can_be_typed_anywhere():
    made = {make_client_secret() for _ in range(50)}
    assert len(made) == 50
    assert all(len(secret) == 64 and secret.isalnum() for secret in made)


def test_a_box_is_given_the_hash_and_not_the_secret():
    assert hash_client_secret("x") == "__sha256:" + hashlib.sha256(b"x").hexdigest()


def test_credentials_come_back_as_they_were_and_do_not_print_themselves():
    made = make_credentials()
    assert decode_credentials(encode_credentials(made)) == made
    assert made.signing_key.startswith("-----BEGIN PRIVATE KEY-----")
    for secret in (made.database_password, made.encrypt_key, made.signing_key):
        assert secret not in repr(made)


def test_two_boxes_share_no_secret():
    one, other = make_credentials(), make_credentials()
    assert one.database_password != other.database_password
    assert one.encrypt_key != other.encrypt_key
    assert one.signing_key != other.signing_key
