"""What another account can reach, asked of the kernel."""

from __future__ import annotations

import os
import subprocess

import pytest

from infra.local.accounts import can_enter, readable_copy, server_account

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def test_postgresql_gets_an_account_without_privileges():
    account = server_account()
    assert account is not None
    assert account.uid != 0
    assert account.name in {"postgres", "nobody"}


def test_a_closed_parent_closes_what_is_below_it(service_directory):
    account = server_account()
    inside = service_directory / "closed" / "inside"
    inside.mkdir(parents=True)
    assert can_enter(account, inside)
    inside.parent.chmod(0o700)
    assert not can_enter(account, inside)
    assert can_enter(None, inside)


def test_a_copy_of_closed_programs_runs_as_the_account(service_directory):
    account = server_account()
    source = service_directory / "private" / "pg"
    (source / "bin").mkdir(parents=True)
    program = source / "bin" / "hello"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o700)
    source.parent.chmod(0o700)
    target = service_directory / "copies" / "pg"
    target.parent.mkdir()
    copy = readable_copy(source, target)
    said = subprocess.run(
        [copy / "bin" / "hello"], check=True, capture_output=True, **account.popen_options()
    )
    assert said.stdout == b"hello\n"
    assert readable_copy(source, target) == copy
    assert source.parent.stat().st_mode & 0o077 == 0, "nothing was opened"
