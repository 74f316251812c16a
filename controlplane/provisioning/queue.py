"""Handing a job's id to the broker. The job's row is the truth: a lost message only delays it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from uuid import UUID

log = logging.getLogger(__name__)

LONGEST_DELAY_S = 20
"""A delayed message rests in a worker's memory, so long delays are left to the sweep."""


def send(job_id: UUID, *, delay_s: float = 0) -> bool:
    """Return whether the broker took the message."""
    from controlplane.tasks import run_job  # tasks know the runner, which knows this module

    try:
        run_job.apply_async([str(job_id)], countdown=delay_s or None)
    except (OperationalError, RedisError, OSError) as error:
        log.warning(
            "the broker took no message",
            extra={"job": str(job_id), "err": type(error).__name__},
        )
        return False
    return True


def quietly(task: Any, *arguments: str) -> bool:
    """Send any other task; return whether the broker took it. Logs, and does not raise."""
    try:
        task.delay(*arguments)
    except (OperationalError, RedisError, OSError) as error:
        log.warning(
            "the broker took no message", extra={"task": task.name, "err": type(error).__name__}
        )
        return False
    return True
