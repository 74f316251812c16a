"""Where an installation keeps what."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from infra.local.places import (
    LONGEST_SOCKET,
    MAX_SOCKET_PATH,
    ensure_places,
    outside_directories,
)
from infra.local.problems import SetupError


@pytest.fixture
def short_directory():
    with tempfile.TemporaryDirectory(prefix="hb-") as directory:
        yield Path(directory)


def test_everything_lies_under_var_where_it_can(short_directory):
    places = ensure_places(short_directory, short_directory / "var", None)
    assert places.run == places.var / "run"
    assert places.postgres == places.var / "postgresql"
    assert outside_directories(places.var) == []


def test_sockets_move_to_a_short_directory_when_paths_are_long(short_directory):
    var = short_directory / ("x" * 60) / "var"
    places = ensure_places(short_directory, var, None)
    try:
        assert not places.run.is_relative_to(var)
        assert len(os.fsencode(places.run)) + len(LONGEST_SOCKET) <= MAX_SOCKET_PATH
        assert ensure_places(short_directory, var, None).run == places.run
        assert outside_directories(var) == [places.run.parent]
    finally:
        shutil.rmtree(places.run.parent)


def test_a_record_that_was_tampered_with_names_nothing_to_remove(short_directory):
    places = ensure_places(short_directory, short_directory / "var", None)
    (places.var / "run-directory").write_text("/home\n")
    assert outside_directories(places.var) == []


def test_secrets_are_made_once_for_their_owner_only(short_directory):
    places = ensure_places(short_directory, short_directory / "var", None)
    secret = places.secret("valkey")
    assert len(secret) >= 32
    assert places.secret("valkey") == secret != places.secret("control")
    assert stat.S_IMODE(places.secrets.stat().st_mode) == 0o700
    assert stat.S_IMODE((places.secrets / "valkey").stat().st_mode) == 0o600


def test_a_full_disk_is_one_sentence(short_directory, monkeypatch):
    usage = shutil.disk_usage(short_directory)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5 * 2**20))
    with pytest.raises(SetupError, match="Only 5 MB are free on the disk of"):
        ensure_places(short_directory, short_directory / "var", None)


def test_a_directory_that_cannot_be_made_is_one_sentence(short_directory):
    (short_directory / "file").touch()
    with pytest.raises(SetupError, match="Not a directory"):
        ensure_places(short_directory, short_directory / "file" / "var", None)
