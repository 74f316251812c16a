"""A box's settings: what it is, who takes part in it, what was done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from controlplane import boxes as verbs
from controlplane.console.boxes import box_context, find_box
from controlplane.console.errors import error_page
from controlplane.console.forms import CollaboratorForm, TransferForm
from tenants import selectors
from tenants.errors import ForbiddenError, InvalidRequestError, TenantsError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@login_required
@require_safe
def box_settings(request: HttpRequest, name: str) -> HttpResponse:
    return _page(request, name, CollaboratorForm())


@login_required
@require_POST
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Take someone out of the team; whoever left it themselves has no business here any more."""
    find_box(request, name)
    user = request.POST.get("user", "")
    try:
        verbs.remove_collaborator(request.user, name, user)
    except (InvalidRequestError, ForbiddenError) as error:
        return error_page(request, 403, text=str(error))
    messages.success(request, "The team was changed.")
    return redirect("boxes") if user == request.user.pk else redirect("box-settings", name)


@login_required
@require_POST
def transfer(request: HttpRequest, name: str) -> HttpResponse:
    box, _ = find_box(request, name)
    form = TransferForm(request.POST, box=box)
    if form.is_valid():
        try:
            verbs.transfer_ownership(request.user, name, form.cleaned_data["owner"])
        except ForbiddenError as error:
            return error_page(request, 403, text=str(error))
        except TenantsError as error:
            form.add_error("owner", str(error))
        else:
            messages.success(request, "The box has another owner. You are an admin of it now.")
            return redirect("box-settings", name)
    return _page(request, name, CollaboratorForm(), 422, transfer_form=form)


def _page(
    request: HttpRequest,
    name: str,
    form: CollaboratorForm,
    status: int = 200,
    transfer_form: TransferForm | None = None,
) -> HttpResponse:
    box, role = find_box(request, name)
    context = box_context(request, box, role, "settings") | {
        "members": selectors.members(box),
        "form": form,
        "transfer_form": transfer_form or TransferForm(box=box),
        "records": selectors.audit_of(name),
    }
    return render(request, "console/box_settings.html", context, status=status)


@login_required
@require_POST
def add(request: HttpRequest, name: str) -> HttpResponse:
    find_box(request, name)
    form = CollaboratorForm(request.POST)
    if form.is_valid():
        try:
            verbs.add_collaborator(
                request.user, name, form.cleaned_data["user"], form.cleaned_data["role"]
            )
        except InvalidRequestError as error:
            form.add_error(error.field, str(error))
        except ForbiddenError as error:
            return error_page(request, 403, text=str(error))
        else:
            messages.success(request, "The team was changed.")
            return redirect("box-settings", name)
    return _page(request, name, form, status=422)
