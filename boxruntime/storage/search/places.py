"""Where a condition looks: rows, and values inside their documents, as SQL expressions.

A path of plain keys becomes jsonpath, which is evaluated in C: 1.4 us for the five paths of a
name, against 19 us for `knife_extract_text`. Containment (`@>`) is served by the GIN index.
Source: search specification, 1.2 and 4.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.json_text import decode_json
from boxruntime.fhir.search.query import Having, Index, Key, Location, Step
from boxruntime.storage.search.statement import Binder, identifier, literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FALSE = "false"
TRUE = "true"
NOT_FALSE = '@ != null && (@.type() != "boolean" || @ == true)'
"""jsonpath test of a value that is there and not false (`@ != false` is unknown for a text)."""


class Row(NamedTuple):
    """What a condition is about: a table row, or a resource inside another (contained)."""

    type: str
    document: str
    """SQL expression of the resource in Aidbox format."""
    id: str
    """SQL expression of its id."""
    alias: str | None = None
    """Table alias; None = no row of its own."""

    def column(self, name: str) -> str:
        assert self.alias is not None
        return f"{self.alias}.{name}"

    def inside(self, document: str) -> Row:
        """Return the same row with its paths starting at a node of it (composites)."""
        return self._replace(document=document)


def table_row(type_name: str, alias: str | None = None) -> Row:
    """Return the row of a type's table under its own quoted name, or under an alias."""
    name = alias or table_of(type_name)
    return Row(type_name, f"{name}.resource", f"{name}.id", name)


def table_of(type_name: str) -> str:
    """Return the quoted table name of a type."""
    return identifier(type_name.lower())


def any_of(tests: Iterable[str]) -> str:
    """Join tests by OR; none = never."""
    tests = [test for test in dict.fromkeys(tests) if test != FALSE]
    if TRUE in tests:
        return TRUE
    if not tests:
        return FALSE
    return tests[0] if len(tests) == 1 else "(" + " OR ".join(tests) + ")"


def all_of(tests: Iterable[str]) -> str:
    """Join tests by AND; none = always."""
    tests = [test for test in dict.fromkeys(tests) if test != TRUE]
    if FALSE in tests:
        return FALSE
    if not tests:
        return TRUE
    return tests[0] if len(tests) == 1 else "(" + " AND ".join(tests) + ")"


class NoShapeError(Exception):
    """The path cannot be stated as containment."""


def contains(row: Row, steps: Sequence[Step], leaf: Any, binder: Binder) -> str:
    """Return `document @> shape` for a value at a path. Raises NoShapeError."""
    value = _shape(steps, leaf)
    return FALSE if value is None else f"{row.document} @> {binder.jsonb(value)}"


def _shape(steps: Sequence[Step], leaf: Any) -> Any:
    """Wrap a value in its path; None if a filter step contradicts it."""
    value = leaf
    for step in reversed(steps):
        match step:
            case Key(name, array):
                value = {name: [value] if array else value}
            case Having(pattern):
                value = _merge(decode_json(pattern), value)
                if value is None:
                    return None
            case Index():
                raise NoShapeError
    return value


def _merge(pattern: dict[str, Any], value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        raise NoShapeError
    for key in pattern.keys() & value.keys():
        if isinstance(pattern[key], dict | list) or isinstance(value[key], dict | list):
            raise NoShapeError
        if pattern[key] != value[key]:
            return None
    return {**pattern, **value}


def keys(*names: str) -> tuple[Key, ...]:
    """Return steps into single members."""
    return tuple(Key(name) for name in names)


def jsonpath(steps: Sequence[Step], test: str = "@ != null") -> str:
    """Return a jsonpath literal to all values at a path of keys, flattened, that pass `test`.

    Raises NoShapeError for other steps.
    """
    path = "$"
    for step in steps:
        if not isinstance(step, Key):
            raise NoShapeError
        path += "." + json.dumps(step.name, ensure_ascii=False)
    if steps:
        path += "[*]"
    return literal(f"{path} ? ({test})")


def path_array(steps: Sequence[Step]) -> list[Any]:
    """Return the steps as a PathArray."""
    found: list[Any] = []
    for step in steps:
        match step:
            case Key(name):
                found.append(name)
            case Index(position):
                found.append(position)
            case Having(pattern):
                found.append(decode_json(pattern))
    return found


def path_arrays(paths: Iterable[Sequence[Step]]) -> str:
    """Return a SQL literal of PathArrays, as the extraction functions take them."""
    return literal(json.dumps([path_array(steps) for steps in paths], ensure_ascii=False))


def values_at(row: Row, steps: Sequence[Step]) -> str:
    """Return a set-returning expression: all values at a path as jsonb."""
    try:
        return f"jsonb_path_query({row.document}, {jsonpath(steps)})"
    except NoShapeError:
        return f"unnest(knife_extract({row.document}, {path_arrays([steps])}))"


def exists_at(row: Row, steps: Sequence[Step], test: str | None, alias: str) -> str:
    """Return whether some value at a path passes a SQL test on `alias` (jsonb)."""
    if test == FALSE:
        return FALSE
    if test is None or test == TRUE:
        try:
            return f"jsonb_path_exists({row.document}, {jsonpath(steps)})"
        except NoShapeError:
            test = TRUE
    return f"EXISTS (SELECT 1 FROM {values_at(row, steps)} AS {alias} WHERE {test})"


def single_value(row: Row, steps: Sequence[Step]) -> str:
    """Return the one value at a path of single keys: `document #> '{a,b}'`."""
    return f"({row.document} #> {text_array(steps)})"


def text_array(steps: Sequence[Step]) -> str:
    """Return a SQL literal of type text[] with the keys of a path."""
    names = (step.name for step in steps if isinstance(step, Key))
    return literal("{" + ",".join(map(_array_item, names)) + "}")


def _array_item(name: str) -> str:
    if name and name.isascii() and name.replace("_", "a").isalnum() and name.lower() != "null":
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def typed_values(location: Location, row: Row) -> str:
    """Return the set of a reference location's values that pass its type guard."""
    if not location.types:
        return values_at(row, location.steps)
    test = " || ".join(f"@.resourceType == {json.dumps(name)}" for name in location.types)
    try:
        return f"jsonb_path_query({row.document}, {jsonpath(location.steps, test)})"
    except NoShapeError:
        return (
            f"(SELECT g FROM {values_at(row, location.steps)} AS g "
            f"WHERE jsonb_path_exists(g, {literal(f'$ ? ({test})')}))"
        )


def reference_id(row: Row, place: Location) -> str:
    """Return the id of a single reference, as the index has it: `resource #>> '{subject,id}'`."""
    return _member(row, place, "id")


def reference_type(row: Row, place: Location) -> str:
    """Return the type of a single reference."""
    return _member(row, place, "resourceType")


def _member(row: Row, place: Location, name: str) -> str:
    whole = single_value(row, (*place.steps, Key(name)))
    return whole.replace(" #> ", " #>> ")
