"""The queries: every question that pages and APIs ask about accounts, boxes and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Prefetch, QuerySet

from tenants.errors import NoSuchBoxError
from tenants.models import Account, AuditRecord, Box, Job, JobStep, Membership, Role, Tier
from tenants.states import BOX_SETTLED, JOB_OPEN, BoxState, JobState
from tenants.versions import DEFAULT_FHIR_VERSION, FHIR_VERSIONS

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


def find_account(text: str) -> Account | None:
    """Return the confirmed account with this id or this exact email."""
    accounts = Account.objects.filter(is_active=True)
    if "@" in text:
        return accounts.filter(email=text.lower()).first()
    return accounts.filter(pk=text).first()


def find_account_by_id(account_id: str) -> Account | None:
    """Return the account, confirmed or not."""
    return Account.objects.filter(pk=account_id).first()


def get_account(account_id: str) -> Account:
    """Return the account. Raises Account.DoesNotExist."""
    return Account.objects.get(pk=account_id)


def fhir_versions_in_use() -> list[str]:
    """Return the default FHIR version and those that boxes have, in the order they are offered."""
    used = {DEFAULT_FHIR_VERSION, *Box.objects.values_list("fhir_version", flat=True).distinct()}
    return [version for version in FHIR_VERSIONS if version in used]


def boxes_of(account: Account) -> QuerySet[Box]:
    """Return the boxes the account takes part in, each with `.my_memberships` (one entry)."""
    return (
        Box.objects.filter(memberships__account=account)
        .select_related("tier")
        .prefetch_related(
            Prefetch(
                "memberships",
                queryset=Membership.objects.filter(account=account),
                to_attr="my_memberships",
            )
        )
    )


def owned_boxes(account: Account) -> QuerySet[Box]:
    """Return the boxes the account owns."""
    return Box.objects.filter(memberships__account=account, memberships__role=Role.OWNER)


def get_box(account: Account, name: str, *, as_superuser: bool = False, lock: bool = False) -> Box:
    """Return a box that the account takes part in (any box for the superuser).

    `lock` holds the row until the transaction ends. Raises NoSuchBoxError, which does not tell
    a foreign box from none.
    """
    boxes = Box.objects.select_for_update(of=("self",)) if lock else Box.objects.all()
    box = boxes.select_related("tier").filter(name=name).first()
    if box is None or (not as_superuser and role_in(account, box) is None):
        raise NoSuchBoxError(name)
    return box


def find_box(name: str) -> Box | None:
    """Return any box of that name, whoever takes part in it: for the operator's commands."""
    return Box.objects.select_related("tier").filter(name=name).first()


def owner_of(box: Box) -> Account:
    """Return the one account that owns the box."""
    return Account.objects.get(memberships__box=box, memberships__role=Role.OWNER)


def box_exists(name: str) -> bool:
    """Return whether the name is in use, by anyone."""
    return Box.objects.filter(name=name).exists()


def role_in(account: Account, box: Box) -> Role | None:
    """Return the account's role in the box."""
    role = Membership.objects.filter(account=account, box=box).values_list("role", flat=True)
    found = role.first()
    return None if found is None else Role(found)


def participants(box: Box) -> list[dict[str, str]]:
    """Return `[{"user": account id, "role": role}]`, the owner first, as the box is told them."""
    rows = box.memberships.order_by("created_at", "id").values_list("account_id", "role")
    return [
        {"user": user, "role": role}
        for user, role in sorted(rows, key=lambda row: row[1] != Role.OWNER)
    ]


def members(box: Box) -> QuerySet[Membership]:
    """Return the team of a box with its accounts, in order of joining."""
    return box.memberships.select_related("account").order_by("created_at", "id")


def offered_tiers() -> QuerySet[Tier]:
    """Return the tiers a new box can have, in order of display."""
    return Tier.objects.filter(offered=True)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a box's latest job is. `settled`: nothing will change by itself."""

    job: Job | None
    steps: tuple[JobStep, ...]
    settled: bool


def progress_of(box: Box) -> Progress:
    """Return the steps of the box's latest job."""
    job = box.jobs.order_by("-created_at").first()
    steps = tuple(job.steps.all()) if job is not None else ()
    open_job = job is not None and job.state in JOB_OPEN
    settled = not open_job and box.state in BOX_SETTLED
    return Progress(job, steps, settled)


def find_job(account: Account, job_id: UUID) -> Job | None:
    """Return a job that the account asked for, or on a box it takes part in."""
    jobs = Job.objects.filter(pk=job_id).prefetch_related("steps")
    job = jobs.first()
    if job is None:
        return None
    if job.requested_by_id == account.pk or (job.box and role_in(account, job.box)):
        return job
    return None


def jobs_of(account: Account) -> QuerySet[Job]:
    """Return the jobs the account asked for, and those on its boxes; newest first."""
    mine = Job.objects.filter(requested_by=account)
    on_my_boxes = Job.objects.filter(box__memberships__account=account)
    return (mine | on_my_boxes).distinct().prefetch_related("steps").order_by("-created_at")


def job_is_open(job_id: UUID) -> bool:
    """Return whether the job still wants doing."""
    return Job.objects.filter(pk=job_id, state__in=JOB_OPEN).exists()


def due_jobs(now: datetime) -> list[Job]:
    """Return the open jobs whose moment has come, oldest first."""
    return list(
        Job.objects.filter(state__in=JOB_OPEN, due_at__lte=now, box__isnull=False).order_by(
            "created_at"
        )
    )


def next_job_of(box_id: UUID, now: datetime) -> Job | None:
    """Return the box's oldest queued job that is due."""
    return (
        Job.objects.filter(box_id=box_id, state=JobState.QUEUED, due_at__lte=now)
        .order_by("created_at")
        .first()
    )


def boxes_without_job() -> list[Box]:
    """Return the boxes that no job is working on or due to."""
    return list(Box.objects.exclude(jobs__state__in=JOB_OPEN).select_related("tier"))


def audit_of(box_name: str, limit: int = 20) -> list[AuditRecord]:
    """Return the latest audit records about a box."""
    return list(AuditRecord.objects.filter(subject=box_name)[:limit])


def state_of(box_id: UUID) -> BoxState | None:
    """Return the box's state; None when it is gone."""
    state = Box.objects.filter(pk=box_id).values_list("state", flat=True).first()
    return None if state is None else BoxState(state)
