"""The caller of a request and the grant that lets it run."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Any

import msgspec


@unique
class Kind(StrEnum):
    """What the caller proved to be."""

    ANONYMOUS = "anonymous"
    CLIENT = "client"
    PORTAL = "portal"  # a person of the platform, let in as a participant of this box


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling. `client` and `user` are whole resources without secrets."""

    kind: Kind
    client: dict[str, Any] | None = None
    user: dict[str, Any] | None = None
    jwt: dict[str, Any] | None = None
    """Claims of the token that was presented, for policies; None for a portal token."""
    token: dict[str, Any] | None = None
    """What introspection said of an opaque token, for policies."""
    role: str | None = None
    """Participant role of a portal caller: owner, admin, writer or reader."""

    @property
    def client_id(self) -> str | None:
        return self.client["id"] if self.client else None

    @property
    def user_id(self) -> str | None:
        return self.user["id"] if self.user else None


ANONYMOUS = Principal(kind=Kind.ANONYMOUS)


class Grant(msgspec.Struct, frozen=True):
    """Permission to run one request, naming what gave it."""

    by: str
    """Id of the policy, "public", or "participant:<role>"."""
