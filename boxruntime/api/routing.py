"""From method and path to a row of the routes table, for both bases.

A parameter named `type` matches the resource types of the box, custom ones included; every other
parameter takes any segment that does not begin with "$" and is no `_history` or `_search`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.outcome import Dialect
from boxruntime.http.router import Router

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.api.call import Route


def _is_id(segment: str) -> bool:
    return segment[0] != "$" and segment not in {"_history", "_search"}


class RouteTable:
    """All routes of a box whose resource types are `resource_types`."""

    def __init__(self, routes: Sequence[Route], resource_types: frozenset[str]) -> None:
        predicates = {
            "type": resource_types.__contains__,
            "target": resource_types.__contains__,
            "id": _is_id,
        }
        self.interactions = {
            dialect: frozenset(
                route.interaction for route in routes if route.operation_id(dialect) is not None
            )
            for dialect in Dialect
        }
        """What the routes under either base offer, for the CapabilityStatement."""
        self.operations = {
            dialect: frozenset(
                route.template.rpartition("/")[2]
                for route in routes
                if route.operation_id(dialect) is not None
            )
            for dialect in Dialect
        }
        """The last segments of their templates: `$lastn` and the like among them."""
        self._routers: dict[Dialect, Router[Route]] = {}
        for dialect in Dialect:
            router: Router[Route] = Router(predicates)
            for route in routes:
                if route.operation_id(dialect) is not None:
                    router.add(route.method, route.template, route)
            self._routers[dialect] = router

    def find(
        self, dialect: Dialect, method: str, segments: tuple[str, ...]
    ) -> tuple[Route, dict[str, str]] | None:
        """Return the route and its path parameters; `segments` come without "fhir"."""
        router = self._routers[dialect]
        found = router.find(method, segments)
        if found is None and method == "HEAD":
            found = router.find("GET", segments)
        return found

    def find_root_only(
        self, method: str, segments: tuple[str, ...]
    ) -> tuple[Route, dict[str, str]] | None:
        """Return a route that exists at root and not under /fhir."""
        found = self.find(Dialect.AIDBOX, method, segments)
        return found if found is not None and found[0].fhir is None else None

    def methods(self, dialect: Dialect, segments: tuple[str, ...]) -> list[str]:
        """Return the methods that this path knows, for 405 and Allow."""
        found = self._routers[dialect].methods(segments)
        return sorted([*found, "HEAD"]) if "GET" in found else found


def type_of(segments: tuple[str, ...]) -> str | None:
    """Return the first segment if there is one: what an unrouted request was about."""
    return segments[0] if segments else None
