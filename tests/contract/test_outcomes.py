"""Every failure is an OperationOutcome; every fault has a legal FHIR issue code."""

from __future__ import annotations

import pytest

from boxruntime.api.render import error_outcome, render_error, success_outcome
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.fhir.validation import validate
from boxruntime.http.negotiation import Format

METADATA = base_metadata("4.0.1")
STATUSES = {
    "INVALID": 400, "LOGIN": 401, "FORBIDDEN": 403, "NOT_FOUND": 404, "CONFLICT": 409, "GONE": 410,
    "PRECONDITION_FAILED": 412, "MULTIPLE_MATCHES": 412, "UNPROCESSABLE": 422,
}  # fmt: skip


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("dialect", Dialect)
def test_every_fault_renders_as_a_valid_operation_outcome(fault, dialect):
    error = OutcomeError(fault, [Issue(message="first"), Issue(message="<second>", code="invalid")])
    outcome = error_outcome(METADATA, error, dialect)
    assert [issue["diagnostics"] for issue in outcome["issue"]] == ["first", "<second>"]
    assert {issue["severity"] for issue in outcome["issue"]} == {"fatal"}
    if dialect is Dialect.FHIR:
        assert outcome.keys() == {"resourceType", "id", "text", "issue"}
        assert "<second>" not in outcome["text"]["div"]
        assert validate(METADATA, "OperationOutcome", outcome, dialect) == []
    else:
        assert outcome["errors"] == [
            {"path": [], "message": "first"},
            {"path": [], "message": "<second>"},
        ]
        assert outcome["warnings"] == []


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("format_", Format)
def test_an_error_has_a_content_type_in_every_format(dialect, format_):
    response = render_error(METADATA, OutcomeError(Fault.GONE, "gone"), dialect, format_)
    assert response.status == 410
    headers = dict(response.headers)
    assert headers[b"content-type"].endswith(b"; charset=utf-8")
    assert headers[b"cache-control"] == b"no-store"
    assert b"gone" in response.body


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_the_statuses_of_the_specification(name, status):
    assert Fault[name].status == status


@pytest.mark.parametrize("dialect", Dialect)
def test_success_has_an_issue_too(dialect):
    outcome = success_outcome(dialect)
    assert (outcome["id"], outcome["issue"][0]["severity"]) == ("allok", "information")
