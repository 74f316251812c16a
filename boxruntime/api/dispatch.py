"""May a request run? Requests and Bundle entries alike.

Source: authentication specification, "Decision algorithm"; style of errors: core, "Errors".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.access.engines.values import UnresolvedError
from boxruntime.access.evaluation import Evaluation
from boxruntime.access.principal import Kind
from boxruntime.api.call import Call, Interaction, Route
from boxruntime.api.request_object import filler, operation_object, request_object
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.storage.policy_queries import PolicyQueryError, yields_true
from boxruntime.storage.roles import roles_of

if TYPE_CHECKING:
    from boxruntime.access.engines.sql_text import Statement
    from boxruntime.access.evaluation import Verdict
    from boxruntime.access.principal import Grant, Principal
    from boxruntime.api.asked import Asked
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
_X_DEBUG = b"x-debug"


async def authorize(
    box: Box,
    principal: Principal,
    asked: Asked,
    *,
    route: Route | None,
    resource_type: str | None,
) -> None:
    """Return if a policy allows the request. Raises OutcomeError FORBIDDEN.

    A request without a route is judged as well, so that nobody without rights can probe which
    routes, types or ids exist. `x-debug: policy` logs what each policy says, for administrators.
    """
    operation_id = operation_of(box, route, asked.dialect, resource_type)
    traces = asked.headers.get(_X_DEBUG) == b"policy"
    if traces and not box.policies.administers(principal):
        raise OutcomeError(Fault.FORBIDDEN, "Access Denied")
    grant = _at_once(box, principal, route, asked.method, resource_type, operation_id)
    if grant is not None and not traces:
        return
    verdicts: list[Verdict] = []
    evaluation = evaluation_of(box, principal, asked, operation_id)
    candidates = box.policies.candidates(principal, operation_id)
    found = await evaluation.first(candidates, verdicts, look_at_all=traces)
    if traces:
        _trace(box, asked, grant, verdicts)
    if grant is None and found is None:
        box.write_log(
            "auth/denied",
            level="warn",
            ctx=asked.request_id,
            tried=len(verdicts),
            policies=evaluation.explain(verdicts),
        )
        raise OutcomeError(Fault.FORBIDDEN, "Access Denied")
    for verdict in verdicts:
        if verdict.reason is not None:
            box.write_log(
                "auth/policy-failed", level="warn", ctx=asked.request_id,
                policy=verdict.policy.id, reason=verdict.reason,
            )  # fmt: skip


def evaluation_of(
    box: Box, principal: Principal, asked: Asked, operation_id: str | None
) -> Evaluation:
    """Return the request as policies see it, with what they may ask the database."""
    return evaluation_with(
        box, request_object(asked, principal, operation_object(operation_id)), asked
    )


def evaluation_with(box: Box, request: dict[str, object], asked: Asked | None) -> Evaluation:
    """Return the same of a request object that is there already."""

    async def run(statement: Statement) -> bool:
        try:
            return await yields_true(box.database, statement.pieces, statement.parameters)
        except PolicyQueryError as error:
            raise UnresolvedError(f"sql: {error.reason}") from None

    return Evaluation(
        request,
        fill=_nothing if asked is None else filler(asked, box.metadata),
        run=run,
        find_roles=lambda user_id: roles_of(box.database, user_id),
    )


def _nothing(request: object, names: object) -> None:
    """Add nothing: the request object is complete."""


def operation_of(
    box: Box, route: Route | None, dialect: Dialect, resource_type: str | None
) -> str | None:
    """Return the id of the Operation that policies may link to."""
    if route is None:
        return None
    if route.interaction is Interaction.CREATE and resource_type is not None:
        captured = box.own_operations.captures(dialect, resource_type)
        if captured is not None:
            return captured
    return route.operation_id(dialect)


def _at_once(
    box: Box,
    principal: Principal,
    route: Route | None,
    method: str,
    resource_type: str | None,
    operation_id: str | None,
) -> Grant | None:
    is_search = route is not None and route.interaction in _SEARCHES
    return box.policies.decide(
        principal,
        operation_id=operation_id,
        method="GET" if is_search else method,  # a search by POST reads all the same
        public=route.public if route else False,
        administers=resource_type in GOVERNING or (route is not None and route.administers),
    )


def _trace(box: Box, asked: Asked, grant: Grant | None, verdicts: list[Verdict]) -> None:
    told = [(v.policy.id, v.policy.engine, v.passed) for v in verdicts]
    if grant is not None:
        told.insert(0, (grant.by, "allow", True))
    for id_, engine, passed in told:
        fields = {"access-policy-id": id_, "policy-type": engine, "eval-result": passed}
        box.write_log("auth/trace-policy", ctx=asked.request_id, **fields)


def authorize_type(call: Call, box: Box, resource_type: str | None) -> None:
    """Return if the caller, whose request is allowed, may reach a type by it besides.

    The types that the path names were judged with the request; what governs the box needs a
    policy that would allow a request of its own about that type. Raises OutcomeError FORBIDDEN.
    """
    operation_id = operation_of(box, call.route, call.dialect, resource_type)
    principal = call.principal
    grant = _at_once(box, principal, call.route, call.method, resource_type, operation_id)
    if grant is not None:
        return
    if principal.kind is not Kind.PORTAL and (
        resource_type not in GOVERNING
        or resource_type in (call.parameters.get("type"), call.parameters.get("target"))
        or _would_allow(call, box, resource_type, operation_id)
    ):
        return
    raise OutcomeError(Fault.FORBIDDEN, "Access Denied")


def _would_allow(call: Call, box: Box, resource_type: str, operation_id: str | None) -> bool:
    """Tell whether a policy allows a request about all of a type; those that wait say no."""
    prefix = "/fhir/" if call.dialect is Dialect.FHIR else "/"
    asked = call.asked.inner(
        dialect=call.dialect,
        method=call.method,
        uri=prefix + resource_type,
        parameters={"type": resource_type},
        body=call.body,
    )
    evaluation = evaluation_of(box, call.principal, asked, operation_id)
    return evaluation.allows_at_once(box.policies.candidates(call.principal, operation_id))


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
