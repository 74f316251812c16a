"""Signing in and out, and choosing a new password with a link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import authenticate, login, logout
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from controlplane import tasks
from controlplane.console import links, throttle
from controlplane.console.errors import error_page
from controlplane.console.forms import NewPasswordForm, RequestResetForm, SignInForm
from controlplane.provisioning.queue import quietly
from tenants import selectors
from tenants.services import accounts, audit

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    following = _local_path(request, request.POST.get("next") or request.GET.get("next", ""))
    if request.user.is_authenticated:
        return redirect(following or "boxes")
    form = SignInForm(request.POST or None)
    context = {"form": form, "next": following}
    if request.method != "POST" or not form.is_valid():
        return render(request, "console/sign_in.html", context)
    email = form.cleaned_data["email"]
    if not throttle.may_sign_in(request, email):
        return error_page(request, 429)
    account = authenticate(request, username=email.lower(), password=form.cleaned_data["password"])
    if account is None:
        # One sentence for all: unknown, unconfirmed and mistyped look alike.
        form.add_error(None, "Email or password is wrong, or the address is not confirmed yet.")
        return render(request, "console/sign_in.html", context, status=403)
    throttle.signed_in(request, email)
    login(request, account)
    audit.record(account.pk, "account.sign-in", account.pk)
    return redirect(following or "boxes")


def _local_path(request: HttpRequest, text: str) -> str:
    """Return the path to go on to, if it leads nowhere but to this console; else ""."""
    safe = url_has_allowed_host_and_scheme(
        text, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return text if safe and text.startswith("/") else ""


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("sign-in")


@require_http_methods(["GET", "HEAD", "POST"])
def request_reset(request: HttpRequest) -> HttpResponse:
    form = RequestResetForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        context = {"form": form, "mailed": links.mail_is_configured()}
        return render(request, "console/request_reset.html", context)
    email = form.cleaned_data["email"].lower()
    address = throttle.client_address(request)
    if not throttle.is_allowed(throttle.RESET_ADDRESS, "reset-from", address):
        return error_page(request, 429)
    account = selectors.find_account(email)
    if account is not None and throttle.is_allowed(throttle.RESET_EMAIL, "reset", email):
        if links.mail_is_configured():
            quietly(tasks.send_reset, account.pk)
        else:
            token = links.make_token(links.RESET, account)
            links.log_link("password link", links.reset_url(token))
    return redirect("reset-sent")


@require_safe
def reset_sent(request: HttpRequest) -> HttpResponse:
    context = {"mailed": links.mail_is_configured()}
    return render(request, "console/reset_sent.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: HttpRequest, token: str) -> HttpResponse:
    try:
        account = links.read_token(links.RESET, token)
    except links.LinkError:
        account = None
    if account is None:
        return render(request, "console/link_void.html", {"again": "request-reset"}, status=410)
    form = NewPasswordForm(request.POST or None, account=account)
    if request.method != "POST" or not form.is_valid():
        return render(request, "console/reset.html", {"form": form})
    accounts.change_password(account, form.cleaned_data["password"])
    return render(request, "console/reset_done.html")
