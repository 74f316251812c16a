"""Accounts: signing up, confirming, passwords, and the cluster's superuser."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction

from tenants.models import SUPERUSER_ID, Account
from tenants.services import audit


def register_account(email: str, password: str) -> Account | None:
    """Make an unconfirmed account; None if the email belongs to a confirmed one.

    The work done is the same either way (the hash is what takes time), so that the answer's
    duration tells nothing. Signing up again before confirming replaces the password, which also
    makes the earlier confirmation link void: the first comer cannot keep someone else's address.
    """
    email = email.lower()
    hashed = make_password(password)
    with transaction.atomic():
        account = Account.objects.select_for_update().filter(email=email).first()
        if account is None:
            try:
                with transaction.atomic():
                    account = Account.objects.create(email=email, password=hashed)
            except IntegrityError:  # signed up twice at the same moment
                return None
        elif account.is_active:
            audit.record(account.id, "account.register", account.id, "exists")
            return None
        else:
            account.password = hashed
            account.save(update_fields=["password"])
        audit.record(account.id, "account.register", account.id)
    return account


@transaction.atomic
def confirm_account(account: Account) -> None:
    """Let the account sign in. Repeatable."""
    changed = Account.objects.filter(pk=account.pk, is_active=False).update(is_active=True)
    account.is_active = True
    if changed:
        audit.record(account.id, "account.confirm", account.id)


@transaction.atomic
def change_password(account: Account, password: str) -> None:
    """Set a new password, which ends the account's other sessions and voids its reset links."""
    account.set_password(password)
    account.save(update_fields=["password"])
    audit.record(account.id, "account.password", account.id)


@transaction.atomic
def ensure_account(email: str, password: str) -> Account:
    """Return the confirmed account of that email with that password, made if need be."""
    account, _ = Account.objects.get_or_create(email=email.lower())
    change_password(account, password)
    confirm_account(account)
    return account


def ensure_superuser() -> Account:
    """Return the account that stands for the cluster's superuser. It cannot sign in to pages."""
    account, made = Account.objects.get_or_create(
        pk=SUPERUSER_ID, defaults={"is_active": False, "password": make_password(None)}
    )
    if made:
        audit.record(audit.SYSTEM, "account.register", account.id)
    return account
