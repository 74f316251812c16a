"""What one request asks for, and what an interaction answers.

A Bundle entry becomes the same kind of Call as a request of its own.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.json_text import NumberRangeError, decode_sent, encode_json
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.http.messages import RequestError
from boxruntime.http.negotiation import Format, media_type, request_format
from boxruntime.http.yaml_text import YamlError, decode_yaml

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Mapping

    from boxruntime.access.principal import Principal
    from boxruntime.api.asked import Asked
    from boxruntime.api.box import Box
    from boxruntime.storage.rows import Stored


@unique
class Interaction(StrEnum):
    """FHIR REST interactions by their CapabilityStatement codes; OTHER for the rest."""

    READ = "read"
    VREAD = "vread"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    CREATE = "create"
    SEARCH = "search-type"
    SEARCH_SYSTEM = "search-system"
    HISTORY_INSTANCE = "history-instance"
    HISTORY_TYPE = "history-type"
    HISTORY_SYSTEM = "history-system"
    BUNDLE = "transaction"
    CAPABILITIES = "capabilities"
    OTHER = "other"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the routes table.

    `root` and `fhir` are the ids of the Operation resources under either base; None = the route
    does not exist there.
    """

    method: str
    template: str
    interaction: Interaction
    handler: Callable[[Call, Box], Awaitable[Result]]
    root: str | None
    fhir: str | None
    public: bool = False
    administers: bool = False
    """It touches what governs the box, or what only administrators may see."""

    def operation_id(self, dialect: Dialect) -> str | None:
        """Return the id of the Operation that policies may link to."""
        return self.fhir if dialect is Dialect.FHIR else self.root


_UNPARSED: Any = object()
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""A reader may ignore it. Source: RFC 8259, section 8.1."""
_NOT_COMPACT = (b"\\u", b"\n", b"\r", b"\t", b"{ ", b"[ ")


class Body:
    """A request body, parsed at most once, when somebody asks.

    `within`: the body that an entry's `value` was taken from.
    """

    __slots__ = ("_is_json", "_may_hold_nul", "_value", "_within", "content_type", "raw")

    def __init__(
        self,
        raw: bytes = b"",
        content_type: str | None = None,
        value: Any = _UNPARSED,
        within: Body | None = None,
    ) -> None:
        self.raw = raw
        self.content_type = content_type
        self._value = value
        self._within = within
        self._is_json = False
        self._may_hold_nul: bool | None = None

    @property
    def is_empty(self) -> bool:
        return self._value is _UNPARSED and not self.raw.strip()

    @property
    def is_json(self) -> bool:
        """Whether `raw` was read as JSON; False before somebody asked for the value."""
        return self._is_json

    def value(self, also: Container[str] | None = None) -> Any:
        """Return the parsed body; an empty one is {}. Raises OutcomeError 400, 415 or 422.

        `also`: media types beside the usual ones whose bodies are JSON.
        """
        if self._value is _UNPARSED:
            self._value = self._parse(also)
        return self._value

    def compact(self) -> bytes | None:
        """Return the body as JSON without space inside empty brackets and without escapes.

        None if it was not sent like that. Whoever only looks for a pattern saves an encoding.
        """
        raw = self.raw
        if not self._is_json or any(mark in raw for mark in _NOT_COMPACT):
            return None
        return raw

    def may_hold_nul(self) -> bool:
        """Tell whether U+0000 may stand in a text of the body; False is certain."""
        if self._within is not None:
            return self._within.may_hold_nul()
        if self._may_hold_nul is None:
            self._may_hold_nul = not self._is_json or b"\\u0000" in self.raw
        return self._may_hold_nul

    def _parse(self, also: Container[str] | None) -> Any:
        self.raw = self.raw.removeprefix(_BYTE_ORDER_MARK)
        if self.is_empty:
            return {}
        try:
            is_json = also is not None and media_type(self.content_type) in also
            declared = Format.JSON if is_json else request_format(self.content_type)
        except RequestError as error:
            raise OutcomeError(Fault.UNSUPPORTED_MEDIA_TYPE, error.message) from None
        if declared is not Format.YAML:
            try:
                value = decode_sent(self.raw)
            except NumberRangeError:
                raise _out_of_range() from None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                if declared is Format.JSON:
                    raise OutcomeError(Fault.INVALID, "The body is not valid JSON.") from None
            else:
                self._is_json = True
                return value
        try:
            # Once through JSON: what YAML can write and JSON cannot shall not get any further.
            return decode_sent(encode_json(decode_yaml(self.raw.decode("utf-8"))))
        except UnicodeError:
            raise OutcomeError(Fault.INVALID, "The body is not UTF-8.") from None
        except NumberRangeError:
            raise _out_of_range() from None
        except YamlError as error:
            raise OutcomeError(Fault.INVALID, f"The body is {error}.") from None


def _out_of_range() -> OutcomeError:
    return OutcomeError(Fault.UNPROCESSABLE, "A number is outside the range that can be stored.")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request after routing.

    `parameters` come from the path (type, id, vid, ...); `query` from the query string, in order;
    `base` is the URL prefix for links, without a slash at its end; `rewrite` maps the fullUrls of
    a Bundle to "Type/id".
    """

    route: Route
    method: str
    dialect: Dialect
    uri: str
    parameters: dict[str, str]
    query: list[tuple[str, str]]
    headers: Mapping[bytes, bytes]
    body: Body
    base: str
    principal: Principal
    asked: Asked
    """What policies were asked about."""
    rewrite: Mapping[str, str] | None = None
    is_entry: bool = False
    """It is an entry of a Bundle."""

    @property
    def type(self) -> str:
        return self.parameters["type"]

    @property
    def id(self) -> str:
        return self.parameters["id"]

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def parameter(self, name: str) -> str | None:
        """Return the last value of a query parameter."""
        for key, value in reversed(self.query):
            if key == name:
                return value
        return None

    @property
    def fhir_base(self) -> str:
        """The base of this call's API: with /fhir where the call came that way."""
        return f"{self.base}/fhir" if self.dialect is Dialect.FHIR else self.base


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What an interaction answers, before it has a representation.

    `stored` is a resource with its version headers, `value` any JSON value, already in the call's
    dialect; with both, the value is what is shown of the resource; neither for an empty body.
    """

    status: int
    stored: Stored | None = None
    value: Any = None
    is_write: bool = False
    """The answer names where the new version is, and `Prefer: return` applies."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    raw: bytes | None = None
    """A body that is ready as it is; Content-Type is in `headers`."""
    stream: AsyncGenerator[bytes, None] | None = None
    """A body without an end of its own; Content-Type is in `headers`."""
