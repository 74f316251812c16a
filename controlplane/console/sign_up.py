"""Signing up: email and password, then a link that proves the address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from controlplane import tasks
from controlplane.console import links, throttle
from controlplane.console.errors import error_page
from controlplane.console.forms import SignUpForm
from controlplane.provisioning.queue import quietly
from tenants import selectors
from tenants.services import accounts

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("boxes")
    form = SignUpForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "console/sign_up.html", {"form": form})
    if not throttle.is_allowed(
        throttle.SIGN_UP_ADDRESS, "sign-up", throttle.client_address(request)
    ):
        return error_page(request, 429)
    email = form.cleaned_data["email"]
    account = accounts.register_account(email, form.cleaned_data["password"])
    if links.mail_is_configured():
        known = account or selectors.find_account(email)
        if known is not None:
            quietly(tasks.send_confirmation, known.pk)
    else:
        token = (
            links.make_decoy(links.CONFIRM)
            if account is None
            else links.make_token(links.CONFIRM, account)
        )
        url = links.confirm_url(token)
        links.log_link("confirmation link", url)
        request.session["confirm_url"] = url
    return redirect("sign-up-sent")


@require_safe
def sent(request: HttpRequest) -> HttpResponse:
    url = None if links.mail_is_configured() else request.session.get("confirm_url")
    return render(request, "console/sign_up_sent.html", {"confirm_url": url})


@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm on POST only: programs that follow links in mails must not confirm anything."""
    try:
        account = links.read_token(links.CONFIRM, token)
    except links.LinkError:
        return render(request, "console/link_void.html", {"again": "sign-up"}, status=410)
    if request.method != "POST":
        return render(request, "console/confirm.html")
    if account is not None:
        accounts.confirm_account(account)
    request.session.pop("confirm_url", None)
    return render(request, "console/confirmed.html")
