"""Pages of a Bundle: _count, page, and the links to the other pages.

Source: search specification, "_count, _page, _total", "Response Bundle".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode

from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError

if TYPE_CHECKING:
    from boxruntime.api.call import Call

DEFAULT_COUNT = 100
MAX_FHIR_COUNT = 1000
_PAGE_NAMES = ("page", "_page")


class PageRequest(NamedTuple):
    """Which slice is asked for; `number` counts from 1."""

    size: int
    number: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


def read_page(call: Call) -> PageRequest:
    """Return the page a call asks for. Raises OutcomeError INVALID."""
    count = _number(call.parameter("_count"), DEFAULT_COUNT, "_count", low=0)
    if call.dialect is Dialect.FHIR:
        count = min(count, MAX_FHIR_COUNT)
    number = 1
    for name, value in call.query:
        if name in _PAGE_NAMES:
            number = _number(value, 1, name, low=1)
    return PageRequest(count, number)


def page_links(call: Call, page: PageRequest, total: int) -> list[dict[str, str]]:
    """Return the links of a page whose total is known; relative at root, absolute at /fhir."""
    last = max(1, -(-total // page.size)) if page.size else 1
    links = [("first", 1), ("self", page.number)]
    if page.number < last:
        links.append(("next", page.number + 1))
    if page.number > 1:
        links.append(("previous", min(page.number - 1, last)))
    if last > 1 or page.number > 1:
        links.append(("last", last))
    return [{"relation": name, "url": page_url(call, number)} for name, number in links]


def page_url(call: Call, number: int) -> str:
    """Return the URL of another page of the same request, all other parameters kept."""
    kept = [(name, value) for name, value in call.query if name not in _PAGE_NAMES]
    query = urlencode([*kept, ("page", str(number))], quote_via=quote, safe="/:|,*$")
    prefix = call.base if call.dialect is Dialect.FHIR else ""
    return f"{prefix}{call.uri}?{query}"


def _number(text: str | None, default: int, name: str, *, low: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or int(text[:12]) < low or len(text) > 9:
        raise OutcomeError(Fault.INVALID, f"{name} must be a whole number of at least {low}.")
    return int(text)
