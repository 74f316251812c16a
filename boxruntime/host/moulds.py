"""The moulds of one manager: one for the default FHIR version, others while they are needed.

What a version shares (metadata, validators) is 60 to 120 MB and takes a second to build. The
default version's mould is there from the start; that of another version is started by the first
box that needs it and ends when none of its boxes has had a process for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING

from boxruntime.contract import FHIR_VERSIONS, fhir_version_of
from boxruntime.host.errors import HostError
from boxruntime.host.handover import MouldState
from boxruntime.host.mould_client import MouldClient

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Sequence

    from boxruntime.contract import BoxSpec

DELAY_S, LONGEST_DELAY_S = 1.0, 15.0  # between two attempts to get the default mould
IDLE_S = 600.0  # without a process of its version a mould is kept this long
DEFAULT_VERSION = next(iter(FHIR_VERSIONS))
_logger = logging.getLogger("boxhost")


def version_of(spec: BoxSpec) -> str:
    """Return the FHIR version whose mould a box is cast from.

    A version that nobody has gets the default mould: the box itself says what is wrong.
    """
    wanted = spec.environment.get("AIDBOX_FHIR_VERSION") or DEFAULT_VERSION
    return fhir_version_of(wanted) or DEFAULT_VERSION


class Moulds:
    """All moulds of one application. Used by one event loop."""

    def __init__(
        self,
        application: str,
        on_exit: Callable[[int, int], None],
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        """`on_exit(pid, status)`: a child of a mould ended; `spawn` runs a task to its end."""
        self._application = application
        self._on_exit = on_exit
        self._spawn = spawn
        self._moulds: dict[str, MouldClient] = {}
        self._used_at: dict[str, float] = {}
        self._delay_s = DELAY_S
        self._ended = False

    def begin(self) -> None:
        """Start the default version's mould. Raises OSError."""
        self._use(DEFAULT_VERSION, self._start(DEFAULT_VERSION))

    def resume(self, states: Collection[MouldState]) -> None:
        """Take over the moulds of a former manager."""
        for state in states:
            connection = socket.socket(fileno=state.connection)
            mould = MouldClient(state.pid, connection, data_kb=state.data_kb, on_exit=self._on_exit)
            self._use(state.version or DEFAULT_VERSION, mould)

    def states_to_hand_over(self) -> tuple[MouldState, ...]:
        """Return what `resume` needs, the default version's first."""
        return tuple(
            MouldState(mould.pid, mould.connection.fileno(), mould.data_kb, version)
            for version, mould in self._moulds.items()
        )

    @property
    def is_ready(self) -> bool:
        """Whether boxes of the default version wake in milliseconds."""
        return self._moulds[DEFAULT_VERSION].is_ready

    def data_kb(self, version: str) -> int:
        """Return the memory that a fresh child shares with its mould; 0 while not known."""
        mould = self._moulds.get(version)
        return (mould.data_kb or 0) if mould else 0

    async def fork(self, version: str, box: str, sockets: Sequence[socket.socket]) -> int:
        """Return the pid of a new child; waits for a mould that still preloads.

        Raises HostError.
        """
        mould = self._get(version)
        was_ready = mould.is_ready
        try:
            return await mould.fork(box, sockets)
        except HostError:
            if not (was_ready and mould.gone.is_set()):
                raise
        await mould.replaced.wait()  # it was killed meanwhile: that is not the box's fault
        return await self._get(version).fork(box, sockets)

    async def upgrade(self) -> None:
        """Have all coming children cast from the code on disk.

        Raises HostError if that does not start; nothing has changed then.
        """
        new = self._start(DEFAULT_VERSION)
        try:
            await new.wait_ready()
        except HostError:
            new.close()
            raise HostError("The new code does not start; the old one serves on.") from None
        old = dict(self._moulds)
        for version in old:
            self._moulds.pop(version)
        self._use(DEFAULT_VERSION, new)
        for mould in old.values():
            mould.replaced.set()
            await mould.wait_forked()
            mould.close()

    def rest(self, needed: Collection[str]) -> None:
        """Let the moulds end that no process has been of for a while; `needed` have some."""
        now = asyncio.get_running_loop().time()
        for version in needed:
            self._used_at[version] = now
        for version, mould in list(self._moulds.items()):
            is_idle = now - self._used_at.get(version, now) >= IDLE_S
            if version != DEFAULT_VERSION and is_idle and not mould.is_forking:
                del self._moulds[version]
                mould.replaced.set()
                mould.close()

    def close(self) -> None:
        """Let all moulds end."""
        self._ended = True
        for mould in self._moulds.values():
            mould.close()

    def _get(self, version: str) -> MouldClient:
        self._used_at[version] = asyncio.get_running_loop().time()
        mould = self._moulds.get(version)
        if mould is None:
            _logger.info("Boxes of FHIR %s get a mould.", version)
            mould = self._start(version)
            self._use(version, mould)
        return mould

    def _start(self, version: str) -> MouldClient:
        return MouldClient.start(self._application, version, self._on_exit)

    def _use(self, version: str, mould: MouldClient) -> None:
        self._moulds[version] = mould
        self._used_at[version] = asyncio.get_running_loop().time()
        self._spawn(self._keep(version, mould))

    async def _keep(self, version: str, mould: MouldClient) -> None:
        """Replace the default mould when it ends; another one when it is needed again."""
        was_ready = mould.is_ready
        with contextlib.suppress(HostError):
            await mould.wait_ready()
            was_ready = True
        await mould.gone.wait()
        if self._moulds.get(version) is not mould or self._ended:
            return
        _logger.error("The mould ended; boxes that run are not concerned.")
        if version != DEFAULT_VERSION:
            del self._moulds[version]
        else:
            if was_ready:
                self._delay_s = DELAY_S
            else:
                await asyncio.sleep(self._delay_s)
                self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)
            if self._moulds.get(version) is not mould or self._ended:
                return
            self._use(version, self._start(version))
        mould.replaced.set()
