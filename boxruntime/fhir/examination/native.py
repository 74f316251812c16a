"""Invariants that the FHIRPath engine cannot decide, or decides against FHIR: written by hand.

Each takes the value of its context element. Source: FHIR R4, Period (per-1), Range (rng-2).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_LATEST = "9999-12-31T23:59:59"


def is_period_in_order(period: Any) -> bool:
    """per-1: the start is not after the end, as far as the precision of both tells.

    A low precision reaches to its end: 2012-01-15 to 2012-01 is in order.
    """
    start, end = period.get("start"), period.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return True
    if len(start) > 10 and len(end) > 10 and start[19:] != end[19:]:
        return _moment(start) <= _moment(end)
    return start[:19] <= (end[:19] + _LATEST[len(end[:19]) :])


def _moment(text: str) -> Decimal:
    from datetime import datetime  # seconds to 60 are FHIR's, not Python's

    leap = text[17:19] == "60"
    fraction = text[19:].rstrip("Z").split("+")[0].split("-")[0]
    zone = text[19 + len(fraction) :]
    try:
        moment = datetime.fromisoformat(text[:17] + ("59" if leap else text[17:19]) + zone)
    except ValueError:
        return Decimal(0)  # no dateTime: reported where it stands
    return Decimal(int(moment.timestamp())) + leap + Decimal(f"0{fraction or '.0'}")


def is_range_in_order(range_: Any) -> bool:
    """rng-2: low is not above high, where both have the same unit."""
    low, high = range_.get("low"), range_.get("high")
    if not isinstance(low, dict) or not isinstance(high, dict):
        return True
    if any(low.get(key) != high.get(key) for key in ("system", "code", "unit")):
        return True
    first, second = low.get("value"), high.get("value")
    numbers = (int, float, Decimal)
    return not (isinstance(first, numbers) and isinstance(second, numbers)) or first <= second


NATIVE: dict[str, Callable[[Any], bool]] = {
    "per-1": is_period_in_order,
    "rng-2": is_range_in_order,
}
