"""Calls as the pipeline makes them, without a box behind."""

from __future__ import annotations

from boxruntime.access.principal import ANONYMOUS
from boxruntime.api.asked import Asked
from boxruntime.api.call import Body, Call
from boxruntime.api.routes import ROUTES
from boxruntime.fhir.outcome import Dialect
from boxruntime.http.target import parse_query


def call(query="", *, dialect=Dialect.FHIR, method="GET", body=None, **headers):
    sent = Body(value=body) if body is not None else Body()
    uri = "/fhir/Patient/p1" if dialect is Dialect.FHIR else "/Patient/p1"
    parameters = {"type": "Patient", "id": "p1"}
    pairs = parse_query(query.encode())
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Call(
        asked=Asked(
            dialect=dialect,
            method=method,
            uri=uri,
            parameters=parameters,
            query=pairs,
            query_string=query.encode(),
            headers=given,
            body=sent,
            peer="",
            scheme="http",
            request_id="r",
        ),
        route=ROUTES[0],
        method=method,
        dialect=dialect,
        uri=uri,
        parameters=parameters,
        query=pairs,
        headers=given,
        body=sent,
        base="http://box.test",
        principal=ANONYMOUS,
    )
