"""Whether a JSON value has the lexical form of a primitive type, with the words for what is wrong.

The same forms and words as the schema of writes has (`validators`), for one value at a time.
Source: core specification, "FHIR JSON rules at /fhir" (Primitives); FHIR R4, Primitive Types.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from boxruntime.fhir.validators import formats_of, listed

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Metadata, TypeDef

CheckValue: TypeAlias = Callable[[object], str | None]
_WHITE = re.compile(r"[ \t\r\n]+")


def value_check(metadata: Metadata, type_def: TypeDef, codes: frozenset[str] | None) -> CheckValue:
    """Return the check of values of a primitive type; `codes` are all that an element allows."""
    if codes is not None:
        return _code_check(codes)
    if type_def.json == "boolean":
        return lambda value: None if type(value) is bool else "expected type of boolean"
    if type_def.json == "integer":
        return _integer_check(type_def)
    if type_def.json == "number":
        return _check_decimal
    if type_def.name == "base64Binary":
        return _check_base64
    if type_def.pattern is None:
        return lambda value: None if type(value) is str else "expected type of string"
    return _pattern_check(type_def.pattern, formats_of(metadata)[type_def.pattern])


def _code_check(codes: frozenset[str]) -> CheckValue:
    message = f"expected one of {listed(sorted(codes))}"

    def check(value: object) -> str | None:
        if type(value) is not str:
            return "expected type of string"
        return None if value in codes else message

    return check


def _integer_check(type_def: TypeDef) -> CheckValue:
    minimum, maximum = type_def.minimum, type_def.maximum

    def check(value: object) -> str | None:
        if type(value) is not int:
            return "expected type of integer"
        if minimum is not None and value < minimum:
            return "too small"
        return "too large" if maximum is not None and value > maximum else None

    return check


def _check_decimal(value: object) -> str | None:
    return None if type(value) in (int, float, Decimal) else "expected type of number"


def _check_base64(value: object) -> str | None:
    if type(value) is not str:
        return "expected type of string"
    try:
        decodable = value.strip(" \t\r\n") != ""
        binascii.a2b_base64(_WHITE.sub("", value), strict_mode=True)
    except ValueError:
        decodable = False
    return None if decodable else "expected type of base64Binary"


def _pattern_check(pattern: str, name: str) -> CheckValue:
    matches = re.compile(pattern).fullmatch

    def check(value: object) -> str | None:
        if type(value) is not str:
            return "expected type of string"
        return None if matches(value) else f"expected type of {name}"

    return check
