"""Box names as the box host takes them. Checked before any path is made of one."""

from __future__ import annotations

import re

from boxruntime.host.errors import HostError

_NAME = re.compile(r"[a-z][a-z0-9]{0,39}")


def check_name(text: str | None) -> str:
    """Return `text` if it may name a box. Raises HostError."""
    if text is None or not _NAME.fullmatch(text):
        raise HostError("A box name is a lower-case letter followed by up to 39 letters or digits.")
    return text
