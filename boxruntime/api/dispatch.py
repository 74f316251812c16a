"""From a routed Call to its Result: authorize, then run. Requests and Bundle entries alike.

Source: authentication specification, "Decision algorithm"; style of errors: core, "Errors".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.api.call import Call, Interaction, Result, Route
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError

if TYPE_CHECKING:
    from boxruntime.access.principal import Principal
    from boxruntime.api.box import Box

GOVERNING = frozenset(
    {
        "AccessPolicy", "AidboxConfig", "AlphaSDC", "CompartmentDefinition", "AidboxMigration", "AidboxProfile", "AidboxQuery", "App",
        "Attribute", "AuthConfig", "Client", "Entity", "Grant", "IdentityProvider", "Mapping",
        "Operation", "Registration", "Role", "SearchParameter", "SearchQuery", "Session",
        "SubsSubscription", "TokenIntrospector", "User",
    }
)  # fmt: skip
"""Types whose rows decide what a box does and who may do it."""
_SEARCHES = frozenset({Interaction.SEARCH, Interaction.SEARCH_SYSTEM})


def authorize(
    box: Box,
    principal: Principal,
    *,
    route: Route | None,
    dialect: Dialect,
    method: str,
    resource_type: str | None,
) -> None:
    """Return if a policy allows the request. Raises OutcomeError FORBIDDEN.

    A request without a route is judged as well, so that nobody without rights can probe which
    routes, types or ids exist.
    """
    is_search = route is not None and route.interaction in _SEARCHES
    operation_id = route.operation_id(dialect) if route else None
    if route is not None and route.interaction is Interaction.CREATE and resource_type is not None:
        operation_id = box.own_operations.captures(dialect, resource_type) or operation_id
    grant = box.policies.decide(
        principal,
        operation_id=operation_id,
        method="GET" if is_search else method,  # a search by POST reads all the same
        public=route.public if route else False,
        administers=resource_type in GOVERNING or (route is not None and route.administers),
    )
    if grant is None:
        raise OutcomeError(Fault.FORBIDDEN, "Access Denied")


def authorize_type(call: Call, box: Box, resource_type: str | None) -> None:
    """Return if the caller may send this request about a type. Raises OutcomeError FORBIDDEN."""
    authorize(
        box,
        call.principal,
        route=call.route,
        dialect=call.dialect,
        method=call.method,
        resource_type=resource_type,
    )


def may_see(call: Call, box: Box, resource_type: str) -> bool:
    """Tell whether the caller may read a type that a request reaches beside its own."""
    if resource_type not in GOVERNING:
        return True
    try:
        authorize_type(call, box, resource_type)
    except OutcomeError:
        return False
    return True


def no_route(
    box: Box, dialect: Dialect, method: str, segments: tuple[str, ...]
) -> tuple[OutcomeError, list[str]]:
    """Return the failure of a request that no route fits, and the methods that its path knows."""
    methods = box.routes.methods(dialect, segments)
    if methods and (segments or method not in {"GET", "HEAD"}):
        message = f"This route knows only {', '.join(methods)}."
        return OutcomeError(Fault.METHOD_NOT_ALLOWED, message), methods
    if segments and segments[0] not in box.metadata.resource_types:
        return OutcomeError(Fault.NOT_FOUND, "The resource type or route does not exist."), []
    return OutcomeError(Fault.NOT_FOUND, "The route does not exist."), []


async def run(call: Call, box: Box) -> Result:
    """Authorize a call and run it. Raises OutcomeError."""
    authorize_type(call, box, call.parameters.get("type"))
    return await call.route.handler(call, box)
