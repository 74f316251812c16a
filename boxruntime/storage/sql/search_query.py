"""SearchQuery: the statement put together from its parts, and those of its includes.

Only parts of parameters that were supplied are in it. Whoever may write a SearchQuery may write
any SQL; names are checked or quoted all the same, and values are bound.
Source: search specification, 9 SearchQuery.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.storage.sql.binding import Bound, plain, table_name, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_INCLUDED = 10_000
_ALIAS = re.compile(r"[A-Za-z_]\w{0,62}")
_LABEL = re.compile(r"[\w.-]+")


class MalformedQueryError(Exception):
    """A part of the query is not what it should be; `str(error)` says which, without a value."""


class Composed(msgspec.Struct, frozen=True):
    page: Bound
    counting: Bound


def parts_of(
    definition: dict[str, Any], supplied: set[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return name and content of the parts that are active: the query's own, then parameters'."""
    yield "query", _object(definition.get("query"), "query")
    for name, part in _object(definition.get("params"), "params").items():
        if name in supplied:
            yield name, _object(part, "params")


def compose(
    definition: dict[str, Any],
    resource_type: str,
    supplied: set[str],
    fill: Callable[[str], Bound],
    *,
    limit: int,
    offset: int,
) -> Composed:
    """Return the statements of one page and of the total. Raises MalformedQueryError."""
    alias = _alias(definition.get("as"))
    body = plain(f"FROM {table_name(resource_type)} {alias}")
    where = plain("")
    order = None
    joined: set[str] = set()
    for name, part in parts_of(definition, supplied):
        for other, join in _object(part.get("join"), "join").items():
            if other in joined:
                continue
            joined.add(other)
            join = _object(join, "join")  # noqa: PLW2901 - from here on it is one
            table = table_name(_text(join.get("table"), "join.table"))
            head = plain(f"\nJOIN {table} {_alias(other)} ON (")
            body = body + head + fill(_text(join.get("by"), "join.by")) + plain("\n)")
        if part.get("where") is not None:
            label = f"/* {name} */ " if _LABEL.fullmatch(name) else ""
            lead = plain(f"{' AND' if where.pieces != ('',) else ''} {label}(")
            where = where + lead + fill(_text(part["where"], "where")) + plain("\n)")
        if part.get("order-by") is not None:
            order = fill(_text(part["order-by"], "order-by"))
    if where.pieces != ("",):
        body = body + plain("\nWHERE") + where
    page = plain(f"SELECT {alias}.* ") + body
    if order is not None:
        page = page + plain("\nORDER BY ") + order
    page = page + plain("\nLIMIT ") + value(limit) + plain(" OFFSET ") + value(offset)
    return Composed(page, plain("SELECT count(*) AS total ") + body)


class Include(msgspec.Struct, frozen=True):
    """Resources that come along: those a path refers to, or (reverse) those that refer."""

    type: str
    paths: list[Any]
    is_reverse: bool
    where: str | None
    includes: dict[str, Any]


def includes_of(definition: dict[str, Any], supplied: set[str]) -> dict[str, Any]:
    """Return the active includes by name; a parameter's go over the query's own."""
    found = dict(_object(definition.get("includes"), "includes"))
    for _, part in parts_of(definition, supplied):
        for key, include in _object(part.get("includes"), "includes").items():
            before = found.get(key)
            if isinstance(before, dict) and isinstance(include, dict):
                found[key] = {**before, **include}
            else:
                found[key] = include
    return found


def read_include(include: Any) -> Include:
    """Return an include. Raises MalformedQueryError."""
    include = _object(include, "includes")
    path = include.get("path")
    if not isinstance(path, list) or not path:
        raise MalformedQueryError("includes.path is an array")
    where = include.get("where")
    return Include(
        type=_text(_object(include.get("resource"), "includes.resource").get("id"), "resource.id"),
        paths=path if all(isinstance(step, list) for step in path) else [path],
        is_reverse=include.get("reverse") is True,
        where=None if where is None else _text(where, "includes.where"),
        includes=_object(include.get("includes"), "includes"),
    )


def compose_include(
    include: Include, source_type: str, ids: list[str], fill: Callable[[str], Bound]
) -> Bound:
    """Return the statement of what an include brings along for these resources of a type."""
    table = table_name(include.type)
    if include.is_reverse:
        found = (
            plain(f"SELECT * FROM {table} WHERE EXISTS (SELECT 1 FROM unnest(knife_extract(resource, ")
            + value(include.paths) + plain("::jsonb)) box_link WHERE box_link->>'id' = ANY(")
            + value(ids) + plain("::text[]) AND box_link->>'resourceType' = ")
            + value(source_type) + plain("::text)")
        )  # fmt: skip
    else:
        found = (
            plain(f"SELECT * FROM {table} WHERE id IN (SELECT box_link->>'id' FROM "
                  f"{table_name(source_type)} box_source, unnest(knife_extract(box_source.resource, ")
            + value(include.paths) + plain("::jsonb)) box_link WHERE box_source.id = ANY(")
            + value(ids) + plain("::text[]) AND box_link->>'resourceType' = ")
            + value(include.type) + plain("::text)")
        )  # fmt: skip
    if include.where is not None:
        found = found + plain(" AND (") + fill(include.where) + plain("\n)")
    return found + plain(f" ORDER BY id LIMIT {MAX_INCLUDED}")


def _object(part: Any, name: str) -> dict[str, Any]:
    if part is None:
        return {}
    if not isinstance(part, dict):
        raise MalformedQueryError(f"{name} is an object")
    return part


def _text(part: Any, name: str) -> str:
    if not isinstance(part, str) or not part.strip():
        raise MalformedQueryError(f"{name} is a string")
    return part


def _alias(name: Any) -> str:
    if not isinstance(name, str) or not _ALIAS.fullmatch(name):
        raise MalformedQueryError("an alias is a word of letters, digits and '_'")
    return name
