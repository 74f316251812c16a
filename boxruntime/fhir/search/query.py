"""A search as a value: what a request asks for, resolved against the metadata of the box.

A Query knows paths, datatypes and parsed values, but no SQL; it needs no metadata any more.
Source: search specification, 2 to 7.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

import msgspec

if TYPE_CHECKING:
    from boxruntime.fhir.outcome import Dialect, Issue
    from boxruntime.fhir.search.values import DateValue, Token, Value

# Places in a document ---------------------------------------------------------------------


class Key(msgspec.Struct, frozen=True):
    """A step to a member; `array` tells whether its value is a list."""

    name: str
    array: bool = False


class Index(msgspec.Struct, frozen=True):
    """A step to one item of a list."""

    position: int


class Having(msgspec.Struct, frozen=True):
    """A step that keeps the items which contain this JSON object (as text)."""

    pattern: str


Step: TypeAlias = Key | Index | Having


class Location(msgspec.Struct, frozen=True):
    """Where a parameter finds values, and of what datatype they are."""

    steps: tuple[Step, ...]
    datatype: str | None = None
    """Aidbox type name; None = unknown, told by the JSON found."""
    types: tuple[str, ...] = ()
    """A reference counts only if it names one of these types."""
    raw: bool = False
    """The value is in FHIR format (inside an extension): {"reference": "Type/id"}."""

    @property
    def plain(self) -> bool:
        """Whether the path is keys only, of known cardinality: then `@>` can state it."""
        return self.datatype is not None and all(isinstance(step, Key) for step in self.steps)

    @property
    def single(self) -> bool:
        """Whether the path leads to at most one value."""
        return self.plain and not any(isinstance(s, Key) and s.array for s in self.steps)


class Parameter(msgspec.Struct, frozen=True):
    """A search parameter of one type, its paths resolved."""

    name: str
    type: str
    locations: tuple[Location, ...] = ()
    targets: tuple[str, ...] | None = None
    """Types a reference may lead to; None = any."""
    exists: bool = False
    """A token true where any value but false stands, false elsewhere."""
    bases: tuple[CompositeBase, ...] = ()


class CompositeBase(msgspec.Struct, frozen=True):
    """One kind of node a composite looks at, with its components' parameters there.

    No steps = the resource itself. `components[i][1]` tells that the paths of the component
    start at the resource all the same.
    """

    steps: tuple[Step, ...]
    components: tuple[tuple[Parameter, bool], ...]


# Conditions -------------------------------------------------------------------------------


@unique
class Modifier(StrEnum):
    """What follows a parameter's name; a type name is part of the values instead."""

    NONE = ""
    EXACT = "exact"
    CONTAINS = "contains"
    STARTS = "starts"
    ENDS = "ends"
    TEXT = "text"
    NOT = "not"
    IN = "in"
    NOT_IN = "not-in"
    ABOVE = "above"
    BELOW = "below"
    OF_TYPE = "of-type"
    IDENTIFIER = "identifier"
    CASELESS = "i"
    EQUALS = "equals"
    """A whole value, case and accents aside; only `_filter` can say it, like the next."""
    DIFFERS = "differs"


class Match(msgspec.Struct, frozen=True):
    """Some value of the parameter satisfies some of `values`, in the way of the modifier."""

    parameter: Parameter
    values: tuple[Value, ...]
    modifier: Modifier = Modifier.NONE


class Missing(msgspec.Struct, frozen=True):
    """The parameter finds no value (`missing`), or at least one."""

    parameter: Parameter
    missing: bool


class IdMatch(msgspec.Struct, frozen=True):
    """The row has one of these ids."""

    ids: tuple[str, ...]


class TimeMatch(msgspec.Struct, frozen=True):
    """A time column (ts or cts) lies in one of the ranges."""

    column: str
    values: tuple[DateValue, ...]


class Not(msgspec.Struct, frozen=True):
    condition: Condition


class AllOf(msgspec.Struct, frozen=True):
    conditions: tuple[Condition, ...]


class AnyOf(msgspec.Struct, frozen=True):
    """No conditions = never."""

    conditions: tuple[Condition, ...]


class Chain(msgspec.Struct, frozen=True):
    """The reference leads to a row of one of the types that satisfies the type's condition."""

    parameter: Parameter
    targets: tuple[tuple[str, Condition], ...]
    contained: tuple[str, ...] | None = None
    """Target types that some row may hold inside itself; None = any."""


class ReverseChain(msgspec.Struct, frozen=True):
    """Some row of `source` that satisfies the condition refers here, to a row of type `target`."""

    source: str
    parameter: Parameter
    target: str
    condition: Condition


class DotMatch(msgspec.Struct, frozen=True):
    """A raw path into the stored document, compared as text or as a PostgreSQL type."""

    path: tuple[str, ...]
    cast: str | None
    operator: str
    """eq ne gt lt ge le contains isnull."""
    values: tuple[str, ...]


