"""One access policy, compiled: what it asks of a request, and why it says no.

Source: authentication specification, "Access policies".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from boxruntime.access.engines.matcho import compile_matcho, mismatches
from boxruntime.access.engines.request_schema import RequestSchema
from boxruntime.access.engines.sql_text import SqlText, Statement
from boxruntime.access.engines.values import (
    COSTLY,
    PolicyError,
    UnresolvedError,
    costly_members,
)
from boxruntime.access.principal import Grant

Request: TypeAlias = dict[str, Any]
RunQuery: TypeAlias = Callable[[Statement], Awaitable[bool]]
"""Tells whether a statement yields one row with one column that is true.

Raises UnresolvedError with the reason if it fails or takes too long.
"""

ENGINES = ("allow", "json-schema", "sql", "complex", "matcho")
MAX_DEPTH = 10


class Rule(Protocol):
    """What an engine makes of a policy.

    `reads`: members of the request that are only made when somebody looks; `waits`: it asks the
    database. Both tests raise UnresolvedError, which counts as false.
    """

    reads: frozenset[str]
    waits: bool

    def passes(self, request: Request) -> bool: ...

    async def ask(self, request: Request, run: RunQuery) -> bool: ...

    def reasons(self, request: Request) -> list[list[str | int]]:
        """Return the places of the request at which the rule fails."""
        ...


class _Allow:
    reads: frozenset[str] = frozenset()
    waits = False

    def passes(self, request: Request) -> bool:  # noqa: ARG002
        return True

    async def ask(self, request: Request, run: RunQuery) -> bool:  # noqa: ARG002
        return True

    def reasons(self, request: Request) -> list[list[str | int]]:  # noqa: ARG002
        return []


class _Matcho:
    waits = False

    def __init__(self, pattern: Any) -> None:
        if not isinstance(pattern, dict):
            raise PolicyError("expected a pattern, an object", "matcho")
        self._pattern = pattern
        try:
            self.passes_ = compile_matcho(pattern)
        except PolicyError as error:
            raise PolicyError(error.message, "matcho", *error.path) from None
        self.reads = costly_members(pattern)

    def passes(self, request: Request) -> bool:
        return self.passes_(request, request)

    async def ask(self, request: Request, run: RunQuery) -> bool:  # noqa: ARG002
        return self.passes_(request, request)

    def reasons(self, request: Request) -> list[list[str | int]]:
        return [found["path"] for found in mismatches(self._pattern, request, request)]


class _Schema:
    waits = False

    def __init__(self, schema: Any) -> None:
        self._schema = RequestSchema(schema)
        self.reads = self._schema.reads

    def passes(self, request: Request) -> bool:
        return self._schema.passes(request)

    async def ask(self, request: Request, run: RunQuery) -> bool:  # noqa: ARG002
        return self._schema.passes(request)

    def reasons(self, request: Request) -> list[list[str | int]]:
        return self._schema.places(request)


class _Sql:
    waits = True

    def __init__(self, value: Any) -> None:
        self.text = SqlText(value.get("query") if isinstance(value, dict) else None)
        self.reads = self.text.reads & COSTLY

    def passes(self, request: Request) -> bool:  # noqa: ARG002
        raise UnresolvedError("a statement cannot be run here")

    async def ask(self, request: Request, run: RunQuery) -> bool:
        return await run(self.text.statement(request))

    def reasons(self, request: Request) -> list[list[str | int]]:  # noqa: ARG002
        return [["sql"]]


class _Complex:
    def __init__(self, policy: dict[str, Any], depth: int) -> None:
        if ("and" in policy) == ("or" in policy):
            raise PolicyError("expected either and or or", "and")
        name = "and" if "and" in policy else "or"
        parts = policy[name]
        if not isinstance(parts, list):
            raise PolicyError("expected a list of policies", name)
        self._stops_at = name == "or"
        self._rules: list[Rule] = []
        for index, part in enumerate(parts):
            try:
                self._rules.append(compile_rule(part, depth + 1))
            except PolicyError as error:
                raise PolicyError(error.message, name, index, *error.path) from None
        self.reads = frozenset().union(*(rule.reads for rule in self._rules))
        self.waits = any(rule.waits for rule in self._rules)

    def passes(self, request: Request) -> bool:
        for rule in self._rules:
            try:
                passed = rule.passes(request)
            except UnresolvedError:
                passed = False
            if passed is self._stops_at:
                return passed
        return bool(self._rules) and not self._stops_at

    async def ask(self, request: Request, run: RunQuery) -> bool:
        if not self.waits:
            return self.passes(request)
        for rule in self._rules:
            try:
                passed = await rule.ask(request, run)
            except UnresolvedError:
                passed = False
            if passed is self._stops_at:
                return passed
        return bool(self._rules) and not self._stops_at

    def reasons(self, request: Request) -> list[list[str | int]]:
        name = "or" if self._stops_at else "and"
        return [
            [name, index, *place]
            for index, rule in enumerate(self._rules)
            for place in rule.reasons(request)
        ]


def compile_rule(policy: Any, depth: int = 0) -> Rule:
    """Return what the engine of a policy asks for. Raises PolicyError with the place."""
    if not isinstance(policy, dict):
        raise PolicyError("expected a policy, an object")
    if depth > MAX_DEPTH:
        raise PolicyError(f"complex policies have at most {MAX_DEPTH} levels")
    match engine_of(policy):
        case "allow":
            return _Allow()
        case "matcho":
            return _Matcho(policy.get("matcho", policy.get("match")))
        case "json-schema":
            return _Schema(policy.get("schema"))
        case "sql":
            return _Sql(policy.get("sql"))
        case "complex":
            return _Complex(policy, depth)
    raise PolicyError(f"expected one of {', '.join(ENGINES)}", "engine")


def engine_of(policy: dict[str, Any]) -> Any:
    """Return the engine's name; an older spelling is `type: matcho`."""
    engine = policy.get("engine")
    return "matcho" if engine is None and policy.get("type") == "matcho" else engine


class Policy:
    """A policy that is evaluated: everything but a plain `allow`."""

    __slots__ = ("engine", "grant", "id", "reads", "resource", "role_name", "rule")

    def __init__(self, resource: dict[str, Any]) -> None:
        """Compile a policy. Raises PolicyError."""
        self.id = str(resource["id"])
        self.resource = resource
        self.engine = str(engine_of(resource))
        role_name = resource.get("roleName")
        if role_name is not None and (not isinstance(role_name, str) or not role_name):
            raise PolicyError("expected the name of a role", "roleName")
        self.role_name: str | None = role_name
        self.rule = compile_rule(resource)
        self.reads = self.rule.reads
        self.grant = Grant(self.id)
