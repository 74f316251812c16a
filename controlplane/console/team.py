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
from controlplane.console.forms import CollaboratorForm
from tenants import selectors
from tenants.errors import ForbiddenError, InvalidRequestError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@login_required
@require_safe
def box_settings(request: HttpRequest, name: str) -> HttpResponse:
    return _page(request, name, CollaboratorForm())


def _page(
    request: HttpRequest, name: str, form: CollaboratorForm, status: int = 200
) -> HttpResponse:
    box, role = find_box(request, name)
    context = box_context(request, box, role, "settings") | {
        "members": selectors.members(box),
        "form": form,
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
