"""Pages about boxes: list, new, one box with its progress, its secret, its deletion."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from controlplane import boxes as verbs
from controlplane.addresses import box_url
from controlplane.console.errors import error_page
from controlplane.console.forms import DeleteBoxForm, NewBoxForm
from controlplane.environment import get_environment
from tenants import selectors
from tenants.errors import ConflictError, ForbiddenError, NoSuchBoxError, TenantsError
from tenants.models import MANAGERS, Box, Role
from tenants.names import InvalidBoxNameError, check_box_name
from tenants.services.boxes import BoxDraft
from tenants.states import BOX_SETTLED, BoxState
from tenants.versions import FHIR_VERSIONS

OPEN_PATH = "/"
"""Where "Open box" leads: a page every participant may see."""
BROKER_AWAY = (
    "The job queue does not answer at the moment. Your request is recorded and begins as soon as "
    "it does."
)


def find_box(request: HttpRequest, name: str) -> tuple[Box, Role]:
    """Return the box and the person's role in it. Raises Http404."""
    try:
        box = selectors.get_box(request.user, name)
    except NoSuchBoxError as error:
        raise Http404 from error
    role = selectors.role_in(request.user, box)
    if role is None:
        raise Http404
    return box, role


def box_context(request: HttpRequest, box: Box, role: Role, tab: str) -> dict[str, object]:
    """Return what every page about one box shows."""
    return {
        "box": box,
        "role": role,
        "tab": tab,
        "base_url": box_url(box.name, get_environment()),
        "is_owner": role == Role.OWNER,
        "is_manager": role in MANAGERS,
    }


@login_required
@require_safe
def box_list(request: HttpRequest) -> HttpResponse:
    boxes = [
        {
            "box": box,
            "role": box.my_memberships[0].role,
            "base_url": box_url(box.name, get_environment()),
        }
        for box in selectors.boxes_of(request.user)
    ]
    moving = any(row["box"].state not in BOX_SETTLED for row in boxes)
    template = "console/box_table.html" if request.htmx else "console/boxes.html"
    return render(request, template, {"boxes": boxes, "moving": moving})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_box(request: HttpRequest) -> HttpResponse:
    form = NewBoxForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        draft = BoxDraft(
            name=asked["name"],
            fhir_version=asked["fhir_version"],
            purpose=asked["purpose"],
            tier=asked["tier"].pk,
            description=asked["description"],
        )
        try:
            created = verbs.create_box(request.user, draft, show_later=True)
        except TenantsError as error:
            form.add_error(getattr(error, "field", "name"), _sentence(error))
        else:
            if not created.sent:
                messages.warning(request, BROKER_AWAY)
            return redirect("box", created.box.name)
    context = {
        "form": form,
        "domain": box_url("aaaaa", get_environment()).partition("//aaaaa")[2],
        "fhir_versions": FHIR_VERSIONS,
    }
    return render(request, "console/new_box.html", context)


def _sentence(error: TenantsError) -> str:
    text = str(error)
    return text if text.endswith(".") else text + "."


@login_required
@require_safe
def check_name(request: HttpRequest) -> HttpResponse:
    """Answer whether a name may be taken, as a line below the field."""
    name = request.GET.get("name", "")
    problem = ""
    if name:
        try:
            check_box_name(name)
        except InvalidBoxNameError as error:
            problem = str(error)
        else:
            if selectors.box_exists(name):
                problem = "This name is in use."
    return render(request, "console/name_check.html", {"name": name, "problem": problem})


@login_required
@require_safe
def box_page(request: HttpRequest, name: str) -> HttpResponse:
    box, role = find_box(request, name)
    return render(request, "console/box.html", _overview(request, box, role))


def _overview(request: HttpRequest, box: Box, role: Role) -> dict[str, object]:
    return box_context(request, box, role, "overview") | {
        "progress": selectors.progress_of(box),
        "console_url": get_environment().base_url,
        "secret_waits": bool(box.sealed_client_secret),
    }


@login_required
@require_safe
def progress(request: HttpRequest, name: str) -> HttpResponse:
    """Return the part of the box page that changes while a job runs.

    When the job ends the page is loaded anew, for much else of it changes then.
    """
    try:
        box, role = find_box(request, name)
    except Http404:
        # Deleted while watched.
        response = HttpResponse(status=200)
        response["HX-Redirect"] = request.build_absolute_uri("/boxes")
        return response
    context = _overview(request, box, role) | {"live": True}
    response = render(request, "console/progress.html", context)
    if context["progress"].settled:
        response["HX-Refresh"] = "true"
    return response


@login_required
@require_POST
def show_secret(request: HttpRequest, name: str) -> HttpResponse:
    """Show the first client's secret, this once. POST: reloading or prefetching shows nothing."""
    box, role = find_box(request, name)
    try:
        secret = verbs.reveal_secret(request.user, name)
    except ForbiddenError as error:
        return error_page(request, 403, text=str(error))
    if not secret:
        messages.info(request, "The secret has been shown before and cannot be shown again.")
        return redirect("box", name)
    box.refresh_from_db()
    return render(request, "console/box.html", _overview(request, box, role) | {"secret": secret})


@login_required
@require_POST
def retry(request: HttpRequest, name: str) -> HttpResponse:
    find_box(request, name)
    try:
        sent = verbs.retry_box(request.user, name)
    except (ForbiddenError, ConflictError) as error:
        messages.error(request, str(error))
    else:
        if not sent:
            messages.warning(request, BROKER_AWAY)
    return redirect("box", name)


@login_required
@require_POST
def restart(request: HttpRequest, name: str) -> HttpResponse:
    find_box(request, name)
    try:
        _, sent = verbs.restart_box(request.user, name)
    except (ForbiddenError, ConflictError) as error:
        messages.error(request, str(error))
    else:
        if not sent:
            messages.warning(request, BROKER_AWAY)
    return redirect("box", name)


@login_required
@require_safe
def open_box(request: HttpRequest, name: str) -> HttpResponse:
    """Sign the person in to the box and lead there."""
    box, _ = find_box(request, name)
    if box.state != BoxState.READY:
        return redirect("box", name)
    response = redirect(verbs.grant_access(request.user, box, OPEN_PATH).url)
    response["Referrer-Policy"] = "no-referrer"
    return response


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, name: str) -> HttpResponse:
    box, role = find_box(request, name)
    if role != Role.OWNER:
        return error_page(request, 403, text="Only the owner of a box can delete it.")
    form = DeleteBoxForm(request.POST or None, box_name=name)
    if request.method == "POST" and form.is_valid():
        _, sent = verbs.delete_box(request.user, name)
        if sent:
            messages.success(request, f"{name} is being deleted.")
        else:
            messages.warning(request, BROKER_AWAY)
        return redirect("boxes")
    context = box_context(request, box, role, "settings") | {"form": form}
    return render(request, "console/delete_box.html", context)
