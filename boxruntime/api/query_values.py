"""What the SQL of a stored query may ask for: its parameters and the request around them.

Source: search specification, 8 AidboxQuery, 9 SearchQuery.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from boxruntime.fhir.json_text import NumberRangeError, decode_sent
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.storage.sql.binding import Bound, TooManyParametersError, fill, table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from boxruntime.api.call import Call

DEFAULT_TIMEOUT_MS = 60_000
_MAX_TIMEOUT_MS = 2**31 - 1
_WHOLE = re.compile(r"[-+]?\d{1,19}")
_DECIMAL = re.compile(r"[-+]?\d{1,400}(\.\d{1,400})?([eE][-+]?\d{1,3})?")
_INT64 = 2**63
_JAVA_DIRECTIVE = re.compile(r"%(%|(?:1\$)?[sd]|.?)", re.DOTALL)


def percent_format(format_: str, text: str) -> str:
    """Return a value in a Java format: `%s` is the value, `%%` a percent sign."""

    def directive(found: re.Match[str]) -> str:
        if found[1] == "%":
            return "%"
        if found[1][-1:] in {"s", "d"}:
            return text
        raise OutcomeError(Fault.UNPROCESSABLE, "The format of a parameter knows %s and %% only.")

    return _JAVA_DIRECTIVE.sub(directive, format_)


def question_format(format_: str, text: str) -> str:
    """Return a value in a format whose `?` is the value."""
    return format_.replace("?", text)


def read_parameters(
    defined: Any,
    sent: Mapping[str, Any],
    formatted: Callable[[str, str], str],
    *,
    missing: Callable[[str], str],
) -> dict[str, Any]:
    """Return all parameters: those that are defined in their types, others as they were sent.

    Raises OutcomeError: UNPROCESSABLE for a required one that is missing, INVALID for a value that
    is not of its type.
    """
    values = dict(sent)
    for name, definition in defined.items() if isinstance(defined, dict) else ():
        rules = definition if isinstance(definition, dict) else {}
        if name not in values:
            if rules.get("isRequired") is True and rules.get("default") is None:
                raise OutcomeError(Fault.UNPROCESSABLE, missing(name))
            if rules.get("default") is None:
                continue
            values[name] = rules["default"]
        value = values[name]
        if isinstance(value, str):
            value = _typed(name, rules.get("type", "string"), value)
        if isinstance(rules.get("format"), str):
            value = formatted(rules["format"], _as_text(value))
        values[name] = value
    return values


def _typed(name: str, type_: Any, text: str) -> Any:
    value: Any = None
    if type_ == "integer" and _WHOLE.fullmatch(text):
        value = int(text)
        value = value if -_INT64 <= value < _INT64 else None
    elif type_ == "number" and _DECIMAL.fullmatch(text):
        value = Decimal(text)
    elif type_ == "boolean":
        value = {"true": True, "false": False}.get(text)
    elif type_ == "object":
        value = _object(text)
    elif type_ not in {"integer", "number"}:
        return text
    if value is None:
        raise OutcomeError(Fault.INVALID, f"The value of parameter {name} is no {type_}.")
    return value


def _object(text: str) -> Any:
    try:
        return decode_sent(text.encode())
    except (msgspec.DecodeError, NumberRangeError, RecursionError):
        return None


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)


def context_of(call: Call, params: dict[str, Any], resource_type: str | None) -> dict[str, Any]:
    """Return what templates of this request can ask for."""
    return {
        "params": params,
        "user": call.principal.user,
        "client": call.principal.client,
        "headers": {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in call.headers.items()
            if name not in {b"authorization", b"cookie", b"x-client-auth"}
        },
        "uri": call.uri,
        "scheme": urlsplit(call.base).scheme,
        "request-method": call.method.lower(),
        "resourceType": resource_type,
    }


def fill_template(template: Any, context: dict[str, Any]) -> Bound:
    """Return the statement of a template in which `{{a.b}}` names a value of the context.

    Raises OutcomeError UNPROCESSABLE for a template that cannot be filled.
    """
    if not isinstance(template, str) or not template.strip() or "\x00" in template:
        raise OutcomeError(Fault.UNPROCESSABLE, "The query has no SQL.")

    def inline(path: str) -> str | None:
        if path != "resourceType":
            return None
        if context["resourceType"] is None:
            raise OutcomeError(Fault.UNPROCESSABLE, "The query is about a resource type.")
        return table_name(context["resourceType"])

    try:
        return fill(template, lambda path: _at(context, path), inline)
    except TooManyParametersError:
        raise OutcomeError(Fault.UNPROCESSABLE, "The statement has too many parameters.") from None


def _at(context: Any, path: str) -> Any:
    value = context
    for step in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def timeout_ms(call: Call) -> int:
    """Return the limit of time that the request sets. Raises OutcomeError INVALID."""
    text = call.parameter("_timeout")
    if not text:
        return DEFAULT_TIMEOUT_MS
    if not text.isdecimal() or not 0 < int(text) <= _MAX_TIMEOUT_MS:
        raise OutcomeError(Fault.INVALID, "_timeout is a number of milliseconds.")
    return int(text)
