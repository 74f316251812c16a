"""`make up`, `down`, `status`, `logs` and `clean`, as functions that print for a person."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from infra.environment import base_environment
from infra.local.accounts import server_account
from infra.local.places import Places, ensure_places, outside_directories
from infra.local.platform import Platform
from infra.local.ports import why_taken
from infra.local.probe import status_on_port
from infra.local.problems import SetupError
from infra.local.settings import LocalSettings, parse_settings, remember
from infra.local.state import Phase, State, Whole, read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROJECT = Path(__file__).resolve().parents[2]
POLL_S = 0.1
RENEWED = ("boxruntime", "controlplane", "tenants")  # packages whose code a running platform takes
STOP_LIMIT_S = 240.0  # longer than all services' own limits that can add up in practice


def project_var(environment: Mapping[str, str]) -> Path:
    """Return the data directory: `var/` of the checkout unless HALEBOX_VAR says otherwise."""
    return Path(os.path.abspath(environment.get("HALEBOX_VAR") or PROJECT / "var"))  # noqa: PTH100


def up(environment: Mapping[str, str]) -> None:
    """Start what is not running; return when everything answers. Raises SetupError."""
    began = time.monotonic()
    places = ensure_places(PROJECT, project_var(environment), server_account())
    with _one_at_a_time(places.var):
        chosen = remember(places.secrets / "settings.json", environment)
        settings = parse_settings(chosen)
        fingerprint, code = _start_fingerprint(chosen), _code_fingerprint(*RENEWED)
        state = read_state(places.state)
        if state and state.supervisor.lives():
            if _is_well(state, fingerprint, settings):
                if running_code(places) == code:
                    _say("Halebox is up already.")
                else:
                    _say("The code changed: Halebox takes it while it goes on.")
                    _renew(places, settings)
                    places.code.write_text(code)
                _say_what_next(places, settings, state)
                return
            _say("Settings or services changed: Halebox starts anew.")
        _stop(places)
        taken = why_taken(settings.port, settings.listen[0])
        if taken:
            raise SetupError(taken)
        state = _start(places, fingerprint)
        places.code.write_text(code)
    _say(f"Halebox is up after {time.monotonic() - began:.0f} s.")
    _say_what_next(places, settings, state)


def down(environment: Mapping[str, str]) -> None:
    """Stop everything; data stays."""
    var = project_var(environment)
    if not var.exists():
        _say("Halebox is not running.")
        return
    places = ensure_places(PROJECT, var, server_account())
    with _one_at_a_time(var):
        if _stop(places):
            _say("Halebox is down; its data is kept.")
        else:
            _say("Halebox is not running.")


def clean(environment: Mapping[str, str]) -> None:
    """Stop everything and remove all data."""
    var = project_var(environment)
    if not var.exists():
        _say("There is nothing to remove.")
        return
    down(environment)
    for directory in (*outside_directories(var), var):
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            raise SetupError(f"{directory} could not be removed completely.")
        _say(f"Removed {directory}.")


def status(environment: Mapping[str, str]) -> bool:
    """Print what runs; tell whether all of it does."""
    var = project_var(environment)
    state = read_state(var / "state.json")
    if state is None or not state.supervisor.lives():
        _say("Halebox is not running.")
        return False
    for stage in state.stages:
        process = f"pid {stage.process.pid}" if stage.process else ""
        restarts = f"{stage.restarts} restarts" if stage.restarts else ""
        _say(f"  {stage.title:36} {stage.phase.value:11} {process:12} {restarts}".rstrip())
    _say(f"Halebox is {state.whole.value}: {state.base_url}")
    return state.whole is Whole.UP and all(each.phase is Phase.READY for each in state.stages)


def logs(environment: Mapping[str, str]) -> None:
    """Follow all logs until Ctrl-C."""
    files = sorted((project_var(environment) / "log").glob("*.log"))
    if not files:
        raise SetupError("There are no logs yet: run `make up` first.")
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run(["tail", "-n", "20", "-F", *map(str, files)], check=False)


def _start(places: Places, fingerprint: str) -> State:
    """Start the supervisor and tell what it does until everything answers."""
    with (places.logs / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local", "supervise", fingerprint],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=PROJECT,
            env=base_environment() | {"HALEBOX_VAR": str(places.var)},
        )
    told: set[str] = set()
    try:
        while True:
            ended = process.poll() is not None
            state = read_state(places.state)
            if state is not None and state.supervisor.pid == process.pid:
                _tell(state, told)
                if state.whole is Whole.UP:
                    return state
                if ended:
                    raise SetupError(state.problem or "The supervisor ended without a word.")
            elif ended:
                raise SetupError(
                    f"The supervisor could not start; {places.logs / 'supervisor.log'} says why."
                )
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        _say("\nStopping.")
        _stop(places)
        raise


def _tell(state: State, told: set[str]) -> None:
    for stage in state.stages:
        if stage.phase is Phase.READY and stage.title not in told:
            told.add(stage.title)
            _say(f"  {stage.title:36} ready {stage.seconds:6.1f} s")


def _stop(places: Places) -> bool:
    """Stop the supervisor and whatever is left of it; tell whether there was anything."""
    state = read_state(places.state)
    if state is None:
        return False
    anything = False
    if state.supervisor.lives():
        anything = True
        _say("Stopping: requests and jobs in work are finished first.")
        os.kill(state.supervisor.pid, signal.SIGTERM)
        _wait_gone(state.supervisor.lives)
        state = read_state(places.state) or state
    # A supervisor that was killed leaves its services behind.
    for stage in reversed(state.stages):
        if stage.process is not None and stage.process.lives():
            anything = True
            mark = stage.process
            _say(f"Stopping {stage.title}, which lost its supervisor.")
            os.kill(mark.pid, stage.stop_signal)
            _wait_gone(mark.lives)
    places.state.unlink(missing_ok=True)
    return anything


def _wait_gone(lives: Callable[[], bool]) -> None:
    deadline = time.monotonic() + STOP_LIMIT_S
    while lives():
        if time.monotonic() > deadline:
            raise SetupError("Halebox does not stop; `make status` shows which process it is.")
        time.sleep(POLL_S)


def _is_well(state: State, fingerprint: str, settings: LocalSettings) -> bool:
    return (
        state.whole is Whole.UP
        and state.fingerprint == fingerprint
        and all(stage.phase is Phase.READY for stage in state.stages)
        and (
            settings.tls_certificate is not None
            or status_on_port(settings.port, "/__healthcheck", settings.domain) == 200
        )
    )


def _renew(places: Places, settings: LocalSettings) -> None:
    """Give the running platform the code on disk. Raises SetupError; then `up` may be repeated."""

    def running(title: str) -> int | None:
        state = read_state(places.state)
        for stage in state.stages if state else ():
            if stage.title == title and stage.process and stage.phase is Phase.READY:
                return stage.process.pid
        return None

    for stage in Platform(places, settings).renewal(running):
        began = time.monotonic()
        stage.prepare()
        _say(f"  {stage.title:36} renewed {time.monotonic() - began:4.1f} s")


def running_code(places: Places) -> str:
    """Return the fingerprint of the code that runs; "" if a start or a renewal was cut short."""
    return places.code.read_text() if places.code.exists() else ""


def _start_fingerprint(chosen: Mapping[str, str]) -> str:
    """Return a text that changes with what only a new start can change.

    That is the settings, how services are run (`infra`), and what is installed.
    """
    digest = hashlib.sha256(repr(sorted(chosen.items())).encode())
    digest.update((PROJECT / "requirements.lock").read_bytes())
    digest.update(_code_fingerprint("infra").encode())
    return digest.hexdigest()[:16]


def _code_fingerprint(*packages: str) -> str:
    """Return a text that changes with the files of these packages."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted((PROJECT / package).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                seen = path.stat()
                digest.update(f"{path}\0{seen.st_size}\0{seen.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _one_at_a_time(var: Path) -> Iterator[None]:
    """Let a second command wait for the first; the lock ends with the process."""
    with (var / "command.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another command is at work; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say_what_next(places: Places, settings: LocalSettings, state: State) -> None:
    superuser = (places.secrets / "superuser").read_text().strip().partition(":")[0]
    _say(
        f"\n  Console     {state.base_url}\n"
        f"  Boxes       {state.base_url.replace('://', '://<box>.', 1)}\n"
        f"  Superuser   {superuser}, password in {_short(places.secrets / 'superuser')}\n"
        f"  PostgreSQL  {_postgres_hint(places, settings)}\n"
        "\nNext: open the console, sign up and press “New Box”; or let `make demo` make a box\n"
        "with sixteen patients. Then: `make status`, `make logs`, `make down`."
    )


def _postgres_hint(places: Places, settings: LocalSettings) -> str:
    if settings.database_url:
        return "yours (DATABASE_URL)"
    port = (places.var / "postgresql-port").read_text().strip()
    password = _short(places.secrets / "postgresql")
    return f"psql -h 127.0.0.1 -p {port} -U postgres, password in {password}"


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
