"""The sweep: finds boxes whose observed state differs from the desired, and jobs left lying.

Boxes that a job is working on are left alone. It starts jobs and does no step itself, except to
end processes of boxes that no longer exist.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from boxruntime.contract import BoxPhase, BoxStatus
from controlplane.provisioning import queue
from controlplane.provisioning.lock import SWEEP, try_lock
from infra.boxhost import BoxHostError
from infra.postgres import ProvisioningError
from tenants import selectors
from tenants.names import database_name, role_name
from tenants.services import jobs, limits
from tenants.states import BoxState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.provisioning.platform import Platform
    from tenants.models import Box

log = logging.getLogger(__name__)

LEFT_LYING_S = 8
"""A due job that no worker has begun, or whose worker died, after this time is sent again."""
RATE_WINDOWS_KEPT = timedelta(days=1)


def sweep(platform: Platform, now: datetime, *, left_lying_s: int = LEFT_LYING_S) -> None:
    """Look at everything once. Repeatable; two sweeps never run at once.

    `left_lying_s`: how long a job may have waited; a worker that begins takes what the one before
    it left at once.
    """
    with try_lock(SWEEP) as held:
        if not held:
            return
        _resend_jobs(now - timedelta(seconds=left_lying_s))
        _repair_boxes(platform)
        limits.drop_old_windows(now - RATE_WINDOWS_KEPT)


def _resend_jobs(due: datetime) -> None:
    for job in selectors.due_jobs(due):
        with try_lock(job.box_id) as free:
            pass
        if free and not queue.send(job.id):
            return  # the broker is away: the next sweep tries again


def _repair_boxes(platform: Platform) -> None:
    try:
        hosted = {status.id: status for status in platform.runtime.list()}
        databases = platform.cluster.list_databases()
        roles = platform.cluster.list_login_roles()
    except (BoxHostError, ProvisioningError) as error:
        log.warning("the sweep cannot look at the boxes", extra={"err": str(error)})
        return
    for box in selectors.boxes_without_job():
        if not needs_job(box, hosted, databases, roles):
            continue
        job = jobs.open_missing_job(box.id)
        if job is not None:
            queue.send(job.id)
    for name in hosted:
        if not selectors.box_exists(name):
            log.warning("the box host has a box that is no more", extra={"box": name})
            _remove(name, platform)


def _remove(name: str, platform: Platform) -> None:
    try:
        platform.runtime.remove(name)
    except BoxHostError as error:
        log.warning("a box could not be removed", extra={"box": name, "err": str(error)})


def needs_job(
    box: Box,
    hosted: Mapping[str, BoxStatus],
    databases: frozenset[str],
    login_roles: frozenset[str],
) -> bool:
    """Return whether a box that no job serves differs from what it shall be. Pure."""
    if box.state == BoxState.FAILED:
        return False  # a person decides
    if box.state != BoxState.READY:
        return True  # a state that only a job may have left so
    status = hosted.get(box.name)
    return (
        status is None
        or status.generation < box.generation
        or status.phase == BoxPhase.FAILING
        or not status.reachable
        or database_name(box.name) not in databases
        or role_name(box.name) not in login_roles
    )
