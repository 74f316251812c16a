"""Who takes part in a box, in which role. Source: platform specification, "Box settings and team".

Exactly one owner, who alone deletes or hands over; owner and admins manage the others.
"""

from __future__ import annotations

from django.db import transaction

from tenants import selectors
from tenants.errors import BoxLimitError, ForbiddenError, InvalidRequestError
from tenants.models import MANAGERS, SUPERUSER_ID, Account, Box, Membership, Role, Tier
from tenants.services import audit


@transaction.atomic
def add_collaborator(
    actor: Account, name: str, user: str, role: str, *, as_superuser: bool = False
) -> Box:
    """Give an account (by id or exact email) a role in the box. Repeatable; changes the role.

    Raises NoSuchBoxError, ForbiddenError, InvalidRequestError.
    """
    box = selectors.get_box(actor, name, as_superuser=as_superuser, lock=True)
    if not as_superuser and selectors.role_in(actor, box) not in MANAGERS:
        raise ForbiddenError("Only the owner or an admin can add collaborators.")
    if role not in Role.values or role == Role.OWNER:
        raise InvalidRequestError("role", "The role is admin, writer or reader.")
    account = selectors.find_account(user)
    if account is None:
        raise InvalidRequestError("user", "No such user.")
    member = box.memberships.filter(account=account).first()
    if member is not None and member.role == Role.OWNER:
        raise InvalidRequestError("user", "This account owns the box.")
    if member is None or member.role != role:
        Membership.objects.update_or_create(box=box, account=account, defaults={"role": role})
        _record(box, actor, "added", account, role)
    return box


@transaction.atomic
def remove_collaborator(actor: Account, name: str, user: str) -> Box:
    """Take an account (by id) out of the box. Repeatable; anyone but the owner may leave.

    Raises NoSuchBoxError, ForbiddenError, InvalidRequestError.
    """
    box = selectors.get_box(actor, name, lock=True)
    if user != actor.pk and selectors.role_in(actor, box) not in MANAGERS:
        raise ForbiddenError("Only the owner or an admin can remove collaborators.")
    member = box.memberships.filter(account_id=user).select_related("account").first()
    if member is not None:
        if member.role == Role.OWNER:
            raise InvalidRequestError("user", "The owner stays until the box has another.")
        member.delete()
        _record(box, actor, "removed", member.account, member.role)
    return box


@transaction.atomic
def transfer_ownership(actor: Account, name: str, user: str) -> Box:
    """Make a collaborator (by id) the owner; the former owner becomes an admin.

    Raises NoSuchBoxError, ForbiddenError, InvalidRequestError, BoxLimitError.
    """
    box = selectors.get_box(actor, name, lock=True)
    if selectors.role_in(actor, box) != Role.OWNER:
        raise ForbiddenError("Only the owner can hand the box over.")
    # Locked as in creating a box: neither way may pass the limit of a tier at the same moment.
    heir = Account.objects.select_for_update().filter(pk=user, memberships__box=box).first()
    if heir is None or heir == actor:
        raise InvalidRequestError("owner", "Choose one of the collaborators.")
    check_limit(heir, box.tier)
    Membership.objects.filter(box=box, account=actor).update(role=Role.ADMIN)
    Membership.objects.filter(box=box, account=heir).update(role=Role.OWNER)
    _record(box, actor, "handed over", heir, Role.OWNER)
    return box


def check_limit(account: Account, tier: Tier) -> None:
    """Raise BoxLimitError if the account owns as many boxes of the tier as it may.

    The caller holds the account's row.
    """
    owned = selectors.owned_boxes(account).filter(tier=tier).count()
    if account.pk != SUPERUSER_ID and owned >= tier.boxes_per_account:
        raise BoxLimitError(
            f"The tier {tier.title} has room for {tier.boxes_per_account} boxes. "
            "Delete one or choose another tier."
        )


def _record(box: Box, actor: Account, result: str, account: Account, role: str) -> None:
    box.generation += 1  # the process is told its participants at start
    box.save(update_fields=["generation", "updated_at"])
    audit.record(actor.pk, "box.collaborator", box.name, result, account=account.pk, role=role)
