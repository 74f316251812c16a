"""The header X-Audit: what a client wants to stand in the log beside its request.

Source: core specification, "X-Audit"; platform specification, "X-Audit, logs, health".
"""

from __future__ import annotations

import base64

import msgspec

MAX_BYTES = 4096
RESERVED = frozenset(
    {
        "tn", "ev", "lvl", "ts", "d", "w", "msg", "err", "etr", "ctx", "ctx_end", "w_url", "w_m",
        "w_qs", "w_st", "w_addr", "w_corr_id", "w_audit", "sql", "db_prm", "jwt_sub", "jwt_iss",
        "w_uid", "w_cid", "state", "n",
    }
)  # fmt: skip
"""Fields of events that mean something already."""


def decode_audit(header: bytes) -> str | None:
    """Return the members of an event that the header stands for, as JSON without braces.

    base64({"ward": "B"}) -> '"w_audit":{"ward":"B"},"ward":"B"'. None if it is not base64 of a
    JSON object, or longer than MAX_BYTES.
    """
    if len(header) > MAX_BYTES:
        return None
    try:
        audit = msgspec.json.decode(base64.b64decode(header, validate=True))
        if not isinstance(audit, dict):
            return None
        members = {"w_audit": audit, **{k: v for k, v in audit.items() if k not in RESERVED}}
        return msgspec.json.encode(members)[1:-1].decode()
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
