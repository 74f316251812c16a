"""Boxes: requesting, deleting, trying again, the first secret.

A verb records what is desired and the job that shall bring it about; it starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from tenants import selectors
from tenants.environment import check_environment
from tenants.errors import (
    BoxNameTakenError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
)
from tenants.models import MANAGERS, Account, Box, Job, JobKind, Membership, Purpose, Role, Tier
from tenants.names import InvalidBoxNameError, check_box_name
from tenants.services import audit
from tenants.services.jobs import open_job
from tenants.services.team import check_limit
from tenants.states import BoxState, check_box_transition
from tenants.versions import check_fhir_version

MAX_DESCRIPTION = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxDraft:
    """What a person asks for; unchecked."""

    name: str
    fhir_version: str
    purpose: str = Purpose.DEVELOPMENT
    tier: str = "free"
    description: str = ""
    environment: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FirstSecret:
    """The first client's secret as it may be stored: its hash, and itself sealed ("" if shown)."""

    hash: str
    sealed: str


def request_box(
    account: Account, draft: BoxDraft, secret: FirstSecret, *, ports: range
) -> tuple[Box, Job]:
    """Record a box and the job that makes it.

    `ports`: loopback ports to choose a free one from; empty for none.
    Raises InvalidRequestError, BoxNameTakenError, BoxLimitError.
    """
    try:
        name = check_box_name(draft.name)
    except InvalidBoxNameError as error:
        raise InvalidRequestError("name", str(error)) from None
    version = check_fhir_version(draft.fhir_version)
    environment = check_environment(draft.environment)
    if draft.purpose not in Purpose.values:
        raise InvalidRequestError("purpose", "Choose development, staging or production.")
    if len(draft.description) > MAX_DESCRIPTION or "\0" in draft.description:
        raise InvalidRequestError(
            "description", f"A description has at most {MAX_DESCRIPTION} characters."
        )
    tier = Tier.objects.filter(pk=draft.tier, offered=True).first()
    if tier is None:
        raise InvalidRequestError("tier", "This tier is not offered.")
    with transaction.atomic():
        # One creation at a time per account, so that two cannot both pass the limit.
        Account.objects.select_for_update().get(pk=account.pk)
        check_limit(account, tier)
        _lock_ports()
        try:
            with transaction.atomic():
                box = Box.objects.create(
                    name=name,
                    description=draft.description,
                    purpose=draft.purpose,
                    fhir_version=version,
                    tier=tier,
                    environment=environment,
                    loopback_port=_free_port(ports),
                    client_secret_hash=secret.hash,
                    sealed_client_secret=secret.sealed,
                )
        except IntegrityError:
            raise BoxNameTakenError(name) from None
        Membership.objects.create(box=box, account=account, role=Role.OWNER)
        job = open_job(box, JobKind.CREATE, account)
        audit.record(account.pk, "box.create", name, "requested", tier=tier.pk)
    return box, job


def _lock_ports() -> None:
    """Let one creation at a time choose a port, until its transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('tenants.box.loopback_port'))")


def _free_port(ports: range) -> int | None:
    """Return the lowest port of the range that no box has; None when there is none."""
    used = set(Box.objects.exclude(loopback_port=None).values_list("loopback_port", flat=True))
    return next((port for port in ports if port not in used), None)


@transaction.atomic
def change_loopback_port(box: Box, ports: range) -> None:
    """Give the box the next higher free port of the range, none if there is no more; saved.

    For a port that its machine refuses: the ports below were refused before, or are taken.
    """
    _lock_ports()
    current = Box.objects.select_for_update().get(pk=box.pk)
    higher = range(max(ports.start, (box.loopback_port or 0) + 1), ports.stop)
    box.loopback_port = _free_port(higher)
    box.generation = current.generation + 1
    box.save(update_fields=["loopback_port", "generation", "updated_at"])


def request_deletion(account: Account, name: str, *, as_superuser: bool = False) -> Job:
    """Record that the box shall go, and the job that removes it. Repeatable while it goes.

    Raises NoSuchBoxError, ForbiddenError (only the owner deletes).
    """
    with transaction.atomic():
        box = selectors.get_box(account, name, as_superuser=as_superuser, lock=True)
        allowed = as_superuser or selectors.role_in(account, box) == Role.OWNER
        if allowed:
            if box.state != BoxState.DELETING:
                set_box_state(box, BoxState.DELETING)
                audit.record(account.pk, "box.delete", name, "requested")
            return open_job(box, JobKind.DELETE, account)
    # Outside the transaction, which the error would undo: an attempt is worth a record.
    audit.record(account.pk, "box.delete", name, "forbidden")
    raise ForbiddenError("Only owner can delete box.")


@transaction.atomic
def request_retry(account: Account, name: str) -> Job:
    """Record another try for a failed box. Raises NoSuchBoxError, ForbiddenError, ConflictError."""
    box = selectors.get_box(account, name, lock=True)
    if selectors.role_in(account, box) not in MANAGERS:
        raise ForbiddenError("Only the owner or an admin can do this.")
    if box.state != BoxState.FAILED:
        raise ConflictError("Only a failed box can be tried again.")
    audit.record(account.pk, "box.retry", name, "requested")
    return open_job(box, JobKind.REPAIR if box.ready_at else JobKind.CREATE, account)


@transaction.atomic
def request_restart(account: Account, name: str, *, as_superuser: bool = False) -> Job:
    """Record that a ready box shall have a new process, its role its own password again.

    Mends what nobody can see from outside, such as a password changed in the database.
    Raises NoSuchBoxError, ForbiddenError, ConflictError.
    """
    box = selectors.get_box(account, name, as_superuser=as_superuser, lock=True)
    if not as_superuser and selectors.role_in(account, box) not in MANAGERS:
        raise ForbiddenError("Only the owner or an admin can do this.")
    if box.state not in (BoxState.READY, BoxState.REPAIRING):
        raise ConflictError("Only a box that is ready can be restarted.")
    box.generation += 1
    box.save(update_fields=["generation", "updated_at"])
    audit.record(account.pk, "box.restart", name, "requested")
    return open_job(box, JobKind.REPAIR, account)


@transaction.atomic
def take_client_secret(account: Account, name: str) -> str:
    """Return the sealed secret of the first client and forget it; empty if already taken.

    Raises NoSuchBoxError, ForbiddenError.
    """
    box = selectors.get_box(account, name, lock=True)
    if selectors.role_in(account, box) not in MANAGERS:
        raise ForbiddenError("Only the owner or an admin can see this secret.")
    sealed = box.sealed_client_secret
    if sealed:
        box.sealed_client_secret = ""
        box.save(update_fields=["sealed_client_secret", "updated_at"])
        audit.record(account.pk, "box.secret", name, "shown")
    return sealed


def set_box_state(box: Box, state: BoxState, *, fault_code: str = "") -> None:
    """Move a box to another state. The caller holds the row or the box's lock.

    Raises TransitionError. Nothing but this writes `Box.state`.
    """
    check_box_transition(BoxState(box.state), state)
    box.state = state
    box.fault_code = fault_code
    if state == BoxState.READY and box.ready_at is None:
        box.ready_at = timezone.now()
    box.save(update_fields=["state", "fault_code", "ready_at", "updated_at"])
