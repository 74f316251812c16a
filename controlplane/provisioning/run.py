"""Running one job: under the box's lock, from a plan, step by step, with its progress recorded."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django.utils import timezone

from controlplane.provisioning import queue
from controlplane.provisioning.lock import try_lock
from controlplane.provisioning.plan import STEP_ORDER, DatabaseLostError, Wanted, plan
from controlplane.provisioning.steps import StepError, observe, take_step
from tenants import selectors
from tenants.faults import UNEXPECTED
from tenants.models import JobKind
from tenants.services import jobs
from tenants.states import JobState

if TYPE_CHECKING:
    from uuid import UUID

    from controlplane.provisioning.platform import Platform
    from tenants.models import Job

log = logging.getLogger(__name__)


def run_job(job_id: UUID, platform: Platform) -> None:
    """Bring the job's box to what is wanted. Repeatable.

    Does nothing when nothing is left to do, or when someone else is working on the box, who then
    starts this job after theirs.
    """
    job = jobs.find_open_job(job_id)
    if job is None or job.box_id is None:
        return
    box_id = job.box_id
    with try_lock(box_id) as held:
        if not held:
            return
        job = jobs.find_open_job(job_id)  # as it is now that nobody else works on it
        if job is not None and jobs.begin_job(job):
            _attempt(job, platform)
    _start_next(box_id, job)


def _attempt(job: Job, platform: Platform) -> None:
    begun = time.monotonic()
    try:
        done = _take_steps(job, platform)
    except DatabaseLostError:
        log.exception(
            "a box has lost its database", extra={"box": job.box_name, "job": str(job.id)}
        )
        jobs.fail_attempt(job, "box:database:lost", final=True)
    except StepError as error:
        log.warning(
            "a job's attempt failed",
            extra={
                "box": job.box_name,
                "job": str(job.id),
                "code": error.code,
                "err": error.reason,
            },
        )
        jobs.fail_attempt(job, error.code, final=error.final)
    except Exception:  # the boundary: a bug must not leave the job unaccounted for
        log.exception("a job broke", extra={"box": job.box_name, "job": str(job.id)})
        jobs.fail_attempt(job, UNEXPECTED)
    else:
        if done:
            jobs.finish_job(job)
            log.info(
                "job done",
                extra={
                    "box": job.box_name,
                    "job": str(job.id),
                    "kind": job.kind,
                    "d": round((time.monotonic() - begun) * 1000),
                },
            )


def _take_steps(job: Job, platform: Platform) -> bool:
    """Return whether the box is as wanted; False if the job was overtaken by a deletion."""
    box = job.box
    assert box is not None
    wanted = Wanted(
        present=job.kind != JobKind.DELETE,
        generation=box.generation,
        established=box.ready_at is not None,
    )
    steps = plan(wanted, observe(box, platform))
    jobs.expect_steps(job, {step: STEP_ORDER[step] for step in steps})
    for step in steps:
        if jobs.is_overtaken(job):
            jobs.drop_job(job)
            return False
        jobs.begin_step(job, step)
        take_step(step, box, platform)
        jobs.finish_step(job, step)
    return True


def _start_next(box_id: UUID, job: Job | None) -> None:
    """Send off the next job of the box, or this one again after its delay."""
    following = selectors.next_job_of(box_id, timezone.now())
    if following is not None:
        queue.send(following.id)
    elif job is not None and job.state == JobState.QUEUED:
        delay_s = (job.due_at - timezone.now()).total_seconds()
        if delay_s < queue.LONGEST_DELAY_S:  # later ones are the sweep's
            queue.send(job.id, delay_s=max(delay_s, 0))
