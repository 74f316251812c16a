"""The account page: password, and credentials for the admin API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from controlplane.api import credentials
from controlplane.console.forms import ChangePasswordForm, CredentialForm
from controlplane.environment import get_environment
from tenants.services import accounts

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def _page(request: HttpRequest, status: int = 200, **parts: object) -> HttpResponse:
    context = {
        "password_form": ChangePasswordForm(account=request.user),
        "credential_form": CredentialForm(),
        "credentials": credentials.credentials_of(request.user),
        "console_url": get_environment().base_url,
    }
    return render(request, "console/account.html", context | parts, status=status)


@login_required
@require_safe
def account_page(request: HttpRequest) -> HttpResponse:
    return _page(request)


@login_required
@require_POST
def change_password(request: HttpRequest) -> HttpResponse:
    form = ChangePasswordForm(request.POST, account=request.user)
    if not form.is_valid():
        return _page(request, 422, password_form=form)
    accounts.change_password(request.user, form.cleaned_data["password"])
    update_session_auth_hash(request, request.user)
    messages.success(request, "Your password was changed. Other sessions have ended.")
    return redirect("account")


@login_required
@require_POST
def create_credential(request: HttpRequest) -> HttpResponse:
    """Show the new credential's secret once, on this very answer."""
    form = CredentialForm(request.POST)
    if not form.is_valid():
        return _page(request, 422, credential_form=form)
    made = credentials.create_credential(request.user, form.cleaned_data["name"])
    return _page(request, made=made)


@login_required
@require_POST
def delete_credential(request: HttpRequest, pk: int) -> HttpResponse:
    if credentials.delete_credential(request.user, pk):
        messages.success(request, "The credential and its tokens are gone.")
    return redirect("account")
