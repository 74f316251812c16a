"""Credentials for the admin API: OAuth applications that act as the account that made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from oauth2_provider.generators import generate_client_id, generate_client_secret
from oauth2_provider.models import Application, get_application_model

from tenants.services import audit

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from tenants.models import Account


@dataclass(frozen=True, slots=True)
class NewCredential:
    name: str
    client_id: str
    secret: str
    """Only its hash is kept: this is the one moment it can be seen."""

    def __repr__(self) -> str:
        return f"NewCredential({self.client_id})"


def credentials_of(account: Account) -> QuerySet[Application]:
    """Return the account's credentials, newest first."""
    return get_application_model().objects.filter(user=account).order_by("-created")


@transaction.atomic
def create_credential(account: Account, name: str) -> NewCredential:
    """Make a credential for the client-credentials grant."""
    secret = generate_client_secret()
    made = get_application_model().objects.create(
        user=account,
        name=name,
        client_id=generate_client_id(),
        client_secret=secret,  # hashed on saving
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    audit.record(account.pk, "credential.create", str(made.pk))
    return NewCredential(name, made.client_id, secret)


@transaction.atomic
def delete_credential(account: Account, pk: int) -> bool:
    """Delete a credential with its tokens; False if the account has no such one."""
    deleted, _ = credentials_of(account).filter(pk=pk).delete()
    if deleted:
        audit.record(account.pk, "credential.delete", str(pk))
    return bool(deleted)