class ListMember(msgspec.Struct, frozen=True):
    """The row of type `type` is an item of one of these List resources."""

    type: str
    lists: tuple[str, ...]


class Substrings(msgspec.Struct, frozen=True):
    """`_ilike`: for some group, id and document text contain every term."""

    groups: tuple[tuple[str, ...], ...]


class FullText(msgspec.Struct, frozen=True):
    """`_text` (narrative) or `_content` (all strings) against a word expression."""

    narrative: bool
    words: Words


class Near(msgspec.Struct, frozen=True):
    """A position within a great-circle distance."""

    location: Location
    latitude: float
    longitude: float
    distance_km: float


class SetMatch(msgspec.Struct, frozen=True):
    """Some code of the parameter is among the codes of a value set, expanded."""

    parameter: Parameter
    tokens: tuple[Token, ...]


class InValueSet(msgspec.Struct, frozen=True):
    """`:in` before the value set is known; `resolve` in `value_sets` makes it a SetMatch."""

    parameter: Parameter
    value_set: str
    """URL, or "ValueSet/id"."""


class Subsumption(msgspec.Struct, frozen=True):
    """`:below`/`:above` on codes before the hierarchy is known."""

    parameter: Parameter
    token: Token
    below: bool


class Hierarchy(msgspec.Struct, frozen=True):
    """`:below`/`:above` on references: to row `id` of `type`, or its descendants or ancestors.

    `by` is the reference of that type to itself which makes the hierarchy.
    """

    parameter: Parameter
    type: str
    by: Parameter
    id: str
    below: bool


Condition: TypeAlias = (
    Match
    | Missing
    | IdMatch
    | TimeMatch
    | Not
    | AllOf
    | AnyOf
    | Chain
    | ReverseChain
    | DotMatch
    | ListMember
    | Substrings
    | FullText
    | Near
    | SetMatch
    | InValueSet
    | Subsumption
    | Hierarchy
)

NEVER = AnyOf(())


class Word(msgspec.Struct, frozen=True):
    """One word, or several that follow each other (a quoted phrase)."""

    text: str


class WordNot(msgspec.Struct, frozen=True):
    words: Words


class WordAll(msgspec.Struct, frozen=True):
    parts: tuple[Words, ...]


class WordAny(msgspec.Struct, frozen=True):
    parts: tuple[Words, ...]


Words: TypeAlias = Word | WordNot | WordAll | WordAny


# Result parameters ------------------------------------------------------------------------


class SortKey(msgspec.Struct, frozen=True):
    """One of: a column, a parameter, a raw path, or the relevance of the full-text conditions."""

    descending: bool = False
    column: str | None = None
    parameter: Parameter | None = None
    path: tuple[str, ...] = ()
    score: bool = False


class Include(msgspec.Struct, frozen=True):
    """Follow `parameter` of `source` forward, or backward to its rows (`reverse`)."""

    source: str
    parameter: Parameter | None
    """None = every reference (`_include=*`)."""
    target: str | None
    reverse: bool = False
    iterate: bool = False
    recurse: bool = False
    logical: bool = False
    source_named: bool = True
    """False: the source is the searched type by default."""


@unique
class Total(StrEnum):
    NONE = "none"
    ESTIMATE = "estimate"
    ACCURATE = "accurate"


@unique
class Summary(StrEnum):
    TRUE = "true"
    TEXT = "text"
    DATA = "data"
    COUNT = "count"
    FALSE = "false"


class Branch(msgspec.Struct, frozen=True):
    """The search over one resource type; all conditions hold together."""

    type: str
    conditions: tuple[Condition, ...]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One search request. `str()` gives it back as a query string of what was understood."""

    type: str | None
    """None = several types (system or compartment search)."""
    dialect: Dialect
    branches: tuple[Branch, ...]
    fhir_comparisons: bool = True
    """False: dates compare as Aidbox did before it knew containment."""
    count: int = 100
    page: int = 1
    page_given: bool = False
    sort: tuple[SortKey, ...] = ()
    total: Total = Total.ACCURATE
    total_given: bool = False
    includes: tuple[Include, ...] = ()
    elements: tuple[str, ...] = ()
    summary: Summary = Summary.FALSE
    as_array: bool = False
    explain: bool = False
    timeout_ms: int = 60_000
    etag: str | None = None
    parts: tuple[tuple[str, str], ...] = ()
    """Keys and values as sent, without those that were ignored."""
    ignored: tuple[Issue, ...] = ()
    """Warnings on parameters that lenient handling left out."""

    @property
    def counts_only(self) -> bool:
        """Whether only the number of matches is wanted."""
        return self.count == 0 or self.summary is Summary.COUNT

    def __str__(self) -> str:
        return encode_parts(self.parts)


def encode_parts(parts: tuple[tuple[str, str], ...]) -> str:
    """Return a query string of decoded pairs."""
    return "&".join(f"{quote(key, safe=_SAFE)}={quote(value, safe=_SAFE)}" for key, value in parts)


_SAFE = ":/,$|*.-_~()@!'"
