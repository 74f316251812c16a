"""The supervisor with small services of our own making."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.environment import base_environment
from infra.local import supervisor as supervision
from infra.local.problems import SetupError
from infra.local.service import Service, listen_for_ourselves
from infra.local.state import Phase, State, Whole, read_state
from infra.local.supervisor import Stage, Supervisor, rotate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# Says when it starts and ends, and answers as soon as its file exists.
PROGRAM = """
import pathlib, signal, sys, time
name, place = sys.argv[1], pathlib.Path(sys.argv[2])
def end(*_):
    with (place / "order").open("a") as order:
        order.write(f"-{name} ")
    sys.exit()
signal.signal(signal.SIGTERM, end)
with (place / "order").open("a") as order:
    order.write(f"+{name} ")
(place / name).touch()
time.sleep(60)
"""


def service(name: str, place: Path, program: str = PROGRAM, **options: Any) -> Service:
    return Service(
        name=name,
        title=name,
        command=(sys.executable, "-c", program, name, str(place)),
        environment=base_environment(),
        ready=(place / name).exists,
        **options,
    )


def stages(place: Path, *names: str) -> list[Stage]:
    return [Stage(name, lambda name=name: service(name, place)) for name in names]


def make(place: Path, plan: list[Stage]) -> Supervisor:
    return Supervisor(
        plan,
        state_file=place / "state.json",
        log_directory=place,
        fingerprint="f",
        base_url="http://localhost",
    )


def state(place: Path) -> State:
    found = read_state(place / "state.json")
    assert found is not None
    return found


def is_up(place: Path) -> bool:
    found = read_state(place / "state.json")
    return found is not None and found.whole is Whole.UP


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - what is waited for is in files
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(place: Path, plan: list[Stage]) -> AsyncIterator[asyncio.Task[bool]]:
    """A supervisor whose stages are all up; it is stopped at the end."""
    task = asyncio.create_task(make(place, plan).run())
    await until(lambda: task.done() or is_up(place))
    assert not task.done(), state(place).problem
    yield task
    if not task.done():
        os.kill(os.getpid(), signal.SIGTERM)
    assert await task


async def test_stages_start_in_order_and_stop_in_the_opposite_order(tmp_path):
    async with running(tmp_path, stages(tmp_path, "a", "b", "c")):
        pass
    assert (tmp_path / "order").read_text().split() == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert [each.phase for each in state(tmp_path).stages] == [Phase.STOPPED] * 3


async def test_a_service_that_dies_is_started_again(tmp_path):
    async with running(tmp_path, stages(tmp_path, "a", "b")):
        victim = state(tmp_path).stages[0].process
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)
        await until(lambda: state(tmp_path).stages[0].restarts == 1)
        await until(lambda: state(tmp_path).stages[0].phase is Phase.READY)
        assert not victim.lives()
        again = state(tmp_path).stages[0].process
        assert again is not None
        assert again.lives()
        assert state(tmp_path).stages[1].restarts == 0


# Answers what comes to the socket that it was handed over.
SERVER = """
import os, pathlib, socket, sys
name, place = sys.argv[1], pathlib.Path(sys.argv[2])
assert (os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"]) == (str(os.getpid()), "1")
listener = socket.socket(fileno=3)
(place / name).touch()
while True:
    connection, _ = listener.accept()
    connection.sendall(connection.recv(100).upper())
    connection.close()
"""


async def test_what_comes_while_a_service_is_down_waits_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(supervision, "FIRST_DELAY_S", 0.5)
    path = tmp_path / "socket"
    listener = listen_for_ourselves(path)
    plan = [Stage("a", lambda: service("a", tmp_path, SERVER, listener=listener))]
    async with running(tmp_path, plan):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        victim = state(tmp_path).stages[0].process
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)
        await until(lambda: state(tmp_path).stages[0].phase is Phase.RESTARTING)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"asked meanwhile")
        async with asyncio.timeout(15):
            assert await reader.read() == b"ASKED MEANWHILE"
        writer.close()
    listener.close()


async def test_a_stage_that_cannot_start_stops_the_ones_before_and_says_why(tmp_path):
    def refuse() -> None:
        raise SetupError("The disk is full.")

    plan = [*stages(tmp_path, "a"), Stage("b", refuse), *stages(tmp_path, "c")]
    assert await make(tmp_path, plan).run() is False
    assert (tmp_path / "order").read_text().split() == ["+a", "-a"]
    assert (state(tmp_path).whole, state(tmp_path).problem) == (Whole.FAILED, "The disk is full.")


async def test_a_service_that_ends_at_once_leaves_its_last_words(tmp_path):
    failing = "print('no such library'); raise SystemExit(3)"
    plan = [Stage("a", lambda: service("a", tmp_path, failing))]
    assert await make(tmp_path, plan).run() is False
    problem = state(tmp_path).problem or ""
    assert problem.startswith("a ended at once")
    assert "no such library" in problem


async def test_a_service_that_never_answers_is_given_up(tmp_path):
    plan = [Stage("a", lambda: service("a", tmp_path, "import time; time.sleep(60)", start_s=0.3))]
    assert await make(tmp_path, plan).run() is False
    assert "did not answer" in (state(tmp_path).problem or "")


async def test_a_service_that_ignores_the_signal_is_ended_by_force(tmp_path):
    deaf = PROGRAM.replace("signal.SIGTERM, end", "signal.SIGTERM, signal.SIG_IGN")
    plan = [Stage("a", lambda: service("a", tmp_path, deaf, stop_s=0.2))]
    async with running(tmp_path, plan):
        process = state(tmp_path).stages[0].process
    assert process is not None
    assert not process.lives()


async def test_stopping_during_the_start_stops_what_was_started(tmp_path):
    slow = [Stage("b", lambda: service("b", tmp_path, "import time; time.sleep(60)"))]
    task = asyncio.create_task(make(tmp_path, [*stages(tmp_path, "a"), *slow]).run())
    await until(lambda: (tmp_path / "state.json").exists() and state(tmp_path).stages[1].process)
    process = state(tmp_path).stages[1].process
    os.kill(os.getpid(), signal.SIGTERM)
    assert await task is False
    assert process is not None
    assert not process.lives()
    assert (tmp_path / "order").read_text().split() == ["+a", "-a"]


def test_a_log_that_grew_too_large_moves_aside_and_the_writer_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(supervision, "LOG_BYTES", 10)
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789\n")
        rotate(log)
        writer.write(b"next\n")
        rotate(log)
    assert log.read_bytes() == b"next\n"
    assert Path(f"{log}.1").read_bytes() == b"0123456789\n"


async def test_a_process_is_never_mistaken_for_another_with_the_same_id(tmp_path):
    async with running(tmp_path, stages(tmp_path, "a")):
        process = state(tmp_path).stages[0].process
        assert process is not None
        stranger = type(process)(process.pid, process.birth + "1")
        assert process.lives()
        assert not stranger.lives()


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_DELAY_S", 0.05)
