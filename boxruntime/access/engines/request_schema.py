"""The json-schema engine: draft-07 over the request object, with `constant` and `$data`.

`{"const": {"$data": "#/user/data/patient_id"}}` compares with another value of the same request.
One that leads to nothing never matches, and makes the policy false where `not` would turn that
into a yes.
Source: authentication specification, "allow, json-schema".
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from boxruntime.access.engines.regexes import OPTIONS
from boxruntime.access.engines.values import (
    COSTLY,
    PolicyError,
    UnresolvedError,
    costly_members,
    equal,
    value_at,
)

_SAME = "x-box-same-as"
_MAPS = frozenset({"properties", "patternProperties", "definitions", "dependencies", "$defs"})
_LITERALS = frozenset({"enum", "default", "examples"})
_OPEN = (
    "additionalProperties", "patternProperties", "propertyNames", "minProperties",
    "maxProperties", "$ref", "not",
)  # fmt: skip
"""Keywords by which a schema looks at members that it does not name."""
_MAX_DEPTH = 64


_NEGATING = ("not", "if", "oneOf")
"""Keywords under which a value that is not equal may be what makes the request valid."""


class _Current:
    """The request at work. Validation never awaits, so there is one at a time."""

    root: Any = None
    unresolved = False


class _SameAs:
    """The keyword that `$data` becomes."""

    def __init__(self, _parent: dict[str, Any], value: Any, _path: list[str | int]) -> None:
        self._steps = tuple(value) if isinstance(value, list) else ()

    def validate(self, instance: Any) -> None:
        wanted = value_at(_Current.root, self._steps)
        if wanted is None:
            _Current.unresolved = True
        if wanted is None or not equal(instance, wanted):
            raise ValueError("another value than the request has elsewhere")


class RequestSchema:
    """A compiled schema; 2 us for a small one."""

    def __init__(self, schema: Any) -> None:
        """Compile a schema. Raises PolicyError; a remote `$ref` is an error."""
        if not isinstance(schema, dict):
            raise PolicyError("expected a JSON Schema", "schema")
        translated = _translated(schema, 0)
        try:
            self._validator = jsonschema_rs.Draft7Validator(
                translated, keywords={_SAME: _SameAs}, pattern_options=OPTIONS, offline=True
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
            raise PolicyError("the JSON Schema cannot be used", "schema") from None
        text = str(schema)
        self._negates = any(f"'{word}'" in text for word in _NEGATING)
        is_open = any(f"'{word}'" in text for word in _OPEN)
        self.reads = COSTLY if is_open else costly_members(schema)

    def passes(self, request: dict[str, Any]) -> bool:
        """Tell whether the request is valid. Raises UnresolvedError."""
        _Current.root, _Current.unresolved = request, False
        try:
            is_valid = self._validator.is_valid(request)
            if is_valid and _Current.unresolved and self._negates:
                raise UnresolvedError("$data leads to nothing")
            return is_valid
        finally:
            _Current.root = None

    def places(self, request: dict[str, Any]) -> list[list[str | int]]:
        """Return where the request is not valid."""
        _Current.root = request
        try:
            return [list(error.instance_path) for error in self._validator.iter_errors(request)]
        finally:
            _Current.root = None


def _translated(schema: Any, depth: int) -> Any:
    """Return a schema with `constant` as `const`, and with our keyword in the place of `$data`."""
    if depth > _MAX_DEPTH:
        raise PolicyError(f"a schema has at most {_MAX_DEPTH} levels", "schema")
    if isinstance(schema, list):
        return [_translated(item, depth + 1) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        name = "const" if key == "constant" else key
        if name == "const":
            pointer = value.get("$data") if isinstance(value, dict) else None
            if pointer is None:
                result["const"] = value
            else:
                result[_SAME] = _pointer_steps(pointer)
        elif key in _LITERALS:
            result[key] = value
        elif key in _MAPS and isinstance(value, dict):
            result[key] = {each: _translated(below, depth + 1) for each, below in value.items()}
        else:
            result[key] = _translated(value, depth + 1)
    return result


def _pointer_steps(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or not pointer.startswith("#/"):
        raise PolicyError('expected "$data" to be a pointer like "#/user/id"', "schema")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[2:].split("/")]
