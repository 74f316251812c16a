"""The first file that runs, on whatever Python there is."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import bootstrap
from infra.local.bootstrap import BootstrapError


def test_an_old_python_can_read_the_file():
    source = Path(bootstrap.__file__).read_text()
    ast.parse(source, feature_version=(3, 7))


def test_an_old_python_alone_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(BootstrapError, match=r"needs Python 3\.11 or newer; this is 3\.9\.$"):
        bootstrap.find_new_python(["up"])


def test_without_an_installation_other_commands_say_so(monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "PYTHON", "/nowhere/python")
    assert bootstrap.main(["status"]) == 1
    assert capsys.readouterr().err == "Nothing is installed here yet: run `make up` first.\n"


def test_a_python_without_venv_and_pip_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap, "PYTHON", str(tmp_path / "python"))
    monkeypatch.setattr(bootstrap, "works", lambda *_: False)
    with pytest.raises(BootstrapError, match="apt-get install python3-venv"):
        bootstrap.make_environment()


def test_an_installation_is_done_once_and_again_after_a_change(monkeypatch, tmp_path):
    for name in ("pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_text("1")
    installed = []
    monkeypatch.setattr(bootstrap, "PROJECT", tmp_path)
    monkeypatch.setattr(bootstrap, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(bootstrap, "PYTHON", sys.executable)
    monkeypatch.setattr(bootstrap, "install", lambda _, extras: installed.append(extras))
    bootstrap.ensure_environment(["embedded"])
    bootstrap.ensure_environment(["embedded"])
    assert installed == [["embedded"]]
    bootstrap.ensure_environment(["embedded", "dev"])
    bootstrap.ensure_environment(["embedded"])  # has what it needs
    assert installed == [["embedded"], ["dev", "embedded"]]
    (tmp_path / "requirements.lock").write_text("2")
    bootstrap.ensure_environment(["embedded"])
    assert installed[2:] == [["dev", "embedded"]]


def test_pip_that_fails_is_one_sentence_with_its_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap, "PROJECT", tmp_path)
    pip = [sys.executable, "-c", "print('ERROR: No matching distribution'); raise SystemExit(1)"]
    with pytest.raises(BootstrapError, match="ERROR: No matching distribution") as caught:
        bootstrap.install(pip, ["embedded"])
    assert "\n" not in str(caught.value)


def test_the_makefile_explains_every_target():
    makefile = Path(bootstrap.__file__).parents[2] / "Makefile"
    said = subprocess.run(
        ["make", "-f", makefile, "help"], check=True, capture_output=True, text=True
    ).stdout
    for target in ("up", "down", "status", "logs", "clean", "box", "demo", "test", "bench"):
        assert f"make {target} " in said
