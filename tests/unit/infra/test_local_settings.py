"""Decisions of the operator are remembered until they are changed."""

from __future__ import annotations

import stat

import pytest

from infra.local.problems import SetupError
from infra.local.settings import parse_settings, remember


def test_what_was_set_once_stays_until_it_is_set_again_or_to_nothing(tmp_path):
    file = tmp_path / "settings.json"
    assert remember(file, {}) == {}
    assert remember(file, {"PORT": "9000", "UNRELATED": "x"}) == {"PORT": "9000"}
    assert remember(file, {"AIDBOX_CLUSTER_DOMAIN": "box.local"})["PORT"] == "9000"
    assert remember(file, {"PORT": ""}) == {"AIDBOX_CLUSTER_DOMAIN": "box.local"}


def test_the_file_is_for_its_owner_only(tmp_path):
    file = tmp_path / "settings.json"
    remember(file, {"DATABASE_URL": "postgresql://admin:hush@db/postgres"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_base_url_follows_domain_port_and_certificate():
    assert parse_settings({}).base_url == "http://localhost:8888"
    assert parse_settings({"PORT": "80"}).base_url == "http://localhost"
    moved = parse_settings({"PORT": "9000", "AIDBOX_CLUSTER_DOMAIN": "Box.Local"})
    assert (moved.domain, moved.base_url) == ("box.local", "http://box.local:9000")
    secure = {"PORT": "443", "HALEBOX_TLS_CERTIFICATE": "c.pem", "HALEBOX_TLS_KEY": "k.pem"}
    assert parse_settings(secure).base_url == "https://localhost"
    assert parse_settings({"AIDBOX_BASE_URL": "https://a.example/"}).base_url == "https://a.example"


def test_http_2_without_tls_is_off_unless_asked_for():
    assert not parse_settings({}).h2c
    assert parse_settings({"HALEBOX_H2C": "true"}).h2c


@pytest.mark.parametrize("port", ["0", "65536", "-1", "8o8o", "1.5"])
def test_a_port_is_a_port(port):
    with pytest.raises(SetupError, match="PORT must be a number"):
        parse_settings({"PORT": port})


@pytest.mark.parametrize("text", ["root", ":secret", "root:", "ro ot:secret"])
def test_a_superuser_has_a_name_and_a_password(text):
    with pytest.raises(SetupError) as caught:
        parse_settings({"AIDBOX_SUPERUSER": text})
    assert "secret" not in str(caught.value)


def test_no_value_can_add_a_line_to_the_environment_file():
    with pytest.raises(SetupError, match="EMAIL_URL"):
        parse_settings({"EMAIL_URL": "smtp://mail\nDJANGO_DEBUG=1"})
