"""`manage.py demo` against a real box through its public HTTP API."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from controlplane import boxes as verbs
from controlplane import demo_data
from controlplane.provisioning.run import run_job
from infra.local.ports import any_free_port
from tests.integration.controlplane.making import draft


@pytest.fixture
def box(ada, platform, settings):
    """A box that listens on a loopback port, and its first client's secret."""
    port = any_free_port()
    environment = replace(settings.HALEBOX, loopback_ports=range(port, port + 1))
    settings.HALEBOX = environment
    created = verbs.create_box(ada, draft(), show_later=True)
    run_job(created.job.id, platform)
    created.box.refresh_from_db()
    assert created.box.state == "ready"
    return created


def demo(box, *arguments: str) -> str:
    out = StringIO()
    base_url = f"http://127.0.0.1:{box.box.loopback_port}"
    call_command(
        "demo",
        *("--base-url", base_url, "--secret", box.secret, *arguments),
        stdout=out,
        stderr=StringIO(),
    )
    return out.getvalue()


def test_sixteen_patients_are_loaded_and_counted(box, ada):
    said = demo(box)
    printed = {
        name: int(number.replace(",", ""))
        for number, name in re.findall(r"^ *([\d,]+)  (\w+)$", said, re.MULTILINE)
    }
    expected = {}
    for bundle in demo_data.read_bundles():
        for name, number in bundle.types.items():
            expected[name] = expected.get(name, 0) + number
    assert printed == expected
    assert printed["Patient"] == 16
    assert "2,839" in said
    page = verbs.open_client(ada, box.box).list_page("Patient", page=1, size=20)
    assert len(page.resources) == 16
    assert "--again" in demo(box), "a second run doubles nothing unasked"


def test_wrong_credentials_are_one_sentence(box):
    base_url = f"http://127.0.0.1:{box.box.loopback_port}"
    with pytest.raises(CommandError, match="refuses these credentials"):
        call_command("demo", "--base-url", base_url, "--secret", "wrong")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "ftp://x"])
def test_a_wrong_address_is_one_sentence(url):
    with pytest.raises(CommandError):
        call_command("demo", "--base-url", url, "--secret", "x")


def test_a_secret_is_needed_for_a_foreign_box():
    with pytest.raises(CommandError, match="--secret"):
        call_command("demo", "--base-url", "http://127.0.0.1:1")
