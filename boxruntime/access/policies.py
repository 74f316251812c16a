"""Access policies compiled once: which of them a request is a candidate for, and the decision.

There are no deny policies: a request runs when one candidate says yes, and with none it is
refused. `allow` decides at once, without looking at the request; the others are asked only where
no `allow` said yes. Source: authentication specification, "Access policies".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.access.engines.values import PolicyError
from boxruntime.access.policy import Policy, engine_of
from boxruntime.access.principal import Grant, Kind, Principal

if TYPE_CHECKING:
    from collections.abc import Iterable

_PUBLIC = Grant("public")
_READS = frozenset({"GET", "HEAD"})
_WRITERS = frozenset({"owner", "admin", "writer"})
_PERSONS = ("Client", "User")


class PolicySet:
    """All AccessPolicy resources of a box, ready to decide.

    `broken` are those that cannot be compiled, with the reason: people write rows by SQL. They
    are false.
    """

    def __init__(self, policies: Iterable[dict[str, Any]]) -> None:
        self._global: Grant | None = None
        self._linked: dict[tuple[str, str], Grant] = {}
        self._asked_of_all: list[Policy] = []
        self._asked: dict[tuple[str, str], list[Policy]] = {}
        self.broken: list[tuple[str, PolicyError]] = []
        self.all: list[dict[str, Any]] = []
        for resource in policies:
            self.all.append(resource)
            try:
                self._add(resource)
            except PolicyError as error:
                self.broken.append((str(resource["id"]), error))

    def _add(self, resource: dict[str, Any]) -> None:
        links = resource.get("link")
        targets = None if links is None else _targets(links)
        if engine_of(resource) == "allow" and resource.get("roleName") is None:
            grant = Grant(str(resource["id"]))
            if targets is None:
                self._global = self._global or grant
            for target in targets or ():
                self._linked.setdefault(target, grant)
            return
        policy = Policy(resource)
        if targets is None:
            self._asked_of_all.append(policy)
        for target in dict.fromkeys(targets or ()):
            self._asked.setdefault(target, []).append(policy)

    def decide(
        self,
        principal: Principal,
        *,
        operation_id: str | None,
        method: str,
        public: bool,
        administers: bool,
    ) -> Grant | None:
        """Return the grant that needs no look at the request, None if there is none.

        `operation_id`: of the matched Operation, None if no route matched; `administers`: the
        request touches what governs the box (policies, clients, metadata, SQL).
        """
        if public:
            return _PUBLIC
        if principal.kind is Kind.PORTAL:
            return _participant_grant(principal, method, administers=administers)
        if self._global is not None:
            return self._global
        grant = self.personal(principal)
        if grant is None and operation_id is not None:
            grant = self._linked.get(("Operation", operation_id))
        return grant

    def personal(self, principal: Principal) -> Grant | None:
        """Return the grant of an `allow` policy that is linked to the caller."""
        for resource_type, id_ in zip(
            _PERSONS, (principal.client_id, principal.user_id), strict=True
        ):
            if id_ is not None and (grant := self._linked.get((resource_type, id_))) is not None:
                return grant
        return None

    def candidates(self, principal: Principal, operation_id: str | None) -> list[Policy]:
        """Return the policies that have to be asked, each once. A participant's role decides."""
        if principal.kind is Kind.PORTAL:
            return []
        asked = self._asked
        if not asked:
            return self._asked_of_all
        found = self._asked_of_all.copy()
        for target in (
            ("Client", principal.client_id),
            ("User", principal.user_id),
            ("Operation", operation_id),
        ):
            if target[1] is not None:
                found += [p for p in asked.get((target[0], target[1]), ()) if p not in found]
        return found

    def concerning(self, principal: Principal, operation_id: str | None) -> list[dict[str, Any]]:
        """Return all policies that a request is a candidate for, those that say yes at once too."""
        reached = {
            ("Client", principal.client_id),
            ("User", principal.user_id),
            ("Operation", operation_id),
        }
        return [
            resource
            for resource in self.all
            if "link" not in resource or not reached.isdisjoint(_targets(resource["link"]))
        ]

    def administers(self, principal: Principal) -> bool:
        """Tell whether the caller has administrative rights: all of them, by person."""
        if principal.kind is Kind.PORTAL:
            return principal.role in {"owner", "admin"}
        return self.personal(principal) is not None


def _targets(links: Any) -> list[tuple[str, str]]:
    found = []
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict):
            target = link.get("resourceType"), link.get("id")
            if isinstance(target[0], str) and isinstance(target[1], str):
                found.append((target[0], target[1]))
    return found


def _participant_grant(principal: Principal, method: str, *, administers: bool) -> Grant | None:
    """Owners and admins have full rights, writers all but administration, readers GET."""
    role = principal.role
    allowed = (
        role in {"owner", "admin"}
        or (method in _READS and not administers and role is not None)
        or (role in _WRITERS and not administers)
    )
    return Grant(f"participant:{role}") if allowed else None
