"""What pages and APIs do with boxes: the verbs of `tenants`, secrets, tokens and the queue joined.

Every verb records first and then tells the broker; when the broker is away the record stays and
the sweep finds it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.addresses import access_url, box_host
from controlplane.boxclient import BoxClient
from controlplane.environment import get_environment
from controlplane.provisioning import queue
from controlplane.provisioning.credentials import hash_client_secret, make_client_secret
from controlplane.provisioning.platform import cluster_key
from tenants import selectors
from tenants.errors import NoSuchBoxError
from tenants.models import SUPERUSER_ID, Role
from tenants.services import audit, boxes, jobs, team
from tenants.services.boxes import BoxDraft, FirstSecret
from tenants.states import BOX_SETTLED, BoxState

if TYPE_CHECKING:
    from uuid import UUID

    from tenants.models import Account, Box, Job

POLL_S = 0.03


@dataclass(frozen=True, slots=True)
class Created:
    box: Box
    job: Job
    secret: str
    """The first client's, in the clear: for whoever asked for the box, and nobody else."""
    sent: bool
    """Whether the broker took the job; if not it begins when the sweep finds it."""

    def __repr__(self) -> str:
        return f"Created({self.box.name})"


def create_box(account: Account, draft: BoxDraft, *, show_later: bool) -> Created:
    """Record a box and start making it.

    `show_later`: keep the first client's secret, sealed, until it has been shown once; else the
    caller shows it now. Raises InvalidRequestError, BoxNameTakenError, BoxLimitError.
    """
    secret = make_client_secret()
    sealed = cluster_key().seal(secret) if show_later else ""
    box, job = boxes.request_box(
        account,
        draft,
        FirstSecret(hash_client_secret(secret), sealed),
        ports=get_environment().loopback_ports,
    )
    return Created(box, job, secret, queue.send(job.id))


def delete_box(account: Account, name: str, *, as_superuser: bool = False) -> tuple[Job, bool]:
    """Start deleting a box; return its job and whether the broker took it.

    Raises NoSuchBoxError, ForbiddenError.
    """
    job = boxes.request_deletion(account, name, as_superuser=as_superuser)
    return job, queue.send(job.id)


def retry_box(account: Account, name: str) -> bool:
    """Try again to make or repair a failed box; return whether the broker took the job.

    Raises NoSuchBoxError, ForbiddenError, ConflictError.
    """
    return queue.send(boxes.request_retry(account, name).id)


def restart_box(account: Account, name: str, *, as_superuser: bool = False) -> tuple[Job, bool]:
    """Give a ready box a new process; return the job and whether the broker took it.

    Raises NoSuchBoxError, ForbiddenError, ConflictError.
    """
    job = boxes.request_restart(account, name, as_superuser=as_superuser)
    return job, queue.send(job.id)


def add_collaborator(
    actor: Account, name: str, user: str, role: str, *, as_superuser: bool = False
) -> Box:
    """Give an account a role in the box and tell the box. See `tenants.services.team`."""
    box = team.add_collaborator(actor, name, user, role, as_superuser=as_superuser)
    _tell(box)
    return box


def remove_collaborator(actor: Account, name: str, user: str) -> None:
    """Take an account out of the box and tell the box. See `tenants.services.team`."""
    _tell(team.remove_collaborator(actor, name, user))


def transfer_ownership(actor: Account, name: str, user: str) -> None:
    """Make another account the owner and tell the box. See `tenants.services.team`."""
    _tell(team.transfer_ownership(actor, name, user))


def _tell(box: Box) -> None:
    """Let the box's process know its participants."""
    job = jobs.open_missing_job(box.id) if box.state == BoxState.READY else None
    if job is not None:
        queue.send(job.id)


def reveal_secret(account: Account, name: str) -> str:
    """Return the first client's secret the one time; "" ever after.

    Raises NoSuchBoxError, ForbiddenError.
    """
    sealed = boxes.take_client_secret(account, name)
    return cluster_key().unseal(sealed) if sealed else ""


def wait_until_settled(box_id: UUID, limit_s: float) -> BoxState | None:
    """Wait until the box is ready or failed or gone (None); its state when time is up."""
    deadline = time.monotonic() + limit_s
    while True:
        state = selectors.state_of(box_id)
        if state is None or state in BOX_SETTLED:
            return state
        if time.monotonic() > deadline:
            return state
        time.sleep(POLL_S)


def wait_until_done(job_id: UUID, limit_s: float) -> bool:
    """Wait until the job is closed, however it went; False when time is up."""
    deadline = time.monotonic() + limit_s
    while selectors.job_is_open(job_id):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def wait_until_gone(box_id: UUID, limit_s: float) -> bool:
    """Wait until the box's row is gone; False when time is up."""
    deadline = time.monotonic() + limit_s
    while selectors.state_of(box_id) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


@dataclass(frozen=True, slots=True)
class Access:
    """A person's way into a box, for some minutes."""

    token: str
    url: str

    def __repr__(self) -> str:
        return "Access(…)"


def grant_access(
    account: Account, box: Box, path: str = "/", *, as_superuser: bool = False
) -> Access:
    """Return a token for the box and a link that signs the person in there, once.

    The superuser acts as `root`, everyone else as themselves in their role.
    Raises NoSuchBoxError if the account takes no part in the box (any more).
    """
    token = _mint(account, box, "access", as_superuser=as_superuser)
    sudo = _mint(account, box, "sudo", as_superuser=as_superuser)
    audit.record(account.pk, "box.access", box.name, "granted")
    return Access(token, access_url(box.name, sudo, path, get_environment()))


def open_client(account: Account, box: Box) -> BoxClient:
    """Return a client that reads the box as the person. Raises NoSuchBoxError."""
    token = _mint(account, box, "access")
    return BoxClient(
        get_environment().box_socket(box.name), box_host(box.name, get_environment()), token
    )


def _mint(account: Account, box: Box, kind: str, *, as_superuser: bool = False) -> str:
    if as_superuser:
        subject, name, role = SUPERUSER_ID, SUPERUSER_ID, Role.OWNER
    else:
        found = selectors.role_in(account, box)
        if found is None:
            raise NoSuchBoxError(box.name)
        subject, name, role = account.pk, account.email or account.pk, found
    return cluster_key().mint_token(box.name, subject=subject, name=name, role=str(role), kind=kind)
