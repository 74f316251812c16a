"""Trying policies out: POST /auth/test-policy, POST /$matcho.

Source: authentication specification, "Debugging", "complex and matcho".
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.access.engines.matcho import compile_matcho, mismatches
from boxruntime.access.engines.sql_text import SqlText
from boxruntime.access.engines.values import PolicyError, UnresolvedError
from boxruntime.access.policy import Policy, engine_of
from boxruntime.access.principal import ANONYMOUS
from boxruntime.api.asked import Asked
from boxruntime.api.call import Body, Call, Result
from boxruntime.api.dispatch import evaluation_with, operation_of
from boxruntime.api.intake import body_object
from boxruntime.api.policy_debug import redacted
from boxruntime.api.request_object import (
    operation_object,
    pruned,
    request_object,
    without_secrets,
)
from boxruntime.fhir.json_text import decode_json
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.http.messages import RequestError
from boxruntime.http.target import parse_query, split_path

if TYPE_CHECKING:
    from boxruntime.api.box import Box

_PERSONS = {"user": "User", "client": "Client"}
_ROUTED = frozenset({"params", "operation", "query-string", "user-id", "client-id"})


async def test_policy(call: Call, box: Box) -> Result:
    """Return what a policy says of a request that is described, without running it.

    Body {request, policy}; answer {request, operation, policy, result: {"eval-result", "query"}}.
    Raises OutcomeError FORBIDDEN for who has no administrative rights, UNPROCESSABLE for a policy
    that cannot be used.
    """
    if not box.policies.administers(call.principal):
        raise OutcomeError(Fault.FORBIDDEN, "Access Denied")
    body = body_object(call)
    given, resource = body.get("request"), body.get("policy")
    if not isinstance(given, dict) or not isinstance(resource, dict):
        raise OutcomeError(Fault.UNPROCESSABLE, Issue(message="expected request and policy"))
    try:
        policy = Policy({"id": "test", **resource})
    except PolicyError as error:
        issue = Issue(message=error.message, path=error.path, type_name="AccessPolicy")
        raise OutcomeError(Fault.UNPROCESSABLE, issue) from None
    request = await _described(call, box, given)
    evaluation = evaluation_with(box, request, None)
    verdict = await evaluation.verdict(policy)
    result: dict[str, Any] = {"eval-result": verdict.passed}
    if engine_of(resource) == "sql":
        result["query"] = _query(resource, request)
    if not verdict.passed:
        told = evaluation.explain([verdict])[0]
        result |= {name: told[name] for name in ("reason", "at") if name in told}
    value = {"request": redacted(request), "policy": resource, "result": result}
    if "operation" in request:
        value["operation"] = request["operation"]
    return Result(status=200, value=value)


async def _described(call: Call, box: Box, given: dict[str, Any]) -> dict[str, Any]:
    """Return the request object of a description: routed, and with whom it names loaded."""
    asked = _asked(call, given)
    segments = tuple(segment for segment in asked.uri.split("/") if segment)
    inner = segments[1:] if asked.dialect is Dialect.FHIR else segments
    found = box.routes.find(asked.dialect, asked.method, inner)
    operation = None
    if found is not None:
        asked = msgspec.structs.replace(asked, parameters=found[1])
        id_ = operation_of(box, found[0], asked.dialect, found[1].get("type"))
        operation = operation_object(id_)
    routed = request_object(asked, ANONYMOUS, operation)
    more = pruned({key: value for key, value in given.items() if key not in _ROUTED}) or {}
    given_params = given.get("params")
    params = pruned(given_params) if isinstance(given_params, dict) else None
    request = {**more, **routed}
    if params or "params" in routed:
        request["params"] = {**(params or {}), **routed.get("params", {})}
    for name, type_name in _PERSONS.items():
        id_ = given.get(f"{name}-id")
        stored = await box.store.find(type_name, id_) if isinstance(id_, str) else None
        if stored is not None:
            request[name] = stored.resource()
        if isinstance(request.get(name), dict):
            request[name] = without_secrets(request[name])
    claims = _unverified_claims(request.get("headers"))
    if claims:
        request["jwt"] = claims
    return request


def _asked(call: Call, given: dict[str, Any]) -> Asked:
    uri, method, query = (given.get(n) for n in ("uri", "request-method", "query-string"))
    path, mark, behind = (uri if isinstance(uri, str) else "/").partition("?")
    text = (behind if mark else query if isinstance(query, str) else "").encode()
    try:
        segments = split_path(path.encode())
        pairs = parse_query(text)
    except RequestError as error:
        raise OutcomeError(Fault.UNPROCESSABLE, Issue(message=error.message)) from None
    return Asked(
        dialect=Dialect.FHIR if segments[:1] == ("fhir",) else Dialect.AIDBOX,
        method=method.upper() if isinstance(method, str) else "GET",
        uri="/" + "/".join(segments),
        parameters={},
        query=pairs,
        query_string=text,
        headers={},
        body=Body(),
        peer="",
        scheme=call.asked.scheme,
        request_id=call.asked.request_id,
    )


def _unverified_claims(headers: Any) -> dict[str, Any] | None:
    """Read the claims of a bearer token as they are: the caller may have written them himself.

    Nowhere else is a token read without its signature.
    """
    value = headers.get("authorization") if isinstance(headers, dict) else None
    if not isinstance(value, str) or value[:7].lower() != "bearer ":
        return None
    parts = value[7:].strip().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = decode_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def _query(policy: dict[str, Any], request: dict[str, Any]) -> list[Any] | None:
    try:
        statement = SqlText(policy["sql"]["query"]).statement(request)
    except UnresolvedError:
        return None
    return [statement.sql, *statement.parameters]


async def matcho(call: Call, box: Box) -> Result:  # noqa: ARG001 - the signature of a handler
    """Return where a resource does not match a pattern: the body and `result`.

    Body {matcho, resource, context}: pointers resolve in `context`, without it in the resource.
    Each finding is {path, expected, but}. Raises OutcomeError UNPROCESSABLE for a wrong pattern.
    """
    body = body_object(call)
    if "matcho" not in body:
        raise OutcomeError(Fault.UNPROCESSABLE, Issue(message="Property matcho is required"))
    pattern, resource = body["matcho"], body.get("resource")
    try:
        compile_matcho(pattern)
    except PolicyError as error:
        issue = Issue(message=error.message, path=("matcho", *error.path))
        raise OutcomeError(Fault.UNPROCESSABLE, issue) from None
    found = mismatches(pattern, resource, body.get("context", resource))
    return Result(status=200, value={**body, "result": found})
