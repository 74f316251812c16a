"""A whole search request: filters, result parameters, handling of what is unknown.

Source: search specification, 2 Requests, 6 Common parameters, 7 Result parameters.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.outcome import Dialect, Fault, Issue, OutcomeError
from boxruntime.fhir.search.compartments import check_listed, compartment_condition
from boxruntime.fhir.search.conditions import parse_condition
from boxruntime.fhir.search.dots import parse_path
from boxruntime.fhir.search.errors import UnknownParameterError, invalid
from boxruntime.fhir.search.includes import MAX_INCLUDES, parse_includes, parse_with
from boxruntime.fhir.search.parameters import find_parameter
from boxruntime.fhir.search.query import (
    Branch,
    Condition,
    Include,
    Query,
    SortKey,
    Summary,
    Total,
)
from boxruntime.fhir.search.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.fhir.metadata import Metadata

DEFAULT_COUNT = 100
MAX_FHIR_COUNT = 1000
DEFAULT_TIMEOUT_MS = 60_000
MAX_PARAMETERS = 500

_TOTAL_KEYS = frozenset({"_total", "_totalMethod", "_countMethod", "countMethod"})
_TOTALS = {
    "none": Total.NONE,
    "estimated": Total.ESTIMATE,
    "estimate": Total.ESTIMATE,
    "accurate": Total.ACCURATE,
    "count": Total.ACCURATE,
}
_FILTERS = frozenset(
    {
        "_id", "_lastUpdated", "_createdAt", "_tag", "_security", "_profile", "_source", "_list",
        "_text", "_content", "_ilike", "_filter", "_has",
    }
)  # fmt: skip
_SORT_COLUMNS = {
    "_id": "id",
    "id": "id",
    "_lastUpdated": "ts",
    "lastUpdated": "ts",
    "_createdAt": "cts",
}


class SearchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What of the box, not of the request, decides how a search is read."""

    bases: tuple[str, ...] = ()
    """The box's own base URLs (scheme, authority, path), without a slash at the end."""
    fhir_comparisons: bool = True
    """BOX_SEARCH_FHIR__COMPARISONS: date ranges by containment, not by intersection."""


def parse_search(
    metadata: Metadata,
    type_name: str | None,
    params: Sequence[tuple[str, str]],
    dialect: Dialect,
    *,
    strict: bool,
    options: SearchOptions | None = None,
    now: datetime | None = None,
    compartment: tuple[str, str] | None = None,
) -> Query:
    """Return what a search asks for.

    `params`: decoded pairs in the order sent. `type_name` None searches several types: those of
    `_type`, all of the compartment, or all there are. `compartment`: (type, id) whose rows only.
    `strict` refuses unknown parameters, otherwise they are listed in `Query.ignored`.

    Raises OutcomeError: INVALID or NOT_SUPPORTED_PARAMETER for what cannot be understood,
    NOT_FOUND for an unknown type or compartment, or a type that it does not list.
    """
    options = options or SearchOptions()
    scope = Scope(metadata, options.bases, now or datetime.now(UTC))
    if type_name is not None and type_name not in metadata.resource_types:
        raise OutcomeError(Fault.NOT_FOUND, f"Resource type {type_name} is unknown.")
    if compartment is not None and compartment[0] not in metadata.compartments:
        raise OutcomeError(Fault.NOT_FOUND, f"Compartment {compartment[0]} is not defined.")
    if len(params) > MAX_PARAMETERS:
        raise OutcomeError(Fault.INVALID, "The search has too many parameters.")
    reader = _Reader(scope, type_name, dialect, strict=strict, compartment=compartment)
    for key, value in params:
        reader.read(key, value)
    return reader.query(options)


def is_filter(key: str) -> bool:
    """Tell whether a parameter says which resources are meant, and not how to answer."""
    if not key.startswith("_"):
        return key not in {"page", "countMethod"}
    return key.partition(":")[0].partition(".")[0] in _FILTERS


