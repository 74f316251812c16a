"""The rows of the control plane: accounts, tiers, boxes, memberships, jobs, audit.

Rows only; what may happen to them stands in `services`, questions about them in `selectors`.
Columns named `sealed_*` hold text encrypted with the cluster key, which this app never sees.
"""

from __future__ import annotations

import secrets
import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from tenants.states import JOB_OPEN, BoxState, JobState

SUPERUSER_ID = "root"
"""Account of the cluster's superuser (`AIDBOX_SUPERUSER`). It has no email and no password here."""


def new_account_id() -> str:
    """Return a fresh account id: text, because it also stands in the records of boxes."""
    return "a" + secrets.token_hex(10)


class AccountManager(BaseUserManager["Account"]):
    def get_by_natural_key(self, username: str | None) -> Account:
        """Find by email without regard to case; the column itself is kept in lower case."""
        return self.get(email=(username or "").lower())


class Account(AbstractBaseUser):
    """A person (or the superuser) who takes part in boxes. `is_active` = the email is confirmed."""

    id = models.CharField(primary_key=True, max_length=40, default=new_account_id, editable=False)
    email = models.EmailField(unique=True, null=True, blank=True, max_length=254)
    is_active = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AccountManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(email=Lower("email")), name="account_email_lower"),
        ]

    def __str__(self) -> str:
        return self.id


class Tier(models.Model):
    """A commercial level and the limits of its boxes. Prices are configuration, not columns."""

    id = models.SlugField(primary_key=True, max_length=40)
    title = models.CharField(max_length=80)
    summary = models.CharField(max_length=200)
    position = models.PositiveSmallIntegerField(default=0)
    boxes_per_account = models.PositiveSmallIntegerField()
    memory_mb = models.PositiveIntegerField()
    cpu_percent = models.PositiveIntegerField()
    database_connections = models.PositiveSmallIntegerField()
    http_connections = models.PositiveIntegerField()
    idle_exit_s = models.PositiveIntegerField()
    offered = models.BooleanField(default=True)

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.title


class Purpose(models.TextChoices):
    DEVELOPMENT = "development", "Development"
    STAGING = "staging", "Staging"
    PRODUCTION = "production", "Production"


class Box(models.Model):
    """A box as it shall be, and how far it is.

    The row disappears when the box is wholly deleted, which is what frees its name.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=40, unique=True)
    description = models.CharField(max_length=500, blank=True)
    purpose = models.CharField(max_length=20, choices=Purpose.choices, default=Purpose.DEVELOPMENT)
    fhir_version = models.CharField(max_length=10)
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT)
    environment = models.JSONField(default=dict, blank=True)
    """The caller's own settings, keys in kebab-case as they were sent."""
    state = models.CharField(max_length=20, default=BoxState.REQUESTED)
    fault_code = models.CharField(max_length=80, blank=True)
    """Stable code of the last failure, `box:<part>:<what>`; empty when all is well."""
    generation = models.PositiveIntegerField(default=1)
    """Rises with every change of what the process is given; a higher one restarts it."""
    loopback_port = models.PositiveIntegerField(null=True, unique=True)
    client_id = models.CharField(max_length=64, default="root")
    client_secret_hash = models.CharField(max_length=75)
    """`__sha256:<hex>` of the first client's secret, 256 random bits: what the box is given."""
    sealed_credentials = models.TextField(blank=True)
    """Database password and keys; see `controlplane.provisioning.credentials`."""
    sealed_client_secret = models.TextField(blank=True)
    """The first client's secret itself, until it has been shown once."""
    ready_at = models.DateTimeField(null=True)
    """When it first answered. A box that was once ready has data: its database is never remade."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "boxes"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=list(BoxState)), name="box_state_known"),
        ]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    WRITER = "writer", "Writer"
    READER = "reader", "Reader"


MANAGERS = frozenset({Role.OWNER, Role.ADMIN})
"""Who manages a box's collaborators, its secret and its repair."""


class Membership(models.Model):
    """An account's part in a box. Exactly one owner; `services` keeps that there is one."""

    box = models.ForeignKey(Box, on_delete=models.CASCADE, related_name="memberships")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["box", "account"], name="membership_once"),
            models.UniqueConstraint(
                fields=["box"], condition=Q(role=Role.OWNER), name="membership_one_owner"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.role} of {self.box_id}"


class JobKind(models.TextChoices):
    CREATE = "create", "Create"
    REPAIR = "repair", "Repair"
    DELETE = "delete", "Delete"


class Job(models.Model):
    """One piece of work on one box. Outlives its box, so that a deletion can be looked up."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=JobKind.choices)
    box = models.ForeignKey(Box, on_delete=models.SET_NULL, null=True, related_name="jobs")
    box_name = models.CharField(max_length=40)
    state = models.CharField(max_length=10, default=JobState.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    fault_code = models.CharField(max_length=80, blank=True)
    requested_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    """Not before this moment; moved forward after a failed attempt."""
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=list(JobState)), name="job_state_known"),
            models.UniqueConstraint(
                fields=["box", "kind"],
                condition=Q(state__in=sorted(JOB_OPEN)),
                name="job_one_open_per_kind",
            ),
        ]
        indexes = [models.Index(fields=["state", "due_at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.box_name}"


class JobStep(models.Model):
    """How far a job is: one row per step, begun again on a further attempt."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=20)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    failed = models.BooleanField(default=False)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "name"], name="job_step_once"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} {self.name}"


class AuditRecord(models.Model):
    """Who did what, when, with what result. Append-only: a trigger refuses changes.

    `actor` and `subject` are ids or box names as text, so that records outlive what they name.
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=40)
    action = models.CharField(max_length=40)
    subject = models.CharField(max_length=80, db_index=True)
    result = models.CharField(max_length=80)
    detail = models.JSONField(default=dict)
    """Ids, roles, states and codes; never names of people, secrets or data."""

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}: {self.result}"


class RateWindow(models.Model):
    """Attempts counted in a stretch of time. `key` is a keyed hash: nobody can be read from it."""

    key = models.CharField(primary_key=True, max_length=64)
    started_at = models.DateTimeField()
    attempts = models.PositiveIntegerField()

    class Meta:
        indexes = [models.Index(fields=["started_at"])]

    def __str__(self) -> str:
        return f"{self.attempts} since {self.started_at:%H:%M:%S}"
