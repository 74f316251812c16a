"""Jobs: opened with what they serve, worked on by one worker at a time, retried with a delay.

Whoever works on a job holds the lock of its box; see `controlplane.provisioning.lock`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from tenants.models import Account, Box, Job, JobKind, JobStep
from tenants.services import audit
from tenants.states import JOB_OPEN, BoxState, JobState, check_job_transition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

MAX_ATTEMPTS = 4
"""Attempts to make a box before a person is asked; about 14 s, as long as one waits."""
RETRY_DELAYS_S = (2, 4, 8)
LATER_S = 60
"""Repairs and deletions are not given up: a box that served must serve, one unwanted must go."""


def open_job(box: Box, kind: JobKind, account: Account | None) -> Job:
    """Return the open job of that kind on the box, recorded now if there is none.

    The caller holds the row of the box, so two callers cannot both find none.
    """
    job = Job.objects.filter(box=box, kind=kind, state__in=JOB_OPEN).first()
    if job is not None:
        return job
    return Job.objects.create(
        kind=kind, box=box, box_name=box.name, requested_by=account, due_at=timezone.now()
    )


@transaction.atomic
def open_missing_job(box_id: UUID) -> Job | None:
    """Return a job for what the state of the box calls for; None if a person must decide."""
    box = Box.objects.select_for_update().filter(pk=box_id).first()
    if box is None or box.state == BoxState.FAILED:
        return None
    if box.state == BoxState.DELETING:
        kind = JobKind.DELETE
    else:
        kind = JobKind.REPAIR if box.ready_at else JobKind.CREATE
    audit.record(audit.SYSTEM, f"box.{kind}", box.name, "requested")
    return open_job(box, kind, None)


def find_open_job(job_id: UUID) -> Job | None:
    """Return the job with its box if it still wants doing."""
    return (
        Job.objects.select_related("box", "box__tier")
        .filter(pk=job_id, state__in=JOB_OPEN, box__isnull=False)
        .first()
    )


_WORKING = {
    JobKind.CREATE: BoxState.PROVISIONING,
    JobKind.REPAIR: BoxState.REPAIRING,
    JobKind.DELETE: BoxState.DELETING,
}


@transaction.atomic
def begin_job(job: Job) -> bool:
    """Mark the job as worked on and its box accordingly; False if it is overtaken by a deletion.

    Repeatable: a job left RUNNING by a worker that died begins again.
    """
    from tenants.services.boxes import set_box_state  # boxes opens jobs: the two know each other

    box = Box.objects.select_for_update().get(pk=job.box_id)
    job.box = box
    if box.state == BoxState.DELETING and job.kind != JobKind.DELETE:
        _move(job, JobState.DROPPED)
        return False
    if job.state == JobState.QUEUED:
        _move(job, JobState.RUNNING)
    job.attempts += 1
    job.started_at = job.started_at or timezone.now()
    job.save(update_fields=["attempts", "started_at"])
    working = _WORKING[JobKind(job.kind)]
    if box.state != working:
        set_box_state(box, working)
    return True


def is_overtaken(job: Job) -> bool:
    """Return whether the box's deletion was asked for since the job began."""
    if job.kind == JobKind.DELETE:
        return False
    state = Box.objects.filter(pk=job.box_id).values_list("state", flat=True).first()
    return state in (None, BoxState.DELETING)


def expect_steps(job: Job, positions: Mapping[str, int]) -> None:
    """Record the steps that lie ahead, name -> place in the display; those begun before stay."""
    job.steps.filter(started_at=None).exclude(name__in=positions).delete()
    known = set(job.steps.values_list("name", flat=True))
    JobStep.objects.bulk_create(
        JobStep(job=job, name=name, position=position)
        for name, position in positions.items()
        if name not in known
    )


def begin_step(job: Job, name: str) -> None:
    """Record that the step has begun (again)."""
    job.steps.filter(name=name).update(started_at=timezone.now(), finished_at=None, failed=False)


def finish_step(job: Job, name: str) -> None:
    """Record that the step is done."""
    job.steps.filter(name=name).update(finished_at=timezone.now())


@transaction.atomic
def drop_job(job: Job) -> None:
    """End a job that its box's deletion has overtaken."""
    _move(job, JobState.DROPPED)


@transaction.atomic
def finish_job(job: Job) -> None:
    """The box is as wanted: ready, or gone together with its row."""
    from tenants.services.boxes import set_box_state  # see begin_job

    box = Box.objects.select_for_update().get(pk=job.box_id)
    if job.kind == JobKind.DELETE:
        for other in Job.objects.filter(box=box, state__in=JOB_OPEN).exclude(pk=job.pk):
            _move(other, JobState.DROPPED)
        _move(job, JobState.DONE)
        box.delete()
        audit.record(audit.SYSTEM, "box.delete", job.box_name)
        return
    if box.state == BoxState.DELETING:
        _move(job, JobState.DROPPED)
        return
    set_box_state(box, BoxState.READY)
    _move(job, JobState.DONE)
    audit.record(audit.SYSTEM, f"box.{job.kind}", job.box_name)


@transaction.atomic
def fail_attempt(job: Job, fault_code: str, *, final: bool = False) -> None:
    """Record a failed attempt: again after a delay, or given up and the box FAILED.

    `final`: trying again cannot help. A deletion is never given up.
    """
    from tenants.services.boxes import set_box_state  # see begin_job

    job.fault_code = fault_code
    job.save(update_fields=["fault_code"])
    job.steps.filter(finished_at=None).exclude(started_at=None).update(failed=True)
    box = Box.objects.select_for_update().get(pk=job.box_id)
    if job.kind != JobKind.DELETE and box.state == BoxState.DELETING:
        _move(job, JobState.DROPPED)
        return
    given_up = final or (job.kind == JobKind.CREATE and job.attempts >= MAX_ATTEMPTS)
    if given_up and job.kind != JobKind.DELETE:
        _move(job, JobState.FAILED)
        set_box_state(box, BoxState.FAILED, fault_code=fault_code)
        audit.record(audit.SYSTEM, f"box.{job.kind}", job.box_name, fault_code)
        return
    box.fault_code = fault_code
    box.save(update_fields=["fault_code", "updated_at"])
    delay_s = RETRY_DELAYS_S[job.attempts - 1] if job.attempts <= len(RETRY_DELAYS_S) else LATER_S
    job.due_at = timezone.now() + timedelta(seconds=delay_s)
    job.save(update_fields=["due_at"])
    _move(job, JobState.QUEUED)


def _move(job: Job, state: JobState) -> None:
    check_job_transition(JobState(job.state), state)
    job.state = state
    if state not in JOB_OPEN:
        job.finished_at = timezone.now()
    job.save(update_fields=["state", "finished_at"])
