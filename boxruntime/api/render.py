"""Stage eight: a Result or a failure becomes a Response. Cannot fail.

Source: core specification, "Response headers", "Errors", "Media types", "Meta".
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.expression import render_expression
from boxruntime.fhir.formats import to_fhir
from boxruntime.fhir.json_text import encode_json, indent_json
from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.fhir.release import issue_code, issue_place, json_media_type
from boxruntime.fhir.shapes import shape_of
from boxruntime.http.messages import Response
from boxruntime.http.negotiation import Format
from boxruntime.http.yaml_output import encode_yaml
from boxruntime.storage.rows import Stored, instant

if TYPE_CHECKING:
    from boxruntime.api.call import Call, Result
    from boxruntime.fhir.metadata import Metadata

_JSON = (b"content-type", b"application/json; charset=utf-8")
_YAML = (b"content-type", b"text/yaml; charset=utf-8")
_NO_STORE = (b"cache-control", b"no-store")

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def render_resource(metadata: Metadata, stored: Stored, dialect: Dialect) -> dict[str, Any]:
    """Return a stored resource in the representation of the dialect."""
    resource = stored.resource()
    if dialect is Dialect.AIDBOX:
        return resource
    shape = shape_of(metadata, stored.resource_type, resource)
    return to_fhir(metadata, resource, type_name=shape, text=stored.text)


def etag(stored: Stored, dialect: Dialect) -> str:
    """Return the version tag: a bare number at root, a weak tag at /fhir."""
    return f'W/"{stored.txid}"' if dialect is Dialect.FHIR else str(stored.txid)


def location(call: Call, stored: Stored) -> str:
    """Return the absolute URL of this version."""
    return f"{call.fhir_base}/{stored.resource_type}/{stored.id}/_history/{stored.txid}"


def render_result(metadata: Metadata, call: Call, result: Result, format_: Format) -> Response:
    """Return the response to a request that succeeded."""
    headers = [*result.headers]
    stored = result.stored
    if stored is not None:
        headers.append((b"etag", etag(stored, call.dialect).encode()))
        headers.append((b"last-modified", http_date(int(stored.ts.timestamp()))))
        if result.is_write:
            headers.append((b"location", location(call, stored).encode()))
    if is_quiet(call, result):
        return Response(204, headers)
    if result.status in {204, 304}:
        return Response(result.status, headers)
    if result.stream is not None:
        return Response(result.status, headers, stream=result.stream)
    if result.raw is not None:
        return Response(result.status, headers, result.raw)
    value = result.value
    if result.is_write:
        preference = preferred_return(call.header(b"prefer"))
        if preference == "minimal":
            return Response(result.status, headers)
        if preference == "OperationOutcome":
            value = success_outcome(call.dialect)
    pretty = call.parameter("_pretty") == "true"
    if stored is not None and value is None:
        if (
            call.dialect is Dialect.AIDBOX
            and format_ is Format.JSON
            and not stored.overlaps
            and not pretty
            and stored.text is not None
            and stored.text.startswith("{")
        ):
            headers.append(_JSON)
            return Response(result.status, headers, _spliced(stored))
        value = render_resource(metadata, stored, call.dialect)
    headers.append(_content_type(metadata, call.dialect, format_))
    return Response(result.status, headers, encode(value, format_, pretty=pretty))


def is_quiet(call: Call, result: Result) -> bool:
    """Tell whether a write shall be answered with 204 and nothing else."""
    return result.is_write and call.parameter("_no-content") == "true"


def _content_type(
    metadata: Metadata | None, dialect: Dialect, format_: Format
) -> tuple[bytes, bytes]:
    if format_ is Format.YAML:
        return _YAML
    return _JSON if dialect is Dialect.AIDBOX else _fhir_json(json_media_type(metadata))


@lru_cache(maxsize=2)
def _fhir_json(media_type: str) -> tuple[bytes, bytes]:
    return b"content-type", f"{media_type}; charset=utf-8".encode()


def encode(value: Any, format_: Format, *, pretty: bool = False) -> bytes:
    """Return a JSON value in one of the formats."""
    if format_ is Format.YAML:
        return encode_yaml(value)
    return indent_json(value) if pretty else encode_json(value)


def _spliced(stored: Stored) -> bytes:
    """Return the root rendering by putting the columns in front of the document's text.

    Saves the parse and the encoding of the document. Agrees with `Stored.resource` as long as
    the document repeats none of the columns, which `overlaps` tells.
    """
    text = stored.text or "{}"
    rest = text[1:] if text == "{}" else "," + text[1:]
    resource_type, id_ = encode_json([stored.resource_type, stored.id]).decode()[1:-1].split(",", 1)
    return (
        f'{{"resourceType":{resource_type},"id":{id_},'
        f'"meta":{{"versionId":"{stored.txid}","lastUpdated":"{instant(stored.ts)}",'
        f'"createdAt":"{instant(stored.cts)}"}}{rest}'
    ).encode()


@lru_cache(maxsize=4096)
def http_date(seconds: int) -> bytes:
    """Return an HTTP date of a Unix time: Sun, 05 Jan 2020 10:11:12 GMT."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month - 1]} "
        f"{moment.year:04d} {moment:%H:%M:%S} GMT"
    ).encode()


