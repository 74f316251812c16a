"""Access policies compiled once: which of them a request is a candidate for, and the decision.

There are no deny policies: a request runs when one candidate says yes, and with none it is
refused. An engine that this release does not evaluate counts as false.
Source: authentication specification, "Access policies".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.access.principal import Grant, Kind, Principal

if TYPE_CHECKING:
    from collections.abc import Iterable

_PUBLIC = Grant("public")
_READS = frozenset({"GET", "HEAD"})
_WRITERS = frozenset({"owner", "admin", "writer"})


class PolicySet:
    """All AccessPolicy resources of a box, ready to decide."""

    def __init__(self, policies: Iterable[dict[str, Any]]) -> None:
        self._global: Grant | None = None
        self._linked: dict[tuple[str, str], Grant] = {}
        for policy in policies:
            if policy.get("engine") != "allow" or policy.get("roleName"):
                continue
            grant = Grant(str(policy["id"]))
            links = policy.get("link")
            if links is None:
                self._global = self._global or grant
                continue
            for link in links if isinstance(links, list) else ():
                if isinstance(link, dict):
                    target = link.get("resourceType"), link.get("id")
                    if isinstance(target[0], str) and isinstance(target[1], str):
                        self._linked.setdefault((target[0], target[1]), grant)

    def decide(
        self,
        principal: Principal,
        *,
        operation_id: str | None,
        method: str,
        public: bool,
        administers: bool,
    ) -> Grant | None:
        """Return the grant, None = refuse.

        `operation_id`: of the matched Operation, None if no route matched; `administers`: the
        request touches what governs the box (policies, clients, metadata, SQL).
        """
        if public:
            return _PUBLIC
        if principal.kind is Kind.PORTAL:
            return _participant_grant(principal, method, administers=administers)
        if self._global is not None:
            return self._global
        if principal.client_id is not None:
            grant = self._linked.get(("Client", principal.client_id))
            if grant is not None:
                return grant
        if principal.user_id is not None:
            grant = self._linked.get(("User", principal.user_id))
            if grant is not None:
                return grant
        if operation_id is not None:
            return self._linked.get(("Operation", operation_id))
        return None


def _participant_grant(principal: Principal, method: str, *, administers: bool) -> Grant | None:
    """Owners and admins have full rights, writers all but administration, readers GET."""
    role = principal.role
    allowed = (
        role in {"owner", "admin"}
        or (method in _READS and not administers and role is not None)
        or (role in _WRITERS and not administers)
    )
    return Grant(f"participant:{role}") if allowed else None
