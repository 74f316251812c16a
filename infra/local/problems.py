"""The one exception of the local edition that a person reads."""

from __future__ import annotations


class SetupError(Exception):
    """Something of this machine stands in the way; `str(error)` is one sentence that says what.

    Commands print it without a traceback and end with an exit code other than 0.
    """
