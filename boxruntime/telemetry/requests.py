"""A request in the log: `w/req` when it comes, `w/resp` when it is answered.

What does not change between the two events is encoded once. Both cost a read 4 us together.
Source: core specification, "Structured logs".
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from boxruntime.telemetry.audit import decode_audit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxruntime.telemetry.log import EventLog

MAX_HEADER_CHARS = 256
MAX_TARGET_CHARS = 2048  # of path and query each: a line is for people
_NAME = re.compile(rb"[A-Za-z0-9_.:\-$%]{1,64}")
_encode = msgspec.json.encode


class _Request(msgspec.Struct, omit_defaults=True, gc=False):
    ctx: str
    w_m: str
    w_url: str
    w_qs: str | None
    w_addr: str
    w_corr_id: str | None = None


class Caller(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """Who sent a request: ids, and subject and issuer of a token."""

    w_cid: str | None = None
    w_uid: str | None = None
    jwt_sub: str | None = None
    jwt_iss: str | None = None


class Trail:
    """What one request leaves in the log."""

    __slots__ = ("_common", "_log", "_started", "caller")

    def __init__(self, log: EventLog, common: bytes, started: float) -> None:
        self._log = log
        self._common = common
        self._started = started
        self.caller: Caller | None = None

    def end(self, status: int) -> None:
        """Write `w/resp`, the last event of the request."""
        caller = b"," + _encode(self.caller)[1:] if self.caller is not None else b"}"
        if caller == b",}":
            caller = b"}"
        self._log.add(
            b'%b,"ev":"w/resp","ts":%b,"d":%.3f,"w_st":%d,"ctx_end":true,%b%b'
            % (
                self._log.common,
                _encode(datetime.now(UTC)),
                (time.perf_counter() - self._started) * 1000,
                status,
                self._common,
                caller,
            )
        )


def begin(
    log: EventLog,
    request_id: str,
    *,
    method: str,
    path: bytes,
    query: bytes,
    peer: str,
    headers: Mapping[bytes, bytes],
) -> Trail:
    """Write `w/req` and return the trail that ends with `w/resp`."""
    correlation = headers.get(b"x-correlation-id")
    common = _encode(
        _Request(
            request_id,
            method.lower(),
            path[:MAX_TARGET_CHARS].decode("latin-1"),
            _query_of(query[:MAX_TARGET_CHARS], whole=log.values) if query else None,
            _address(headers, peer),
            None if correlation is None else _text(correlation),
        )
    )[1:-1]
    audit = headers.get(b"x-audit")
    if audit is not None:
        members = decode_audit(audit)
        if members is None:
            log.write(
                "w/warn", level="warn", ctx=request_id,
                msg="X-Audit is not the base64 of a JSON object, or too long: it was ignored.",
            )  # fmt: skip
        else:
            common += b"," + members
    log.add(b'%b,"ev":"w/req","ts":%b,%b}' % (log.common, _encode(datetime.now(UTC)), common))
    return Trail(log, common, time.perf_counter())


def _query_of(query: bytes, *, whole: bool) -> str:
    """Return the query string, its values masked: `name=Oak&_count=5` -> `name=*&_count=*`."""
    if whole:
        return query.decode("latin-1")
    return b"&".join([_masked(item) for item in query.split(b"&") if item]).decode("latin-1")


def _masked(item: bytes) -> bytes:
    name, equals, _ = item.partition(b"=")
    if not equals or not _NAME.fullmatch(name):
        return b"*"  # whatever it is, it is no name of a parameter
    return name + b"=*"


def _address(headers: Mapping[bytes, bytes], peer: str) -> str:
    """Return the chain of addresses as far as it is told, the client's first."""
    forwarded = headers.get(b"x-forwarded-for")
    if forwarded is None:
        return peer
    return f"{_text(forwarded)}, {peer}" if peer else _text(forwarded)


def _text(header: bytes) -> str:
    return header[:MAX_HEADER_CHARS].decode("latin-1")
