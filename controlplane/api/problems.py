"""Errors of the admin API as problem details. Source: RFC 9457."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler

from tenants.errors import (
    BoxLimitError,
    BoxNameTakenError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NoSuchBoxError,
    TenantsError,
)

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[type[TenantsError], int] = {
    InvalidRequestError: status.HTTP_422_UNPROCESSABLE_ENTITY,
    BoxNameTakenError: status.HTTP_409_CONFLICT,
    ConflictError: status.HTTP_409_CONFLICT,
    BoxLimitError: status.HTTP_403_FORBIDDEN,
    ForbiddenError: status.HTTP_403_FORBIDDEN,
    NoSuchBoxError: status.HTTP_404_NOT_FOUND,
}
_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    415: "Unsupported media type",
    422: "Invalid request",
    429: "Too many requests",
}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the problem response of an expected error; None lets a bug fly."""
    if isinstance(error, TenantsError):
        code = _STATUS[type(error)]
        problem: dict[str, Any] = {"code": error.code, "detail": str(error)}
        if isinstance(error, InvalidRequestError):
            problem["errors"] = [{"field": error.field, "detail": str(error)}]
        return _render(code, problem, {})
    if isinstance(error, exceptions.ValidationError):
        errors = _flatten(error.detail)
        problem = {"code": "request:invalid", "detail": errors[0]["detail"], "errors": errors}
        return _render(status.HTTP_422_UNPROCESSABLE_ENTITY, problem, {})
    response = exception_handler(error, context)
    if response is None:
        return None
    headers = {
        name: response[name] for name in ("WWW-Authenticate", "Retry-After") if name in response
    }
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    detail = str(error.detail) if isinstance(error, exceptions.APIException) else ""
    return _render(response.status_code, {"detail": detail}, headers)


def _render(code: int, problem: dict[str, Any], headers: dict[str, str]) -> Response:
    body = {"type": "about:blank", "title": _TITLES.get(code, "Error"), "status": code} | problem
    return Response(body, status=code, headers=headers, content_type=MEDIA_TYPE)


def _flatten(detail: Any, field: str = "") -> list[dict[str, str]]:
    """Return `{field, detail}` for every message in a nested validation error."""
    if isinstance(detail, dict):
        return [
            row
            for key, value in detail.items()
            for row in _flatten(value, f"{field}.{key}" if field else str(key))
        ]
    if isinstance(detail, list):
        return [row for value in detail for row in _flatten(value, field)]
    return [{"field": field, "detail": str(detail)}]
