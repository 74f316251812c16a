"""The links that prove an email address, and their delivery.

A link carries a signed account id and a fingerprint of what it may change, so that it is void as
soon as it was used. Signing up with a taken email yields a link that looks and acts the same and
changes nothing: nobody learns from it whether an address has an account.
"""

from __future__ import annotations

import hashlib
import logging
import secrets

from django.conf import settings
from django.core import signing
from django.core.mail import send_mail
from django.urls import reverse
from django.utils.crypto import constant_time_compare

from controlplane.environment import get_environment
from tenants import selectors
from tenants.models import Account, new_account_id

log = logging.getLogger(__name__)

CONFIRM = "halebox.confirm"
RESET = "halebox.reset"
MAX_AGE_S = {CONFIRM: 3 * 24 * 3600, RESET: 3600}


class LinkError(Exception):
    """The link is wrong, too old or was used."""


def make_token(purpose: str, account: Account) -> str:
    """Return the token of a link for the account."""
    return signing.dumps([account.pk, _fingerprint(account)], salt=purpose)


def make_decoy(purpose: str) -> str:
    """Return a token that belongs to nobody and looks like any other."""
    return signing.dumps([new_account_id(), secrets.token_hex(16)], salt=purpose)


def read_token(purpose: str, token: str) -> Account | None:
    """Return the account of a valid token; None for a decoy. Raises LinkError."""
    try:
        account_id, fingerprint = signing.loads(token, salt=purpose, max_age=MAX_AGE_S[purpose])
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise LinkError from error
    account = selectors.find_account_by_id(account_id)
    if account is not None and not constant_time_compare(fingerprint, _fingerprint(account)):
        raise LinkError
    return account


def _fingerprint(account: Account) -> str:
    """Change with the password and each sign-in."""
    text = f"{account.password}|{account.last_login}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def confirm_url(token: str) -> str:
    return get_environment().base_url + reverse("confirm", args=[token])


def reset_url(token: str) -> str:
    return get_environment().base_url + reverse("reset", args=[token])


def send_confirmation(account: Account) -> None:
    """Mail the confirmation link; to a confirmed account, say that there is nothing to confirm."""
    if account.is_active:
        _mail(
            account,
            "You already have a Halebox account",
            "Someone signed up with this address, which has an account. If it was you, sign in or "
            f"choose a new password: {get_environment().base_url}{reverse('request-reset')}",
        )
        return
    url = confirm_url(make_token(CONFIRM, account))
    _mail(account, "Confirm your Halebox account", f"Confirm this address: {url}")


def send_reset(account: Account) -> None:
    """Mail the link that chooses a new password."""
    url = reset_url(make_token(RESET, account))
    _mail(account, "Choose a new Halebox password", f"Within an hour: {url}")


def _mail(account: Account, subject: str, text: str) -> None:
    send_mail(subject, text + "\n", None, [account.email or ""])


def log_link(what: str, url: str) -> None:
    """Show a link to the operator where no mail server is configured.

    A reset link is never shown on a page: whoever asked for one could take over any account.
    """
    log.info("no mail server is configured: %s", what, extra={"link": url})


def mail_is_configured() -> bool:
    return bool(settings.MAIL_CONFIGURED)
