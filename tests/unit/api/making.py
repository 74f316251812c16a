"""Calls as the pipeline makes them, without a box behind."""

from __future__ import annotations

from boxruntime.access.principal import ANONYMOUS
from boxruntime.api.call import Body, Call
from boxruntime.api.routes import ROUTES
from boxruntime.fhir.outcome import Dialect
from boxruntime.http.target import parse_query


def call(query="", *, dialect=Dialect.FHIR, method="GET", body=None, **headers):
    return Call(
        route=ROUTES[0],
        method=method,
        dialect=dialect,
        uri="/fhir/Patient/p1" if dialect is Dialect.FHIR else "/Patient/p1",
        parameters={"type": "Patient", "id": "p1"},
        query=parse_query(query.encode()),
        headers={
            name.replace("_", "-").encode(): value.encode() for name, value in headers.items()
        },
        body=Body(value=body) if body is not None else Body(),
        base="http://box.test",
        principal=ANONYMOUS,
    )
