"""The process that keeps everything running after `make up` has returned.

Stages start in order, each when the one before answers, and stop in the opposite order. A service
that ends by itself is started again, at once and then ever more slowly. The supervisor knows
nothing about what its stages are; `infra.local.platform` lists them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from infra.local.problems import SetupError
from infra.local.service import POLL_S, Service, log_tail
from infra.local.state import Phase, ProcessMark, StageState, State, Whole, write_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STABLE_S = 60.0  # a service that ran this long is not in a crash loop
LOG_BYTES = 10 * 2**20  # then <name>.log becomes <name>.log.1
LOG_CHECK_S = 30.0

_logger = logging.getLogger("supervisor")


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the start: `prepare` does what must be done once, and may give a service."""

    title: str
    prepare: Callable[[], Service | None]


class Supervisor:
    """Runs stages until it is told to stop."""

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        state_file: Path,
        log_directory: Path,
        fingerprint: str,
        base_url: str,
    ) -> None:
        own = ProcessMark.of(os.getpid())
        assert own is not None
        self._stages = stages
        self._state_file = state_file
        self._logs = log_directory
        self._keepers: list[_Keeper] = []
        self._stop = asyncio.Event()
        self._state = State(
            supervisor=own,
            fingerprint=fingerprint,
            base_url=base_url,
            whole=Whole.STARTING,
            stages=tuple(StageState(title=each.title, phase=Phase.WAITING) for each in stages),
        )

    async def run(self) -> bool:
        """Start everything and keep it until SIGTERM or SIGINT; tell whether all started."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        rotation = asyncio.create_task(self._rotate_logs())
        problem: str | None = None
        try:
            start = asyncio.create_task(self._start())
            stopped = asyncio.create_task(self._stop.wait())
            await asyncio.wait({start, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                await start
                self._show(whole=Whole.UP)
                await stopped
            else:
                start.cancel()
                problem = "It was stopped while it started."
        except SetupError as error:
            problem = str(error)
        except OSError as error:
            problem = f"{error.filename or 'Starting'}: {error.strerror}."
        finally:
            rotation.cancel()
            self._show(whole=Whole.STOPPING)
            for keeper in reversed(self._keepers):
                await keeper.stop()
            self._show(whole=Whole.FAILED if problem else Whole.STOPPING, problem=problem)
        if problem:
            _logger.error("Not started: %s", problem)
        return problem is None

    async def _start(self) -> None:
        for index, stage in enumerate(self._stages):
            began = time.monotonic()
            self.show_stage(index, phase=Phase.STARTING)
            service = await asyncio.to_thread(stage.prepare)
            if service is not None:
                keeper = _Keeper(self, index, service, self._logs / f"{service.name}.log")
                self._keepers.append(keeper)
                await keeper.start()
            took = time.monotonic() - began
            self.show_stage(index, phase=Phase.READY, seconds=round(took, 2))
            _logger.info("%s: ready after %.2f s", stage.title, took)

    def show_stage(self, index: int, **changes: object) -> None:
        """Change what the state file says about one stage."""
        stages = list(self._state.stages)
        stages[index] = msgspec.structs.replace(stages[index], **changes)
        self._show(stages=tuple(stages))

    def _show(self, **changes: object) -> None:
        self._state = msgspec.structs.replace(self._state, **changes)
        write_state(self._state_file, self._state)

    async def _rotate_logs(self) -> None:
        while True:
            for log in self._logs.glob("*.log"):
                with contextlib.suppress(OSError):
                    rotate(log)
            await asyncio.sleep(LOG_CHECK_S)


class _Keeper:
    """Keeps one service running."""

    def __init__(self, supervisor: Supervisor, index: int, service: Service, log: Path) -> None:
        self._supervisor = supervisor
        self._index = index
        self._service = service
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when the service answers for the first time. Raises SetupError."""
        await self._launch()
        self._loop = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End the service in order, by force after its time."""
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        process = self._process
        began = time.monotonic()
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self._service.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self._service.stop_s)
            except TimeoutError:
                _logger.warning("%s is ended by force", self._service.title)
                _signal_group(process.pid, signal.SIGKILL)
                await process.wait()
        _logger.info("%s: stopped in %.1f s", self._service.title, time.monotonic() - began)
        self._supervisor.show_stage(self._index, phase=Phase.STOPPED, process=None)

    async def _launch(self) -> None:
        service = self._service
        try:
            with self._log.open("ab") as output:
                self._process = await asyncio.create_subprocess_exec(
                    *service.popen_command(),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    **service.popen_options(),
                )
        except OSError as error:
            raise SetupError(f"{service.title} could not be started: {error.strerror}.") from error
        self._supervisor.show_stage(
            self._index,
            process=ProcessMark.of(self._process.pid),
            stop_signal=int(service.stop_signal),
        )
        deadline = time.monotonic() + service.start_s
        while not await asyncio.to_thread(service.ready):
            if self._process.returncode is not None:
                raise SetupError(f"{service.title} ended at once; {self._last_words()}")
            if time.monotonic() > deadline:
                raise SetupError(
                    f"{service.title} did not answer within {service.start_s:.0f} s; "
                    f"{self._last_words()}"
                )
            await asyncio.sleep(POLL_S)

    def _last_words(self) -> str:
        return f"{self._log} says:\n{log_tail(self._log)}"

    async def _keep(self) -> None:
        """Start the service again whenever it ends."""
        delay_s = FIRST_DELAY_S
        restarts = 0
        while True:
            assert self._process is not None
            since = time.monotonic()
            status = await self._process.wait()
            _logger.error("%s ended with status %s", self._service.title, status)
            _signal_group(self._process.pid, signal.SIGTERM)  # what it left behind
            restarts += 1
            self._supervisor.show_stage(
                self._index, phase=Phase.RESTARTING, restarts=restarts, process=None
            )
            if time.monotonic() - since > STABLE_S:
                delay_s = FIRST_DELAY_S
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)
            try:
                await self._launch()
            except SetupError as error:
                _logger.error("%s", error)  # noqa: TRY400 - the sentence says all
                if self._process.returncode is None:
                    _signal_group(self._process.pid, signal.SIGKILL)
            else:
                self._supervisor.show_stage(self._index, phase=Phase.READY)
                _logger.info("%s answers again", self._service.title)


def rotate(log: Path) -> None:
    """Keep a log below its size: its content moves to `<name>.log.1`, the open file is emptied.

    Services write with O_APPEND and never reopen; a line written in between may be lost.
    """
    if log.stat().st_size > LOG_BYTES:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)


def _signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group that a service leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
