"""Looking into the request object: paths, and equality without coercion.

Source: authentication specification, "complex and matcho", "sql".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class PolicyError(ValueError):
    """A policy that cannot be compiled; `path` leads to what is wrong, the text quotes nothing."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class UnresolvedError(Exception):
    """A policy asks, where the answer decides against it, for what the request does not have.

    Or it could not be evaluated: the policy is false. `reason` quotes no value.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


COSTLY = frozenset({"headers", "body", "resource"})
"""Members of the request object that are made only when a policy reads them."""
_NAMED = re.compile(
    r"""'(headers|body|resource)'|\.(headers|body|resource)['".]|\#/(headers|body|resource)['"/]"""
)


def costly_members(pattern: Any) -> frozenset[str]:
    """Return the costly members that a pattern may look at: as its keys or by its pointers."""
    return frozenset(name for found in _NAMED.findall(str(pattern)) for name in found if name)


def parse_path(text: str) -> tuple[str | int, ...]:
    """Return the steps of a dotted path; a number is an index or a member, as the value has it.

    "params.resource/id" -> ("params", "resource/id"). Raises PolicyError.
    """
    steps = text.split(".")
    if not all(step and step == step.strip() for step in steps):
        raise PolicyError("expected a path of names with dots between them")
    return tuple(steps)


def value_at(root: Any, steps: Iterable[str | int]) -> Any:
    """Return what stands at a path, None if nothing does."""
    value = root
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and str(step).isdecimal():
            index = int(step)
            value = value[index] if index < len(value) else None
        else:
            return None
    return value


def equal(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: 1 is 1.0, but neither true nor "1"."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(equal(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)
