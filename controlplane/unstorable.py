"""Text that no database column holds (a NUL, half a surrogate pair) is its sender's mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DataError

from controlplane.console.errors import error_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

UNSTORABLE = (DataError, UnicodeEncodeError)
SENTENCE = "It holds characters that cannot be stored."


class UnstorableTextMiddleware:
    """Answers 400 where text was sent that no database holds, instead of failing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, UNSTORABLE):
            return error_page(request, 400, text=SENTENCE)
        return None
