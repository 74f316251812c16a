"""PGSequence: numbers that are given once, such as medical record numbers. Root only.

POST /PGSequence               {id, start, increment, minval, maxval, cycle} -> 201, the definition
POST /PGSequence/{id}          {} -> {id, value}; {count: 5} -> {id, values}
GET  /PGSequence/{id}          {id, value}: the last one drawn
PUT  /PGSequence/{id}          {value: 30} -> the next one is 31; {start: 300} -> made if absent
DELETE /PGSequence/{id}        {id, value}
Source: core specification, "Sequences".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.call import Call, Result
from boxruntime.api.intake import body_object
from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.storage.sequences import (
    Definition,
    ExhaustedError,
    ImpossibleSequenceError,
    NoSequenceError,
    SequenceExistsError,
    create_sequence,
    current_value,
    drop_sequence,
    find_definition,
    next_values,
    set_value,
)

if TYPE_CHECKING:
    from boxruntime.api.box import Box

MAX_COUNT = 100_000
_ID = re.compile(r"[a-z0-9_]{1,63}")  # PostgreSQL cuts longer names, and two would be one
_MEMBERS = frozenset(Definition.__struct_fields__)
_INT64 = 2**63


async def create(call: Call, box: Box) -> Result:
    """Create a sequence: 201. Raises OutcomeError CONFLICT or UNPROCESSABLE."""
    body = _body(call, {"id", *_MEMBERS})
    if "id" not in body:
        raise _refused("id", "is required")
    name = _name(body.pop("id"))
    try:
        await create_sequence(box.store.runner, name, _definition(body))
    except SequenceExistsError:
        raise OutcomeError(Fault.CONFLICT, "The sequence exists already.") from None
    except ImpossibleSequenceError:
        raise _impossible() from None
    return await _defined(box, name, 201)


async def draw(call: Call, box: Box) -> Result:
    """Return the next value, or as many as are asked for."""
    name = _name(call.id)
    body = _body(call, {"id", "count"})
    count = _integer(body, "count", 1)
    if not 1 <= count <= MAX_COUNT:
        raise _refused("count", f"expected a whole number from 1 to {MAX_COUNT}")
    try:
        values = await next_values(box.store.runner, name, count)
    except NoSequenceError:
        raise _absent() from None
    except ExhaustedError:
        raise OutcomeError(Fault.UNPROCESSABLE, "The sequence is exhausted.") from None
    drawn = {"values": values} if "count" in body else {"value": values[0]}
    return Result(status=200, value={"id": name, **drawn}, is_write=True)


async def current(call: Call, box: Box) -> Result:
    """Return the value that was drawn last; before that, the first one."""
    name = _name(call.id)
    try:
        value = await current_value(box.store.runner, name)
    except NoSequenceError:
        raise _absent() from None
    return Result(status=200, value={"id": name, "value": value})


async def change(call: Call, box: Box) -> Result:
    """Reset a sequence to a value, or make it where it is absent."""
    name = _name(call.id)
    body = _body(call, {"id", "value", *_MEMBERS})
    if body.pop("id", name) != name:
        raise _refused("id", "differs from the id of the URL")
    if "value" in body:
        return await _reset(box, name, _integer(body, "value", 0))
    try:
        await create_sequence(box.store.runner, name, _definition(body))
    except SequenceExistsError:
        return await _defined(box, name, 200)
    except ImpossibleSequenceError:
        raise _impossible() from None
    return await _defined(box, name, 201)


async def drop(call: Call, box: Box) -> Result:
    """Drop a sequence; answer its last value."""
    name = _name(call.id)
    try:
        value = await drop_sequence(box.store.runner, name)
    except NoSequenceError:
        raise _absent() from None
    return Result(status=200, value={"id": name, "value": value}, is_write=True)


async def _reset(box: Box, name: str, value: int) -> Result:
    try:
        await set_value(box.store.runner, name, value)
    except NoSequenceError:
        raise _absent() from None
    except ExhaustedError:
        raise _refused("value", "lies outside of the bounds") from None
    return Result(status=200, value={"value": value}, is_write=True)


async def _defined(box: Box, name: str, status: int) -> Result:
    definition = await find_definition(box.store.runner, name)
    if definition is None:  # dropped in between
        raise _absent()
    value = {"id": name, **msgspec.structs.asdict(definition)}
    return Result(status=status, value=value, is_write=True)


def _body(call: Call, members: set[str]) -> dict[str, Any]:
    """Return the members of the body that are not null."""
    body = {key: value for key, value in body_object(call).items() if value is not None}
    body.pop("resourceType", None)  # clients that know only resources send it
    for key in body:
        if key not in members:
            raise _refused(key, "extra property")
    return body


def _definition(body: dict[str, Any]) -> Definition:
    cycle = body.get("cycle", False)
    if not isinstance(cycle, bool):
        raise _refused("cycle", "expected a boolean")
    low = _integer(body, "minval", 0) if "minval" in body else None
    high = _integer(body, "maxval", 0) if "maxval" in body else None
    return Definition(
        start=_integer(body, "start", 1),
        increment=_integer(body, "increment", 1),
        minval=low,
        maxval=high,
        cycle=cycle,
    )


def _integer(body: dict[str, Any], member: str, default: int) -> int:
    value = body.get(member, default)
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise _refused(member, "expected a whole number of 64 bits")
    return value


def _name(value: Any) -> str:
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    raise _refused("id", "expected 1 to 63 small letters, digits or '_'")


def _absent() -> OutcomeError:
    return OutcomeError(Fault.NOT_FOUND, "The sequence does not exist.")


def _impossible() -> OutcomeError:
    return OutcomeError(Fault.UNPROCESSABLE, "Start, increment and bounds contradict each other.")


def _refused(member: str, message: str) -> OutcomeError:
    issue = Issue(message=message, path=(member,), type_name="PGSequence")
    return OutcomeError(Fault.UNPROCESSABLE, issue)
