"""Pieces of JSON Schema that converted profiles are put together from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.profiles.checking import MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.fhir.profiles.value_sets import Codes

Schema = dict[str, Any]

MAX_SIZE = 200_000
"""Of one profile, in codes; the largest of US Core has 6,000."""
NODE = 10
"""What an element counts: about as much text as ten codes."""

CODED = frozenset({"code", "string", "uri", "Coding", "CodeableConcept", "Quantity"})
"""Types that a binding can be checked on."""


class Members:
    """Gathers what is demanded of the members of one object."""

    def __init__(self) -> None:
        self._properties: dict[str, list[Schema]] = {}
        self._forbidden: dict[str, None] = {}
        self._required: dict[str, None] = {}
        self.rules: list[Schema] = []

    def add(self, name: str, schema: Schema) -> None:
        if schema:
            self._properties.setdefault(name, []).append(schema)

    def require(self, name: str) -> None:
        self._required[name] = None

    def forbid(self, name: str) -> None:
        """Forbid a member, and what stands in its place or beside it as `_name`."""
        self._forbidden |= {name: None, f"_{name}": None}

    def build(self) -> Schema:
        schema: Schema = {}
        properties: dict[str, Any] = {
            name: all_of(found) for name, found in self._properties.items()
        }
        properties |= dict.fromkeys(self._forbidden, False)
        if properties:
            schema["properties"] = properties
        if self._required:
            schema["required"] = list(self._required)
        return all_of([schema, *self.rules])


def all_of(schemas: Iterable[Schema]) -> Schema:
    """Return a schema that demands what all of these do; {} if they demand nothing."""
    found = [schema for schema in schemas if schema]
    if len(found) < 2:
        return found[0] if found else {}
    return {"allOf": found}


def present(name: str, schema: Schema, *, array: bool) -> Schema:
    """Return a schema of objects whose member is there and (one item of it) like `schema`."""
    inner = {"contains": schema} if array else schema
    return {"required": [name], "properties": {name: inner}} if inner else {"required": [name]}


def like(pattern: Any) -> Schema:
    """Return the schema of values that hold all of a pattern[x], at any depth."""
    if isinstance(pattern, dict):
        properties = {name: like(item) for name, item in pattern.items()}
        return {"properties": properties, "required": list(pattern)}
    if isinstance(pattern, list):
        return all_of({"contains": like(item), MESSAGE: _expected(item)} for item in pattern)
    return {"const": pattern}


def same(fixed: Any) -> Schema:
    """Return the schema of values that are a fixed[x] and nothing else."""
    if isinstance(fixed, dict):
        properties = {name: same(item) for name, item in fixed.items()}
        return {"properties": properties, "required": list(fixed), "additionalProperties": False}
    if isinstance(fixed, list):
        count = len(fixed)
        return {"prefixItems": list(map(same, fixed)), "minItems": count, "maxItems": count}
    return {"const": fixed}


def _expected(item: Any) -> str:
    if not isinstance(item, dict):
        return f"expected an item {item}"
    told = [f"{name} {value}" for name, value in item.items() if not isinstance(value, dict | list)]
    return f"expected an item with {', '.join(told)}" if told else "expected another item"


def member_of(codes: Codes, type_name: str, value_set: str) -> Schema:
    """Return the schema of values of a coded type that lie in a value set."""
    if type_name == "CodeableConcept":
        coding = member_of(codes, "Coding", value_set)
        message = f"expected a code of {value_set}"
        return {
            "required": ["coding"],
            "properties": {"coding": {"contains": coding, MESSAGE: message}},
        }
    if type_name not in ("Coding", "Quantity"):
        return {"enum": sorted(set().union(*codes.values()))}
    by_system = [_of_system(system, found) for system, found in sorted(codes.items()) if found]
    if len(by_system) == 1:
        return by_system[0]
    return {"anyOf": by_system, MESSAGE: f"expected a code of {value_set}"}


def _of_system(system: str, codes: frozenset[str]) -> Schema:
    properties: Schema = {"code": {"enum": sorted(codes)}}
    if not system:
        return {"properties": properties, "required": ["code"]}
    return {
        "properties": {"system": {"const": system}, **properties},
        "required": ["system", "code"],
    }
