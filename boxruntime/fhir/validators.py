"""Compiled JSON Schema validators, and their errors as our issues.

jsonschema-rs reads Decimal as a number and 1.0 as an integer; FHIR does not (1.0 is no integer),
so `integer` gets a keyword of ours at compile time. `constant` of the served schema becomes
`const` there too.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from boxruntime.fhir.metadata import Metadata

Schema = dict[str, Any]

WHOLE = "wholeNumber"
"""The keyword that `type: integer` becomes."""
_MAX_LISTED = 30
"""Longer code lists make an outcome unreadable."""


class Whole:
    """`wholeNumber`: a JSON number without fraction and exponent. 0.5 us a value."""

    def __init__(self, parent_schema: Any, value: Any, schema_path: Any) -> None:
        pass

    def validate(self, instance: Any) -> None:
        if type(instance) is not int:
            raise ValueError


def compile_schema(schema: Schema) -> jsonschema_rs.Draft7Validator:
    """Return the validator of a draft 7 schema; `integer` means a number without fraction."""
    return jsonschema_rs.Draft7Validator(enforced(schema), keywords={WHOLE: Whole}, offline=True)


def enforced(schema: Any) -> Any:
    """Return the schema with our keywords in the place of `integer` and `constant`."""
    if isinstance(schema, list):
        return [enforced(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: enforced(value) for key, value in schema.items()}
    if schema.get("type") == "integer":
        del result["type"]
        result[WHOLE] = True
    if isinstance(schema.get("constant"), str):
        result["const"] = schema["constant"]
    return result


def schema_issues(
    validator: jsonschema_rs.Validator,
    value: Any,
    type_name: str,
    formats: Mapping[str, str] = MappingProxyType({}),
    own_message: Callable[[jsonschema_rs.ValidationError], str | None] | None = None,
) -> list[Issue]:
    """Return what a validator finds, in the words of the specification, never quoting a value.

    `formats` names the type that a regular expression stands for; `own_message` gives the text
    that a schema has for one of its errors. Of several errors at one place only the wrong type
    counts: the rest follows from it. 26 us for one unknown member.
    Source: core specification, "When and on what" (Messages).
    """
    found: list[tuple[Path, str, str]] = []
    for error in validator.iter_errors(value):
        if _is_excused(value, error):
            continue
        place = tuple(error.instance_path)
        text = own_message(error) if own_message is not None else None
        if text is not None:
            found.append((place, error.kind.name, text))
            continue
        found.extend((path, kind, text) for path, kind, text in _messages(error, place, formats))
    mistyped = {path for path, kind, _ in found if kind == "type"}
    return [
        Issue(message=text, path=path, type_name=type_name)
        for path, kind, text in found
        if kind == "type" or path not in mistyped
    ]


def _is_excused(resource: Any, error: jsonschema_rs.ValidationError) -> bool:
    """Whether `_x` makes up for it: for a missing required x, or a null in an array of them."""
    path = error.instance_path
    kind: Any = error.kind
    if kind.name == "required":
        holder = resource
        for step in path:
            holder = holder[step]
        return f"_{kind.property}" in holder
    if len(path) < 2 or not isinstance(path[-1], int):
        return False
    *above, key, index = path
    holder = resource
    for step in above:
        holder = holder[step]
    return (
        isinstance(holder, dict)
        and isinstance(holder.get(f"_{key}"), list)
        and holder[key][index] is None
    )


def formats_of(metadata: Metadata) -> dict[str, str]:
    """Return which type a regular expression stands for: the first one that has it."""
    cache = metadata.artefacts("formats")
    if not cache:
        for name in ("string", "uri", *sorted(metadata.types)):
            type_def = metadata.types[name]
            if type_def.pattern is not None:
                cache.setdefault(type_def.pattern, name)
    return cache


def _messages(
    error: jsonschema_rs.ValidationError, place: Path, formats: Mapping[str, str]
) -> Iterable[tuple[Path, str, str]]:
    kind: Any = error.kind  # each kind has members of its own
    name = kind.name
    if name == "additionalProperties":
        for member in kind.unexpected:
            yield (*place, member), name, "extra property"
    elif name == "required":
        yield place, name, f"Property {kind.property} is required"
    elif name == "type":
        yield place, name, _expected_type(kind.types)
    elif name == WHOLE:
        yield place, "type", "expected type of integer"
    elif name == "enum":
        yield place, name, f"expected one of {listed(kind.options)}"
    elif name == "const":
        yield place, name, f"expected one of {kind.expected_value}"
    elif name == "pattern":
        wanted = formats.get(kind.pattern)
        yield place, name, f"expected type of {wanted}" if wanted else "wrong format"
    elif name == "anyOf":
        yield place, name, "expected exactly one type of value"
    else:
        yield place, name, _OTHER.get(name, "not as the schema wants it")


_OTHER = {
    "minimum": "too small",
    "maximum": "too large",
    "maxItems": "too many items",
    "minItems": "too few items",
    "minProperties": "expected at least one property",
    "minLength": "too short",
    "maxLength": "too long",
    "format": "wrong format",
    "not": "expected exactly one type of value",
    "uniqueItems": "items are not unique",
    "contains": "the items do not include what is expected",
    "falseSchema": "not allowed here",
}


def _expected_type(types: list[str]) -> str:
    if types == ["array"]:
        return "expected array"
    return f"expected type of {' or '.join(types)}"


def listed(options: list[Any]) -> str:
    """Return allowed values as words of a message; a long list is cut."""
    shown = ", ".join(str(option) for option in options[:_MAX_LISTED])
    return shown if len(options) <= _MAX_LISTED else f"{shown}, …"
