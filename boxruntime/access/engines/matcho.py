"""The matcho engine: a pattern of the request's shape, compiled into nested tests.

A pointer that leads to nothing never matches, and inside of `$not` makes the whole policy false:
a request must not get further by leaving something out.
Source: authentication specification, "complex and matcho".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from boxruntime.access.engines.regexes import compile_regex
from boxruntime.access.engines.values import (
    PolicyError,
    UnresolvedError,
    equal,
    parse_path,
    value_at,
)

Test: TypeAlias = Callable[[Any, Any], bool]
"""(subject, root) -> whether it matches. Raises UnresolvedError."""

MAX_DEPTH = 32
_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z0-9]*)/([A-Za-z0-9\-.]{1,255})(?:/_history/[^/]+)?$")
_WORDS: dict[str, Test] = {
    "present?": lambda subject, _: subject is not None,
    "nil?": lambda subject, _: subject is None,
    "not-blank?": lambda subject, _: isinstance(subject, str) and bool(subject.strip()),
}


def compile_matcho(pattern: Any) -> Test:
    """Return the test of a pattern. Raises PolicyError with the place of what is wrong."""
    return _compile(pattern, (), negated=False)


def _compile(pattern: Any, path: tuple[str | int, ...], *, negated: bool) -> Test:
    if len(path) > MAX_DEPTH:
        raise PolicyError(f"a pattern has at most {MAX_DEPTH} levels", *path[:4])
    if isinstance(pattern, dict):
        return _object(pattern, path, negated=negated)
    if isinstance(pattern, list):
        items = [_compile(item, (*path, n), negated=negated) for n, item in enumerate(pattern)]
        return _array(items)
    if isinstance(pattern, str):
        try:
            return _text(pattern, negated=negated)
        except PolicyError as error:
            raise PolicyError(error.message, *path) from None
    return lambda subject, _: equal(subject, pattern)


def _object(pattern: dict[str, Any], path: tuple[str | int, ...], *, negated: bool) -> Test:
    special = next((key for key in pattern if key.startswith("$")), None)
    if special is not None:
        make = _FORMS.get(special)
        if make is None:
            raise PolicyError("unknown $ form", *path, special)
        if len(pattern) != 1:
            raise PolicyError("a $ form must be the only key of its object", *path, special)
        return make(pattern[special], (*path, special), negated)
    members = [
        (key, _compile(item, (*path, key), negated=negated)) for key, item in pattern.items()
    ]
    if len(members) == 1:
        name, only = members[0]
        return lambda subject, root: isinstance(subject, dict) and only(subject.get(name), root)

    def test(subject: Any, root: Any) -> bool:
        if not isinstance(subject, dict):
            return False
        for key, matches in members:  # noqa: SIM110 - a generator costs twice as much
            if not matches(subject.get(key), root):
                return False
        return True

    return test


def _array(items: list[Test]) -> Test:
    def test(subject: Any, root: Any) -> bool:
        if not isinstance(subject, list):
            return False
        padded = [*subject, *([None] * (len(items) - len(subject)))]
        return all(matches(padded[n], root) for n, matches in enumerate(items))

    return test


def _text(pattern: str, *, negated: bool) -> Test:
    word = _WORDS.get(pattern)
    if word is not None:
        return word
    if pattern.startswith("#"):
        finds = compile_regex(pattern[1:])
        return lambda subject, _: isinstance(subject, str) and finds(subject)
    if pattern.startswith("."):
        return _pointer(parse_path(pattern[1:]), negated=negated)
    return lambda subject, _: isinstance(subject, str) and subject == pattern


def _pointer(steps: tuple[str | int, ...], *, negated: bool) -> Test:
    def test(subject: Any, root: Any) -> bool:
        wanted = value_at(root, steps)
        if wanted is None:
            if negated:
                raise UnresolvedError("a pointer inside $not leads to nothing")
            return False
        return equal(subject, wanted)

    return test


def _listed(value: Any, path: tuple[str | int, ...]) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise PolicyError("expected a list with at least one item", *path)
    return value


def _enum(value: Any, path: tuple[str | int, ...], _negated: bool) -> Test:
    listed = _listed(value, path)
    return lambda subject, _: any(equal(subject, item) for item in listed)


def _one_of(value: Any, path: tuple[str | int, ...], negated: bool) -> Test:
    tests = [
        _compile(item, (*path, n), negated=negated) for n, item in enumerate(_listed(value, path))
    ]
    return lambda subject, root: any(matches(subject, root) for matches in tests)


def _contains(value: Any, path: tuple[str | int, ...], negated: bool) -> Test:
    matches = _compile(value, path, negated=negated)
    return lambda subject, root: (
        isinstance(subject, list) and any(matches(item, root) for item in subject)
    )


def _every(value: Any, path: tuple[str | int, ...], negated: bool) -> Test:
    matches = _compile(value, path, negated=negated)
    return lambda subject, root: (
        isinstance(subject, list) and bool(subject) and all(matches(item, root) for item in subject)
    )


def _not(value: Any, path: tuple[str | int, ...], _negated: bool) -> Test:
    matches = _compile(value, path, negated=True)
    return lambda subject, root: not matches(subject, root)


def _present_all(value: Any, path: tuple[str | int, ...], negated: bool) -> Test:
    tests = [
        _compile(item, (*path, n), negated=negated) for n, item in enumerate(_listed(value, path))
    ]
    return lambda subject, root: (
        isinstance(subject, list)
        and all(any(matches(item, root) for item in subject) for matches in tests)
    )


def _length(value: Any, path: tuple[str | int, ...], _negated: bool) -> Test:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PolicyError("expected a whole number", *path)
    return lambda subject, _: isinstance(subject, list) and len(subject) == value


def _reference(value: Any, path: tuple[str | int, ...], negated: bool) -> Test:
    matches = _compile(value, path, negated=negated)

    def test(subject: Any, root: Any) -> bool:
        target = parse_reference(subject)
        return target is not None and matches(target, root)

    return test


def parse_reference(value: Any) -> dict[str, Any] | None:
    """Return {resourceType, id} of a reference in either format, None if it is none."""
    if isinstance(value, dict):
        type_, id_ = value.get("resourceType"), value.get("id")
        if isinstance(type_, str) and isinstance(id_, str):
            return {"resourceType": type_, "id": id_}
        value = value.get("reference")
    found = _REFERENCE.search(value) if isinstance(value, str) else None
    return None if found is None else {"resourceType": found[1], "id": found[2]}


_FORMS: dict[str, Callable[[Any, tuple[str | int, ...], bool], Test]] = {
    "$enum": _enum,
    "$one-of": _one_of,
    "$contains": _contains,
    "$every": _every,
    "$not": _not,
    "$present-all": _present_all,
    "$length": _length,
    "$reference": _reference,
}


def mismatches(
    pattern: Any, subject: Any, root: Any, path: tuple[str | int, ...] = ()
) -> list[dict[str, Any]]:
    """Return where the subject does not match: {path, expected, but} each, none if it does.

    Slow: for people who look for the reason.
    """
    if isinstance(pattern, dict) and not any(key.startswith("$") for key in pattern):
        if isinstance(subject, dict):
            return [
                found
                for key, item in pattern.items()
                for found in mismatches(item, subject.get(key), root, (*path, key))
            ]
    elif isinstance(pattern, list) and isinstance(subject, list):
        padded = [*subject, *([None] * (len(pattern) - len(subject)))]
        return [
            found
            for n, item in enumerate(pattern)
            for found in mismatches(item, padded[n], root, (*path, n))
        ]
    elif _matches(pattern, subject, root):
        return []
    return [{"path": list(path), "expected": pattern, "but": subject}]


def _matches(pattern: Any, subject: Any, root: Any) -> bool:
    try:
        return compile_matcho(pattern)(subject, root)
    except UnresolvedError:
        return False
