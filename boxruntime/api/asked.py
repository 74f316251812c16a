"""What a request asks for, as far as it decides who may: before there is a Call, and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxruntime.api.call import Body
    from boxruntime.fhir.outcome import Dialect


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request, or one entry of a Bundle, in whose stead `headers` and `peer` are its Bundle's.

    `uri` is the path that the router used, `method` the effective one; `parameters` come from the
    path, `query` from the query string, whose bytes are `query_string`. `peer` is the address of
    who connected, empty for a unix socket.
    """

    dialect: Dialect
    method: str
    uri: str
    parameters: Mapping[str, str]
    query: list[tuple[str, str]]
    query_string: bytes
    headers: Mapping[bytes, bytes]
    body: Body
    peer: str
    scheme: str
    request_id: str

    def inner(
        self,
        *,
        dialect: Dialect,
        method: str,
        uri: str,
        parameters: Mapping[str, str],
        body: Body,
        query: list[tuple[str, str]] | None = None,
        query_string: bytes = b"",
    ) -> Asked:
        """Return a request that this one brings with it, such as an entry of a Bundle."""
        return msgspec.structs.replace(
            self,
            dialect=dialect,
            method=method,
            uri=uri,
            parameters=parameters,
            query=query or [],
            query_string=query_string,
            body=body,
        )
