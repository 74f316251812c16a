"""A box's own settings, as its creator sends them: `box-web-thread` becomes `BOX_WEB_THREAD`.

What the platform itself decides about a box (database, keys, base URL, licence, cluster) cannot
be set this way. Source: platform specification, "RPC API", `env`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tenants.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_KEYS = 64
MAX_VALUE_LENGTH = 4096
_KEY = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_REFUSED = frozenset(
    {
        "aidbox-base-url", "aidbox-port", "aidbox-fhir-version", "aidbox-superuser",
        "aidbox-encrypt-key", "aidbox-logs", "box-id", "box-signing-key", "box-access-key",
        "box-participants", "box-outbound-allow", "database-url", "redis-url",
        # These steer an interpreter or its libraries, where they reach one.
        "path", "home", "tmpdir",
    }
)  # fmt: skip
_REFUSED_PREFIXES = (
    "aidbox-license", "aidbox-cluster-", "aidbox-client-", "aidbox-admin-", "halebox-", "openid-",
    "pg", "ld-", "python", "ssl-",
)  # fmt: skip
_REFUSED_SUFFIXES = ("-proxy",)


def check_environment(environment: Mapping[str, object]) -> dict[str, str]:
    """Return the settings unchanged. Raises InvalidRequestError naming the key, not the value."""
    if len(environment) > MAX_KEYS:
        raise InvalidRequestError("env", f"A box takes at most {MAX_KEYS} settings.")
    checked = {}
    for key, value in environment.items():
        if not isinstance(key, str) or len(key) > 64 or not _KEY.fullmatch(key):
            raise InvalidRequestError(
                "env", "Settings are named in lower case with hyphens, like box-web-thread."
            )
        if key in _REFUSED or key.startswith(_REFUSED_PREFIXES) or key.endswith(_REFUSED_SUFFIXES):
            raise InvalidRequestError("env", f"{key} is set by the platform.")
        if not isinstance(value, str) or len(value) > MAX_VALUE_LENGTH or "\0" in value:
            raise InvalidRequestError(
                "env", f"{key} must be a text of at most {MAX_VALUE_LENGTH} characters."
            )
        checked[key] = value
    return checked


def variable_name(key: str) -> str:
    """Return the name of the environment variable for a checked key."""
    return key.replace("-", "_").upper()
