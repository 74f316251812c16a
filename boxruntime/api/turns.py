"""Long work lets others have their turn: a Bundle of thousands of entries must not stop the box.

Everything in a box process shares one event loop. A transaction of 10,000 entries computes for a
second; without pauses nobody else is answered meanwhile, and its neighbours' statements are done in
PostgreSQL long before anybody asks for their result.
"""

from __future__ import annotations

import asyncio
import time

SLICE_S = 0.003
"""How long work goes on before others may have a turn. A turn costs some 10 us."""


class Turns:
    """Made where the work starts; `pass_on` is called between its pieces."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def pass_on(self) -> None:
        """Let others run if this work has had its slice."""
        if time.monotonic() - self._since > SLICE_S:
            await asyncio.sleep(0)
            self._since = time.monotonic()