def preferred_return(prefer: str | None) -> str | None:
    """Return what a Prefer header asks for: minimal, representation, OperationOutcome or None."""
    if not prefer:
        return None
    for item in prefer.replace(";", ",").split(","):
        name, _, value = item.partition("=")
        if name.strip().lower() == "return":
            return value.strip().strip('"')
    return None


def success_outcome(dialect: Dialect) -> dict[str, Any]:
    """Return the OperationOutcome of a request in which nothing was wrong."""
    issue = Issue(message="all ok", severity="information", code="informational")
    return _outcome(None, "allok", [issue], "all ok", dialect)


def validation_outcome(metadata: Metadata, issues: list[Issue], dialect: Dialect) -> dict[str, Any]:
    """Return the OperationOutcome of `$validate`: valid unless an issue is fatal or an error."""
    if any(issue.severity in {"fatal", "error"} for issue in issues):
        fault = Fault.UNPROCESSABLE
        return _outcome(metadata, fault.outcome_id, issues, "Invalid resource", dialect, fault.code)
    all_ok = Issue(message="all ok", severity="information", code="informational")
    return _outcome(metadata, "allok", [*issues, all_ok], "all ok", dialect)


def search_warnings(metadata: Metadata, issues: list[Issue], dialect: Dialect) -> dict[str, Any]:
    """Return the OperationOutcome inside a Bundle: what was ignored."""
    return _outcome(metadata, "warning", issues, issues[0].message, dialect, "not-supported")


def error_outcome(
    metadata: Metadata | None, error: OutcomeError, dialect: Dialect
) -> dict[str, Any]:
    """Return the OperationOutcome of a failure: a superset at root, FHIR elements at /fhir."""
    fault = error.fault
    headline = {
        Fault.UNPROCESSABLE: "Invalid resource",
    }.get(fault, error.issues[0].message if error.issues else fault.outcome_id)
    outcome = _outcome(metadata, fault.outcome_id, error.issues, headline, dialect, fault.code)
    if dialect is Dialect.AIDBOX and fault in {Fault.FORBIDDEN, Fault.LOGIN}:
        outcome["message"] = headline
    return outcome


def _outcome(
    metadata: Metadata | None,
    outcome_id: str,
    issues: list[Issue],
    headline: str,
    dialect: Dialect,
    code: str = "informational",
) -> dict[str, Any]:
    rendered = []
    is_fhir = dialect is Dialect.FHIR
    for issue in issues:
        item: dict[str, Any] = {"severity": issue.severity, "code": issue.code or code}
        if is_fhir:
            item["code"] = issue_code(metadata, item["code"])
        expression = issue.expression
        if expression is None and issue.type_name is not None and metadata is not None:
            expression = render_expression(metadata, issue, dialect)
        if expression is not None:
            member, place = issue_place(metadata if is_fhir else None, expression)
            item[member] = [place]
        item["diagnostics"] = issue.message
        rendered.append(item)
    div = (
        f'<div xmlns="http://www.w3.org/1999/xhtml">{escape(headline)}</div>'
        if is_fhir
        else headline
    )
    outcome: dict[str, Any] = {
        "resourceType": "OperationOutcome",
        "id": outcome_id,
        "text": {"status": "generated", "div": div},
        "issue": rendered,
    }
    if not is_fhir:
        found = [issue for issue in issues if issue.severity in {"fatal", "error"}]
        outcome["errors"] = [
            {
                "path": list(issue.path),
                "message": issue.message,
                **(
                    {"profile": {"id": issue.profile, "resourceType": "AidboxProfile"}}
                    if issue.profile
                    else {}
                ),
            }
            for issue in found
        ]
        outcome["warnings"] = [
            {"path": list(issue.path), "message": issue.message}
            for issue in issues
            if issue.severity == "warning"
        ]
    return outcome


def render_error(
    metadata: Metadata | None,
    error: OutcomeError,
    dialect: Dialect,
    format_: Format,
    headers: list[tuple[bytes, bytes]] | None = None,
    *,
    pretty: bool = False,
) -> Response:
    """Return the response to a request that failed."""
    sent = [*(headers or []), _content_type(metadata, dialect, format_), _NO_STORE]
    outcome = error_outcome(metadata, error, dialect)
    return Response(error.fault.status, sent, encode(outcome, format_, pretty=pretty))
