"""Counting attempts per key in windows of time, in the database, shared by all processes."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from tenants.models import RateWindow

_COUNT = """
INSERT INTO tenants_ratewindow AS w (key, started_at, attempts) VALUES (%s, %s, 1)
ON CONFLICT (key) DO UPDATE SET
  attempts = CASE WHEN w.started_at < %s THEN 1 ELSE w.attempts + 1 END,
  started_at = CASE WHEN w.started_at < %s THEN excluded.started_at ELSE w.started_at END
RETURNING attempts
"""


def count_attempt(key: str, *, window_s: int, now: datetime) -> int:
    """Count one attempt and return how many the running window has, this one included.

    One statement, so that attempts made at the same moment are all counted.
    """
    begin = now - timedelta(seconds=window_s)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [key, now, begin, begin])
        return int(cursor.fetchone()[0])


def attempts_so_far(key: str, *, window_s: int, now: datetime) -> int:
    """Return how many attempts the running window has, counting none."""
    begin = now - timedelta(seconds=window_s)
    running = RateWindow.objects.filter(key=key, started_at__gte=begin)
    return running.values_list("attempts", flat=True).first() or 0


def forget_attempts(key: str) -> None:
    """Start afresh after a success."""
    RateWindow.objects.filter(key=key).delete()


def drop_old_windows(before: datetime) -> None:
    """Delete windows that can no longer refuse anyone."""
    RateWindow.objects.filter(started_at__lt=before).delete()
