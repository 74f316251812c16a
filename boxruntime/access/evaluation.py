"""Asking policies one after the other, until one says yes.

A policy that fails is false and stops nobody else; its reason is kept for whoever looks for it,
without any value. Source: authentication specification, "Decision algorithm", "Role policies".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from boxruntime.access.engines.values import UnresolvedError
from boxruntime.access.policy import Policy, Request, RunQuery
from boxruntime.access.principal import Grant

Fill: TypeAlias = Callable[[Request, Iterable[str]], None]
"""Adds members to the request object that are made only when a policy reads them."""
FindRoles: TypeAlias = Callable[[str], Awaitable[Sequence[dict[str, Any]]]]
"""Finds the Role resources of a user by its id."""

MAX_EXPLAINED = 20
MAX_PLACES = 3


class Verdict(msgspec.Struct, frozen=True):
    """What one policy said. `reason`: why it could not be evaluated."""

    policy: Policy
    passed: bool
    reason: str | None = None


class Evaluation:
    """One request, as policies see it. Roles are looked up once, if at all."""

    def __init__(
        self, request: Request, *, fill: Fill, run: RunQuery, find_roles: FindRoles
    ) -> None:
        self.request = request
        self._fill = fill
        self._run = run
        self._find_roles = find_roles
        self._roles: Sequence[dict[str, Any]] | None = None

    async def first(
        self, policies: Sequence[Policy], refused: list[Verdict], *, look_at_all: bool = False
    ) -> Grant | None:
        """Return the grant of the first policy that says yes.

        `refused` gets the verdicts of those before it; with `look_at_all` all verdicts.
        """
        grant: Grant | None = None
        for policy in policies:
            verdict = self._at_once(policy) or await self.verdict(policy)
            if not verdict.passed or look_at_all:
                refused.append(verdict)
            if verdict.passed and grant is None:
                grant = policy.grant
                if not look_at_all:
                    break
        return grant

    def allows_at_once(self, policies: Sequence[Policy]) -> bool:
        """Tell whether a policy says yes without having to wait; those that have to say no."""
        verdicts = (self._at_once(policy) for policy in policies)
        return any(verdict is not None and verdict.passed for verdict in verdicts)

    def _at_once(self, policy: Policy) -> Verdict | None:
        """Return the verdict of a policy that waits for nothing; None if it does."""
        if policy.rule.waits or policy.role_name is not None:
            return None
        if policy.reads:
            self._fill(self.request, policy.reads)
        try:
            return Verdict(policy, policy.rule.passes(self.request))
        except UnresolvedError as error:
            return Verdict(policy, passed=False, reason=error.reason)

    def complete(self, members: Iterable[str]) -> None:
        """Add members to the request object, for people to look at."""
        self._fill(self.request, members)

    async def verdict(self, policy: Policy) -> Verdict:
        """Return what one policy says."""
        if policy.reads:
            self._fill(self.request, policy.reads)
        if policy.role_name is None:
            return await self._ask(policy, self.request)
        verdict = Verdict(policy, passed=False, reason="the user does not have the role")
        for role in await self._roles_of_user():
            if role.get("name") == policy.role_name:
                verdict = await self._ask(policy, {**self.request, "role": role})
                if verdict.passed:
                    break
        return verdict

    async def _ask(self, policy: Policy, request: Request) -> Verdict:
        try:
            return Verdict(policy, await policy.rule.ask(request, self._run))
        except UnresolvedError as error:
            return Verdict(policy, passed=False, reason=error.reason)

    async def _roles_of_user(self) -> Sequence[dict[str, Any]]:
        if self._roles is None:
            user = self.request.get("user")
            id_ = user.get("id") if isinstance(user, dict) else None
            self._roles = await self._find_roles(id_) if isinstance(id_, str) else ()
        return self._roles

    def explain(self, refused: Sequence[Verdict]) -> list[dict[str, Any]]:
        """Return which policies were tried and where each failed, without any value."""
        told = []
        for verdict in refused[:MAX_EXPLAINED]:
            one: dict[str, Any] = {"policy": verdict.policy.id, "engine": verdict.policy.engine}
            if verdict.reason is not None:
                one["reason"] = verdict.reason
            else:
                places = verdict.policy.rule.reasons(self.request)[:MAX_PLACES]
                one["at"] = [".".join(map(str, place)) for place in places]
            told.append(one)
        return told
