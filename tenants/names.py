"""From a box's name to its database, role and host label. No other module builds these.

A box name is lower-case ASCII letters and digits, so that one and the same text is a valid DNS
label, PostgreSQL identifier and file name, and two names can never collide in any of them.
Source: platform specification, "Sign-up and boxes".
"""

from __future__ import annotations

import re

MAX_LENGTH = 40  # below PostgreSQL's 63 bytes and DNS's 63 octets, with room for prefixes
_NAME = re.compile(r"[a-z][a-z0-9]{4,39}")

RESERVED = frozenset(
    {
        "aidbox", "account", "accounts", "admin", "admins", "assets", "billing", "cluster",
        "console", "control", "dashboard", "debug", "docs", "email", "files", "forum",
        "halebox", "health", "healthcheck", "hostmaster", "internal", "license", "localhost",
        "login", "logout", "manage", "master", "metrics", "oauth", "ontology", "operator",
        "portal", "postgres", "postmaster", "private", "public", "registry", "replica", "root0",
        "security", "server", "signin", "signup", "smtp0", "static", "status", "support",
        "system", "template", "template0", "template1", "valkey", "webmail", "webmaster",
    }
)  # fmt: skip


class InvalidBoxNameError(ValueError):
    """The text is no box name; `str(error)` is a sentence for the person who chose it."""


def check_box_name(text: str) -> str:
    """Return `text` unchanged if it may name a box. Raises InvalidBoxNameError."""
    if len(text) > MAX_LENGTH:
        raise InvalidBoxNameError(f"A box name has at most {MAX_LENGTH} characters.")
    if not _NAME.fullmatch(text):
        raise InvalidBoxNameError(
            "A box name starts with a lower-case letter, followed by at least four "
            "lower-case letters or digits."
        )
    if text in RESERVED:
        raise InvalidBoxNameError("This name is reserved.")
    return text


def database_name(box: str) -> str:
    """Return the name of the box's database: its own name."""
    return check_box_name(box)


def role_name(box: str) -> str:
    """Return the PostgreSQL role of the box; the prefix keeps it apart from people's roles."""
    return f"box_{check_box_name(box)}"


def host_name(box: str, cluster_domain: str) -> str:
    """Return the host under which the box is reached, without a port."""
    return f"{check_box_name(box)}.{cluster_domain}"
