from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.environment import EnvironmentVariableError, read_email, read_environment


def read(**variables: str):
    return read_environment(variables, project=Path("/nowhere"))


def test_a_socket_directory_is_a_host():
    found = read(DATABASE_URL="postgresql://me:pw@/control?host=/run/pg&port=5433").database
    assert found["host"] == "/run/pg"
    assert (found["user"], found["dbname"], found["port"]) == ("me", "control", "5433")


def test_a_plain_shell_reads_the_file_of_make_up(tmp_path: Path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "control.env").write_text(
        "DATABASE_URL=postgresql://h/db\nAIDBOX_BASE_URL=http://localhost:9000\n"
    )
    found = read_environment({}, project=tmp_path)
    assert found.database["dbname"] == "db"
    assert found.base_url == "http://localhost:9000"


def test_the_file_is_not_read_where_the_environment_speaks(tmp_path: Path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "control.env").write_text("AIDBOX_BASE_URL=http://localhost:9000\n")
    found = read_environment({"DATABASE_URL": "postgresql://h/db"}, project=tmp_path)
    assert found.base_url == "http://localhost:8888"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://user:hunter2@[broken"),
        ("AIDBOX_SUPERUSER", "hunter2"),
        ("AIDBOX_SUPERUSER", ":hunter2"),
        ("AIDBOX_BASE_URL", "hunter2"),
        ("HALEBOX_LOOPBACK_PORTS", "hunter2"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not(name: str, value: str):
    with pytest.raises(EnvironmentVariableError, match=name) as caught:
        read(**{name: value})
    assert "hunter2" not in str(caught.value)


def test_a_superuser_password_may_hold_colons():
    assert read(AIDBOX_SUPERUSER="root:a:b").superuser == ("root", "a:b")


def test_mail_is_off_unless_configured():
    assert read_email("") == {}
    found = read_email("smtp+tls://me:pw@mail.example.org")
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"]) == ("mail.example.org", 587)
    assert found["EMAIL_USE_TLS"]
    assert not found["EMAIL_USE_SSL"]
