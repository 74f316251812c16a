"""The time of an event as text, for those who ask ten thousand times a second."""

from __future__ import annotations

import time
from functools import lru_cache

_NANOSECONDS = 1_000_000_000


def now() -> str:
    """Return the UTC instant with microseconds: 2020-01-05T10:11:12.123456Z. 0.3 us."""
    seconds, rest = divmod(time.time_ns(), _NANOSECONDS)
    return f"{_second(seconds)}{rest // 1000:06d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds))
