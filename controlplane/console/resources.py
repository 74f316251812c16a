"""The resources browser: types with counts, a list, one resource. Reads the box as the person."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from controlplane import boxes as verbs
from controlplane.boxclient import BoxClient, BoxDownError, BoxRefusedError
from controlplane.console.boxes import box_context, find_box
from controlplane.console.errors import error_page
from controlplane.console.json_view import render_json
from controlplane.console.summary import summarize
from tenants.states import BoxState

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

CONFIGURATION = frozenset(
    {
        "AccessPolicy", "AidboxConfig", "AidboxMigration", "AidboxProfile", "AidboxQuery",
        "AlphaSDC", "App", "Attribute", "AuthConfig", "BulkImportStatus", "Client",
        "CompartmentDefinition", "Entity", "Grant", "Hl7v2Config", "IdentityProvider", "Mapping",
        "Notification", "Operation", "PGSequence", "Registration", "Role", "Search",
        "SearchParameter", "SearchQuery", "Session", "SubsNotification", "SubsSubscription",
        "TokenIntrospector", "User",
    }
)  # fmt: skip
"""Types that describe and guard the box itself; shown apart from what it was made to hold."""

RESOURCE_ID = r"(?!\.\.?$)[^/]{1,255}"
"""Regular expression of the ids that have a page: ids of policies and operations may be longer than
FHIR's 64 characters and hold other ones, and whoever writes SQL may choose any."""
PAGE_SIZE = 25
MAX_PAGE = 10_000

Reader = Callable[..., tuple[str, dict[str, Any]]]


def _reads_box(read: Reader) -> Callable[..., HttpResponse]:
    """Turn `read(client, request, …) -> template, context` into a page.

    The box's refusals and silences become error pages.
    """

    @wraps(read)
    def view(request: HttpRequest, name: str, **path: str) -> HttpResponse:
        box, role = find_box(request, name)
        if box.state != BoxState.READY:
            return redirect("box", name)
        try:
            template, context = read(verbs.open_client(request.user, box), request, **path)
        except BoxDownError:
            return error_page(request, 503)
        except BoxRefusedError as error:
            return _refused(request, error.status)
        return render(request, template, box_context(request, box, role, "resources") | context)

    return login_required(require_safe(view))


def _refused(request: HttpRequest, status: int) -> HttpResponse:
    if status in (401, 403):
        return error_page(request, 403, text="The box's access policies do not let you see this.")
    if status in (404, 410):
        return error_page(request, 404, text="The box has no such type or resource.")
    if status == 400:
        return error_page(request, 400, text="The box could not read this request.")
    return error_page(request, 503)


@_reads_box
def types(client: BoxClient, request: HttpRequest) -> tuple[str, dict[str, Any]]:
    counts = client.count(client.resource_types())
    filled = sorted(
        ((kind, total) for kind, total in counts.items() if total),
        key=lambda row: (-row[1], row[0]),
    )
    data = [row for row in filled if row[0] not in CONFIGURATION]
    return "console/resource_types.html", {
        "filled": data,
        "configuration": [row for row in filled if row[0] in CONFIGURATION],
        "empty": [kind for kind, total in counts.items() if not total],
        "total": sum(total for _, total in data),
    }


@_reads_box
def listing(client: BoxClient, request: HttpRequest, kind: str) -> tuple[str, dict[str, Any]]:
    number = _page_number(request)
    page = client.list_page(kind, page=number, size=PAGE_SIZE)
    rows = [_row(resource) for resource in page.resources]
    return "console/resource_list.html", {
        "kind": kind,
        "rows": rows,
        "total": page.total,
        "first": (number - 1) * PAGE_SIZE + 1,
        "last": (number - 1) * PAGE_SIZE + len(rows),
        "previous": number - 1,
        "next": number + 1 if page.has_next else None,
    }


def _row(resource: dict[str, Any]) -> dict[str, Any]:
    rid = str(resource.get("id", ""))
    updated = str((resource.get("meta") or {}).get("lastUpdated", ""))
    return {
        "id": rid,
        "has_page": re.fullmatch(RESOURCE_ID, rid) is not None,
        "summary": summarize(resource),
        "updated": updated,
        "shown": updated[:19].replace("T", " "),
    }


def _page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "1")
    return min(max(int(text), 1), MAX_PAGE) if text.isdecimal() and len(text) < 6 else 1


@_reads_box
def one(client: BoxClient, request: HttpRequest, kind: str, rid: str) -> tuple[str, dict[str, Any]]:
    text = client.read(kind, rid)
    box_name = request.resolver_match.kwargs["name"] if request.resolver_match else ""
    return "console/resource.html", {
        "kind": kind,
        "rid": rid,
        "json": render_json(text, f"/boxes/{box_name}/resources"),
    }
