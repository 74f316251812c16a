"""The request object that access policies look at.

Route parameters win over the query, a repeated parameter is an array, empty values are left out:
what a policy reads is what the interaction will use. Headers and bodies are added only when a
policy reads them. Source: authentication specification, "Request object".
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.formats import to_aidbox
from boxruntime.fhir.outcome import Dialect, OutcomeError
from boxruntime.fhir.shapes import shape_of
from boxruntime.http.messages import RequestError
from boxruntime.http.target import parse_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from boxruntime.access.principal import Principal
    from boxruntime.api.asked import Asked
    from boxruntime.fhir.metadata import Metadata

_FROM_ROUTE = "resource/"
_FORM = "application/x-www-form-urlencoded"
_PATCHES = frozenset({"application/json-patch+json", "application/merge-patch+json"})
_SECRETS = frozenset({"password", "secret"})


def request_object(
    asked: Asked, principal: Principal, operation: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the request object without headers, body and resource; about 4 us."""
    request: dict[str, Any] = {
        "request-method": asked.method.lower(),
        "scheme": asked.scheme,
        "uri": asked.uri,
    }
    if asked.query_string:
        request["query-string"] = asked.query_string.decode("latin-1")
    params = _params(asked)
    if params:
        request["params"] = params
    more = (
        ("user", None if principal.user is None else without_secrets(principal.user)),
        ("client", None if principal.client is None else without_secrets(principal.client)),
        ("jwt", principal.jwt),
        ("token", principal.token),
        ("operation", operation),
        ("remote-addr", _address(asked)),
    )
    request.update((name, value) for name, value in more if value)
    return request


def filler(asked: Asked, metadata: Metadata) -> Callable[[dict[str, Any], Iterable[str]], None]:
    """Return what adds the members that policies seldom read, each at most once."""
    made: dict[str, Any] = {}

    def fill(request: dict[str, Any], names: Iterable[str]) -> None:
        for name in names:
            if name not in made:
                made[name] = _MAKERS[name](asked, metadata)
                if made[name] is not None:
                    request[name] = made[name]

    return fill


def without_secrets(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a User or Client without what proves who it is."""
    two_factor = resource.get("twoFactor")
    if resource.keys().isdisjoint(_SECRETS) and not isinstance(two_factor, dict):
        return resource
    shown = {key: value for key, value in resource.items() if key not in _SECRETS}
    if isinstance(two_factor, dict):
        shown["twoFactor"] = {k: v for k, v in two_factor.items() if k != "secretKey"}
    return shown


def pruned(value: Any) -> Any:
    """Return the value without empty values at any depth; None if nothing is left."""
    if isinstance(value, dict):
        members = {key: kept for key, item in value.items() if (kept := pruned(item)) is not None}
        return members or None
    if isinstance(value, list):
        return [kept for item in value if (kept := pruned(item)) is not None] or None
    return None if value == "" else value


def _params(asked: Asked) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, value in (*asked.query, *_form(asked)):
        if name.startswith(_FROM_ROUTE) or not value:
            continue
        if name in params:
            known = params[name]
            params[name] = [*(known if isinstance(known, list) else (known,)), value]
        else:
            params[name] = value
    for name, value in asked.parameters.items():
        params[_FROM_ROUTE + name] = value
    return params


def _form(asked: Asked) -> list[tuple[str, str]]:
    """Return the parameters that a search by POST has in its body: they are searched by, too."""
    if asked.method != "POST" or not asked.uri.endswith(("/_search", "/$lastn")):
        return []
    if (asked.body.content_type or "").partition(";")[0].strip().lower() != _FORM:
        return []
    try:
        return parse_query(asked.body.raw)
    except RequestError:
        return []  # the search will say so


def _headers(asked: Asked, metadata: Metadata) -> dict[str, str] | None:  # noqa: ARG001
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in asked.headers.items()
        if value
    } or None


def _body(asked: Asked, metadata: Metadata) -> Any:  # noqa: ARG001
    try:
        return pruned(asked.body.value(_PATCHES if asked.method == "PATCH" else None))
    except OutcomeError:
        return None  # the interaction will say what is wrong with it


def _resource(asked: Asked, metadata: Metadata) -> Any:
    body = _body(asked, metadata)
    if asked.dialect is not Dialect.FHIR or not isinstance(body, dict):
        return body
    name = body.get("resourceType", asked.parameters.get("type"))
    if not isinstance(name, str) or name not in metadata.resource_types:
        return body
    try:
        return to_aidbox(metadata, shape_of(metadata, name, body), body).resource
    except OutcomeError:
        return None


_MAKERS: dict[str, Callable[[Asked, Metadata], Any]] = {
    "headers": _headers,
    "body": _body,
    "resource": _resource,
}


def _address(asked: Asked) -> str | None:
    """Return the address of who asks.

    Only the edge reaches a box through a unix socket, and appends to the header whom it talks to.
    """
    if asked.peer:
        return asked.peer
    forwarded = asked.headers.get(b"x-forwarded-for", b"")
    return forwarded.rpartition(b",")[2].strip().decode("latin-1") or None


@lru_cache(maxsize=1)
def _operations() -> dict[str, dict[str, Any]]:
    from boxruntime.api.routes import operations  # the routes lead to handlers, and those back here

    return {
        id_: {**resource, "resourceType": "Operation", "id": id_} for id_, resource in operations()
    }


def operation_object(id_: str | None) -> dict[str, Any] | None:
    """Return the Operation of a route, or the name of one that people wrote."""
    if id_ is None:
        return None
    return _operations().get(id_) or {"resourceType": "Operation", "id": id_}
