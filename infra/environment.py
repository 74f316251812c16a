"""What a program that we start inherits of our own environment."""

from __future__ import annotations

import os

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


def base_environment() -> dict[str, str]:
    """Return what every program may see: no settings and no secrets of others."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