class _Reader:
    """Collects one request's parameters; `query` gives the result."""

    def __init__(
        self,
        scope: Scope,
        type_name: str | None,
        dialect: Dialect,
        *,
        strict: bool,
        compartment: tuple[str, str] | None,
    ) -> None:
        self._scope = scope
        self._type = type_name
        self._dialect = dialect
        self._strict = strict
        self._compartment = compartment
        self._filters: list[tuple[str, str]] = []
        self._sort: list[str] = []
        self._includes: list[tuple[str, str]] = []
        self._result: dict[str, Any] = {}
        self._types: list[str] = []
        self._sent: list[tuple[str, str]] = []
        self._parts: list[tuple[str, str]] = []
        self._ignored: list[Issue] = []

    def read(self, key: str, value: str) -> None:
        """Sort one pair into filters, sort keys, includes and result parameters."""
        self._sent.append((key, value))
        name = key.partition(":")[0]
        if is_filter(key):
            self._filters.append((key, value))
        elif not value.strip():
            return
        elif name in ("_include", "_revinclude", "_with"):
            self._includes.append((key, value))
        elif key == "_sort":
            self._sort.extend(part.strip() for part in value.split(",") if part.strip())
            self._parts.append((key, value))
        elif key == "_type":
            self._types.extend(part.strip() for part in value.split(",") if part.strip())
            self._parts.append((key, value))
        elif self._read_result(key, value):
            self._parts.append((key, value))

    def _read_result(self, key: str, value: str) -> bool:
        """Read a result parameter; False if it is none of ours, which is ignored silently."""
        result = self._result
        if key == "_count":
            result["count"] = _whole(key, value, least=0)
        elif key in ("_page", "page"):
            result["page"] = _whole(key, value, least=1)
            result["page_given"] = True
        elif key in _TOTAL_KEYS:
            if value not in _TOTALS:
                raise invalid(key, "expected none, estimate or accurate")
            result["total"] = _TOTALS[value]
            result["total_given"] = True
        elif key == "_elements":
            paths = (part.strip() for part in value.split(","))
            result["elements"] = (*result.get("elements", ()), *(p for p in paths if p))
        elif key == "_summary":
            try:
                result["summary"] = Summary(value)
            except ValueError:
                raise invalid(key, "expected true, text, data, count or false") from None
        elif key == "_timeout":
            result["timeout_ms"] = _whole(key, value, least=1)
        elif key == "_result":
            result["as_array"] = value == "array"
        elif key == "_explain":
            result["explain"] = True
        elif key == "_etag":
            result["etag"] = value
        elif key in ("_format", "_pretty"):
            pass  # not ours, but links keep it
        elif key in ("_contained", "_containedType"):
            if key == "_contained" and value != "false":
                raise OutcomeError(
                    Fault.NOT_SUPPORTED_PARAMETER, "Parameter _contained: only false is supported."
                )
        else:
            return False
        return True

    def query(self, options: SearchOptions) -> Query:
        branches = self._branches()
        summary = self._result.get("summary", Summary.FALSE)
        if summary is Summary.TEXT and self._includes:
            raise invalid("_summary", "text cannot be combined with includes")
        result = self._result
        if self._dialect is Dialect.FHIR:
            result["count"] = min(result.get("count", DEFAULT_COUNT), MAX_FHIR_COUNT)
        sort = self._sort_keys([branch.type for branch in branches])
        includes = self._parse_includes()
        # As sent, in that order, without what was ignored.
        understood = set(self._parts)
        return Query(
            type=self._type,
            dialect=self._dialect,
            fhir_comparisons=options.fhir_comparisons,
            branches=branches,
            sort=sort,
            includes=includes,
            parts=tuple(part for part in self._sent if part in understood),
            ignored=tuple(self._ignored),
            **result,
        )

    def _branches(self) -> tuple[Branch, ...]:
        types = self._searched_types()
        collected: dict[str, list[Condition]] = {name: [] for name in types}
        for key, value in self._filters:
            try:
                found = [self._condition(name, key, value) for name in types]
            except UnknownParameterError as error:
                # Over several types only what all of them know can be asked.
                if self._type is None:
                    raise invalid(key, "not all searched types have it") from None
                self._unknown(error)
                continue
            if found and all(condition is None for condition in found):
                continue
            self._parts.append((key, value))
            for name, condition in zip(types, found, strict=True):
                if condition is not None:
                    collected[name].append(condition)
        if self._compartment is not None:
            for name in types:
                inside = compartment_condition(self._scope, *self._compartment, name)
                collected[name].insert(0, inside)
        return tuple(Branch(name, tuple(conditions)) for name, conditions in collected.items())

    def _condition(self, type_name: str, key: str, value: str) -> Condition | None:
        return parse_condition(self._scope, type_name, key, value)

    def _searched_types(self) -> list[str]:
        if self._type is not None:
            if self._compartment is not None:
                check_listed(self._scope, self._compartment[0], self._type)
            return [self._type]
        known = self._scope.metadata.resource_types
        if unknown := [name for name in self._types if name not in known]:
            raise invalid("_type", f"{len(unknown)} of its types are unknown")
        if self._types:
            return list(dict.fromkeys(self._types))
        if self._compartment is not None:
            definition = self._scope.metadata.compartments[self._compartment[0]]
            rows = definition.get("resource", ())
            inside = {row["code"] for row in rows if row.get("param")}
            return sorted(inside & known)
        return sorted(known)

    def _sort_keys(self, types: list[str]) -> tuple[SortKey, ...]:
        keys: list[SortKey] = []
        for text in self._sort:
            name = text.removeprefix("-")
            descending = name != text
            try:
                keys.append(self._sort_key(types, name, descending=descending))
            except UnknownParameterError as error:
                self._unknown(error)
        return tuple(keys)

    def _sort_key(self, types: list[str], name: str, *, descending: bool) -> SortKey:
        if name in _SORT_COLUMNS:
            return SortKey(descending, column=_SORT_COLUMNS[name])
        if name == "_score":
            return SortKey(descending, score=True)
        if name.startswith("."):
            return SortKey(descending, path=parse_path(name))
        if len(types) != 1:
            raise UnknownParameterError(name, what="sort key")
        parameter = find_parameter(self._scope.metadata, types[0], name)
        if parameter is None or parameter.type in ("composite", "special"):
            raise UnknownParameterError(name, what="sort key")
        return SortKey(descending, parameter=parameter)

    def _parse_includes(self) -> tuple[Include, ...]:
        found: list[Include] = []
        for key, value in self._includes:
            try:
                found.extend(self._parse_include(key, value))
            except UnknownParameterError as error:
                self._unknown(error)
                continue
            self._parts.append((key, value))
        if len(found) > MAX_INCLUDES:
            raise invalid("_include", "there are too many")
        return tuple(dict.fromkeys(found))

    def _parse_include(self, key: str, value: str) -> tuple[Include, ...]:
        if key != "_with":
            return parse_includes(self._scope.metadata, self._type, key, value)
        if self._type is None:
            raise UnknownParameterError(key, what="include")
        return parse_with(self._scope.metadata, self._type, value)

    def _unknown(self, error: UnknownParameterError) -> None:
        if self._strict:
            raise OutcomeError(
                Fault.NOT_SUPPORTED_PARAMETER, Issue(message=error.message)
            ) from None
        self._ignored.append(Issue(message=error.message, severity="warning", code="not-supported"))


def _whole(key: str, value: str, *, least: int) -> int:
    """Read a number that shall be at least `least`; huge ones are cut to what SQL can take."""
    value = value.strip()
    if not (value.isascii() and value.isdigit()) or int(value[:18] or 0) < least:
        raise invalid(key, f"expected a whole number from {least}")
    return min(int(value[:18]), 2**31 - 1)
