"""The lexical forms of primitive types as anchored regular expressions.

Written by hand where the R4 expressions accept what R4's own text forbids (dates that do not
exist, blank strings) or do not bound what has to be bounded (fraction digits). They use only
what a linear-time engine has: no look-around, no back-references.

Source: FHIR R4 datatypes, Primitive Types; core specification, FHIR JSON rules at /fhir.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.definitions.package import Json

_YEAR = "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_DIVISIBLE_BY_4 = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"(?:[0-9]{{2}}{_DIVISIBLE_BY_4}|{_DIVISIBLE_BY_4}00)"
_MONTH = "(?:0[1-9]|1[0-2])"
_MONTH_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DAY = f"(?:{_YEAR}-{_MONTH_DAY}|{_LEAP_YEAR}-02-29)"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,9})?"
_ZONE = "(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_INSTANT = f"{_DAY}T{_TIME}{_ZONE}"
_PARTIAL_DATE = f"{_YEAR}(?:-{_MONTH})?"

_BASE64_QUAD = r"(?:[0-9A-Za-z+/][ \t\r\n]*){4}"
_BASE64_TAIL = (
    r"(?:(?:[0-9A-Za-z+/][ \t\r\n]*){2}=[ \t\r\n]*=|(?:[0-9A-Za-z+/][ \t\r\n]*){3}=)[ \t\r\n]*"
)

# At least one character that is not white space, and no U+0000 (PostgreSQL cannot hold it).
_TEXT = r"\s*[^\s\x00][^\x00]*"
_NO_SPACE = r"[^\s\x00]+"
_HEX = "[0-9a-f]"


def _whole_number(bound: int) -> str:
    """Match the whole numbers from -bound to bound - 1 as FHIR R5 writes integer64 in JSON."""
    digits = str(bound - 1)
    smaller = "|".join(
        f"{digits[:place]}[0-{int(digit) - 1}][0-9]{{{len(digits) - place - 1}}}"
        if place
        else f"[1-{int(digit) - 1}][0-9]{{{len(digits) - 1}}}"
        for place, digit in enumerate(digits)
        if int(digit) > (0 if place else 1)
    )
    short = f"[1-9][0-9]{{0,{len(digits) - 2}}}"
    return f"(?:0|[-+]?(?:{short}|{smaller}|{digits})|-{bound})"


_PATTERNS = {
    "base64Binary": rf"[ \t\r\n]*(?:(?:{_BASE64_QUAD})+(?:{_BASE64_TAIL})?|{_BASE64_TAIL})",
    "canonical": _NO_SPACE,
    "code": rf"{_NO_SPACE}(?: {_NO_SPACE})*",
    "date": f"(?:{_PARTIAL_DATE}|{_DAY})",
    "dateTime": f"(?:{_PARTIAL_DATE}|{_DAY}(?:T{_TIME}{_ZONE})?)",
    "id": r"[A-Za-z0-9\-.]{1,64}",
    "instant": _INSTANT,
    "integer64": _whole_number(2**63),
    "markdown": _TEXT,
    "oid": r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+",
    "string": _TEXT,
    "time": _TIME,
    "uri": _NO_SPACE,
    "url": _NO_SPACE,
    "uuid": f"urn:uuid:{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
}

_INT_MAX = 2**31 - 1
_RANGES = {
    "integer": (-(2**31), _INT_MAX),
    "positiveInt": (1, _INT_MAX),
    "unsignedInt": (0, _INT_MAX),
}
_JSON = {"boolean": "boolean", "decimal": "number"} | dict.fromkeys(_RANGES, "integer")


def lexical_form(name: str) -> Json:
    """Return `json` (the JSON type) with `pattern` or `minimum` and `maximum` of a primitive.

    A type without a pattern here (boolean, decimal, xhtml) is bounded by its JSON type alone.
    """
    form: Json = {"json": _JSON.get(name, "string")}
    if name in _PATTERNS:
        form["pattern"] = f"^(?:{_PATTERNS[name]})$"
    if name in _RANGES:
        form["minimum"], form["maximum"] = _RANGES[name]
    return form
