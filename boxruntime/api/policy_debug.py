"""`__debug=policy`: what every policy says of a request, in place of its answer.

For administrators only; nothing runs, and nothing that proves who somebody is gets out.
Source: authentication specification, "Debugging".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.access.engines.values import PolicyError
from boxruntime.access.policy import Policy
from boxruntime.api.call import Interaction, Result, Route
from boxruntime.api.dispatch import evaluation_of, operation_of
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError

if TYPE_CHECKING:
    from boxruntime.access.evaluation import Evaluation
    from boxruntime.access.principal import Principal
    from boxruntime.api.box import Box
    from boxruntime.api.call import Call

_WISH = ("__debug", "policy")
_HIDDEN = "[hidden]"
_PROOFS = frozenset(
    {
        "authorization", "cookie", "set-cookie", "x-client-auth", "password", "secret",
        "client_secret", "access_token", "refresh_token", "client_assertion", "code",
        "authorization_code", "secretKey",
    }
)  # fmt: skip
_EVERYTHING = ("headers", "body", "resource")


def asks_for_debug(query: list[tuple[str, str]]) -> bool:
    """Tell whether the request wants to see policies at work instead of its answer."""
    return _WISH in query


def debug_instead(
    box: Box, principal: Principal, found: tuple[Route, dict[str, str]] | None
) -> tuple[Route, dict[str, str]]:
    """Return the route that answers in place of `found`. Raises OutcomeError FORBIDDEN."""
    if not box.policies.administers(principal):
        raise OutcomeError(Fault.FORBIDDEN, "Access Denied")
    return _ROUTE, found[1] if found else {}


async def _show(call: Call, box: Box) -> Result:
    asked = call.asked
    segments = tuple(segment for segment in asked.uri.split("/") if segment)
    inner = segments[1:] if asked.dialect is Dialect.FHIR else segments
    found = box.routes.find(asked.dialect, asked.method, inner)
    route, type_ = (found[0], found[1].get("type")) if found else (None, None)
    operation_id = operation_of(box, route, asked.dialect, type_)
    evaluation = evaluation_of(box, call.principal, asked, operation_id)
    evaluation.complete(_EVERYTHING)
    policies = [
        await judged(evaluation, resource)
        for resource in box.policies.concerning(call.principal, operation_id)
    ]
    return Result(status=200, value={"request": redacted(evaluation.request), "policies": policies})


_ROUTE = Route(
    method="GET",
    template="/",
    interaction=Interaction.OTHER,
    handler=_show,
    root="PolicyDebug",
    fhir="PolicyDebug",
)


async def judged(evaluation: Evaluation, resource: dict[str, Any]) -> dict[str, Any]:
    """Return a policy with what it says of the request and, if that is no, where it fails."""
    try:
        policy = Policy(resource)
    except PolicyError as error:
        debug = {"eval-result": False, "reason": error.message, "at": list(error.path)}
        return {**resource, "evalResult": False, "debug": debug}
    verdict = await evaluation.verdict(policy)
    debug = {"eval-result": verdict.passed}
    if not verdict.passed:
        told = evaluation.explain([verdict])[0]
        debug |= {name: told[name] for name in ("reason", "at") if name in told}
    return {**resource, "evalResult": verdict.passed, "debug": debug}


def redacted(value: Any) -> Any:
    """Return a request object without what proves who somebody is, at any depth."""
    if isinstance(value, dict):
        return {
            key: _HIDDEN if key in _PROOFS and isinstance(item, str) else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value
