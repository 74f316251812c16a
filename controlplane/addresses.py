"""The URLs under which people and programs reach a box."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tenants.names import host_name

if TYPE_CHECKING:
    from controlplane.environment import Environment


def box_host(name: str, environment: Environment) -> str:
    """Return `<box>.<domain>[:port]`, the port being the console's."""
    port = urlsplit(environment.base_url).port
    host = host_name(name, environment.cluster_domain)
    return f"{host}:{port}" if port else host


def box_url(name: str, environment: Environment) -> str:
    """Return the box's base URL, without a slash at the end."""
    scheme = urlsplit(environment.base_url).scheme
    return f"{scheme}://{box_host(name, environment)}"


def access_url(name: str, sudo_token: str, path: str, environment: Environment) -> str:
    """Return the link that signs a person in to the box; `path` is where it leads there."""
    query = f"token={quote(sudo_token)}&redirect-uri={quote(path)}"
    return f"{box_url(name, environment)}/__sudo?{query}"
