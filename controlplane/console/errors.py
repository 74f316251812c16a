"""The error pages. They say what happened and what to do, and nothing about the inside."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from controlplane.failures import failure_id

RPC_PATH = "/rpc"
API_PATHS = ("/api/", RPC_PATH, "/o/")
_TEXTS = {
    400: ("That request made no sense", "Go back and try again."),
    403: ("You may not do this", "Your role does not allow it."),
    404: ("There is nothing here", "The page or box does not exist, or you take no part in it."),
    429: ("Too many attempts", "Wait a quarter of an hour, then try again."),
    500: ("Something went wrong on our side", "Nothing of it is your mistake. Try again."),
    503: ("The box does not answer", "It may be starting. Try again in a moment."),
}


def error_page(request: HttpRequest, status: int, title: str = "", text: str = "") -> HttpResponse:
    """Return a page for people; the API's paths get the same as problem JSON."""
    usual_title, usual_text = _TEXTS[status]
    title, text = title or usual_title, text or usual_text
    if request.path_info == RPC_PATH:
        return JsonResponse({"error": {"message": f"{title}. {text}"}}, status=status)
    if request.path_info.startswith(API_PATHS):
        return JsonResponse(
            {"type": "about:blank", "title": title, "status": status, "detail": text},
            status=status,
            content_type="application/problem+json",
        )
    return render(
        request,
        "console/error.html",
        {"title": title, "text": text, "status": status},
        status=status,
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(request, 404)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return error_page(
        request,
        403,
        "This form is no longer valid",
        "Go back, reload the page and send the form again. Cookies must be allowed.",
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Render without session or database, either of which may be what is broken."""
    title, text = _TEXTS[500]
    failure = failure_id(request)
    if failure:
        text = f"{text} The operator finds it in the log under {failure}."
    if request.path_info.startswith(API_PATHS):
        return error_page(request, 500, text=text)
    context = {"title": title, "text": text, "status": 500, "plain": True}
    return HttpResponse(render_to_string("console/error.html", context), status=500)
