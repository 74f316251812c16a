"""One box, one worker: a PostgreSQL advisory lock held by the session that also writes progress.

When the worker or its connection dies, the lock is gone with it, and so is its power to write.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import Error, connection

if TYPE_CHECKING:
    from collections.abc import Iterator

SWEEP = UUID(int=0)
"""Locked by whoever sweeps."""


def _keys(of: UUID) -> tuple[int, int]:
    """Return two signed 32-bit numbers from the 64 most random bits of the id."""
    raw = of.bytes[8:]
    return (
        int.from_bytes(raw[:4], "big", signed=True),
        int.from_bytes(raw[4:], "big", signed=True),
    )


@contextmanager
def try_lock(of: UUID) -> Iterator[bool]:
    """Yield whether the lock was free and is held until the block ends. Never waits."""
    keys = _keys(of)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", keys)
        held = bool(cursor.fetchone()[0])
    try:
        yield held
    finally:
        if held:
            _unlock(keys)


def _unlock(keys: tuple[int, int]) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", keys)
    except Error:
        connection.close()  # a session that cannot unlock is ended, which unlocks
