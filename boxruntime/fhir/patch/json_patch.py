"""JSON Patch: a list of operations on places that JSON Pointers name.

Spec: https://www.rfc-editor.org/rfc/rfc6902, https://www.rfc-editor.org/rfc/rfc6901
Source: core specification, "Patch".
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.patch.json_values import copied, is_same, weight
from boxruntime.fhir.patch.refusal import MAX_OPERATIONS, malformed, too_costly

_WITH_VALUE = frozenset({"add", "replace", "test"})
_WITH_FROM = frozenset({"move", "copy"})
_NAMES = _WITH_VALUE | _WITH_FROM | {"remove"}
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile(r"~(?![01])")
_END = "-"
MAX_COPIED = 100_000
"""Values that all `copy` operations may add, for each of them can double a document."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation.

    Pointers are their steps below a root that is itself a step (""), so that every place has a
    holder.
    """

    number: int
    name: str
    path: tuple[str, ...]
    source: tuple[str, ...] = ()
    value: Any = None

    def refused(self, why: str) -> OutcomeError:
        return malformed(f"Operation {self.number} ({self.name}): {why}.")


def parse_json_patch(body: Any) -> list[Operation]:
    """Return the operations of a JSON Patch. Raises OutcomeError: INVALID, TOO_LARGE."""
    if not isinstance(body, list):
        raise malformed("A JSON Patch is an array of operations.")
    if len(body) > MAX_OPERATIONS:
        raise too_costly(f"A patch has at most {MAX_OPERATIONS} operations.")
    return [_operation(number, item) for number, item in enumerate(body, 1)]


def _operation(number: int, item: Any) -> Operation:
    name = item.get("op") if isinstance(item, dict) else None
    if not isinstance(name, str) or name not in _NAMES:
        raise malformed(f"Operation {number}: op is none of {', '.join(sorted(_NAMES))}.")
    if name in _WITH_VALUE and "value" not in item:
        raise malformed(f"Operation {number} ({name}): the value is missing.")
    return Operation(
        number=number,
        name=name,
        path=_pointer(number, item, "path"),
        source=_pointer(number, item, "from") if name in _WITH_FROM else (),
        value=item.get("value"),
    )


def _pointer(number: int, item: dict[str, Any], member: str) -> tuple[str, ...]:
    pointer = item.get(member)
    if (
        not isinstance(pointer, str)
        or (pointer and not pointer.startswith("/"))
        or _BAD_ESCAPE.search(pointer)
    ):
        raise malformed(f"Operation {number}: {member} is no JSON Pointer.")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/"))


def apply_json_patch(document: dict[str, Any], operations: list[Operation]) -> dict[str, Any]:
    """Carry out all operations on the document, in place, and return what it became.

    The patch stays as it is, so that it can be applied again. Raises OutcomeError: INVALID for a
    place that is not there, CONFLICT for a test that fails, TOO_LARGE for copies without end;
    what the document is then does not matter any more.
    """
    root: dict[str, Any] = {"": document}
    cost = 0
    for operation in operations:
        match operation.name:
            case "add":
                _add(root, operation, copied(operation.value))
            case "remove":
                _remove(root, operation, operation.path)
            case "replace":
                _replace(root, operation)
            case "move":
                _move(root, operation)
            case "copy":
                value = _get(*_holder(root, operation, operation.source), operation)
                cost += weight(value)
                if cost > MAX_COPIED:
                    raise too_costly("The patch copies too much.")
                _add(root, operation, copied(value))
            case "test":
                _test(root, operation)
    result = root.get("")
    if not isinstance(result, dict):
        raise malformed("The patch leaves no resource.")
    return result


def _holder(root: Any, operation: Operation, path: tuple[str, ...]) -> tuple[Any, str]:
    """Return the object or array that holds a place, and the last step to it."""
    holder = root
    for step in path[:-1]:
        holder = _get(holder, step, operation)
    return holder, path[-1]


def _get(holder: Any, step: str, operation: Operation) -> Any:
    if isinstance(holder, dict) and step in holder:
        return holder[step]
    if isinstance(holder, list) and _INDEX.fullmatch(step) and int(step) < len(holder):
        return holder[int(step)]
    raise operation.refused("the place does not exist")


def _add(root: Any, operation: Operation, value: Any) -> None:
    holder, step = _holder(root, operation, operation.path)
    if isinstance(holder, dict):
        holder[step] = value
    elif isinstance(holder, list) and step == _END:
        holder.append(value)
    elif isinstance(holder, list) and _INDEX.fullmatch(step) and int(step) <= len(holder):
        holder.insert(int(step), value)
    else:
        raise operation.refused("the place does not exist")


def _remove(root: Any, operation: Operation, path: tuple[str, ...]) -> Any:
    holder, step = _holder(root, operation, path)
    value = _get(holder, step, operation)
    del holder[int(step) if isinstance(holder, list) else step]
    return value


def _replace(root: Any, operation: Operation) -> None:
    holder, step = _holder(root, operation, operation.path)
    _get(holder, step, operation)
    holder[int(step) if isinstance(holder, list) else step] = copied(operation.value)


def _move(root: Any, operation: Operation) -> None:
    source, path = operation.source, operation.path
    if path[: len(source)] == source and len(path) > len(source):
        raise operation.refused("a value cannot move into itself")
    _add(root, operation, _remove(root, operation, source))


def _test(root: Any, operation: Operation) -> None:
    if not is_same(_get(*_holder(root, operation, operation.path), operation), operation.value):
        raise OutcomeError(
            Fault.CONFLICT, f"Operation {operation.number} (test): the value differs."
        )
