"""What is missing between a box as it shall be and a box as it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique

from boxruntime.contract import BoxPhase


@unique
class Step(StrEnum):
    """One repeatable step; the value is stored with a job's progress."""

    CREDENTIALS = "credentials"
    TEMPLATE = "template"
    ROLE = "role"
    DATABASE = "database"
    START = "start"
    ANSWER = "answer"
    STOP = "stop"
    DROP_DATABASE = "drop-database"
    DROP_ROLE = "drop-role"


STEP_ORDER = {step: position for position, step in enumerate(Step)}
STEP_TITLES = {
    Step.CREDENTIALS: "Make keys and credentials",
    Step.TEMPLATE: "Find the database template",
    Step.ROLE: "Make the database role",
    Step.DATABASE: "Copy the database",
    Step.START: "Hand the box to its host",
    Step.ANSWER: "Wait for the first answer",
    Step.STOP: "Stop the box",
    Step.DROP_DATABASE: "Drop the database",
    Step.DROP_ROLE: "Drop the database role",
}


class DatabaseLostError(Exception):
    """A box that has held data has no database. An empty one must not silently replace it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A box as it shall be."""

    present: bool
    generation: int = 1
    established: bool = False
    """It has answered before, so it may hold data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A box as it is."""

    credentials: bool = False
    role: bool = False
    login: bool = True
    """Its role, if there is one, may log in."""
    database: bool = False
    """There is a database of that name, whole or not."""
    database_complete: bool = False
    generation: int | None = None
    """Of the specification the box host has; None if it has none."""
    phase: BoxPhase | None = None
    reachable: bool = True
    """The box host, if it has the box, listens at all its addresses."""


def plan(wanted: Wanted, seen: Seen) -> list[Step]:
    """Return the steps from what is seen to what is wanted, in order; [] if it is as wanted.

    Raises DatabaseLostError.
    """
    return _plan_presence(wanted, seen) if wanted.present else _plan_absence(seen)


def _plan_presence(wanted: Wanted, seen: Seen) -> list[Step]:
    if wanted.established and not seen.database_complete:
        raise DatabaseLostError
    current = seen.generation is not None and seen.generation >= wanted.generation
    hosted = current and seen.reachable
    # A failing process may have been shut out by a changed password, which cannot be seen.
    shut_out = not seen.role or not seen.login or seen.phase == BoxPhase.FAILING
    # The role comes with every start: its password is set to the one the process will use.
    role = shut_out or not seen.credentials or not seen.database_complete or not hosted
    # Starting wakes nothing: a box that once answered may go on sleeping.
    answer = not wanted.established or shut_out
    return [
        step
        for step, needed in (
            (Step.CREDENTIALS, not seen.credentials),
            (Step.TEMPLATE, not seen.database_complete),
            (Step.ROLE, role),
            (Step.DATABASE, not seen.database_complete),
            (Step.START, role),
            (Step.ANSWER, answer),
        )
        if needed
    ]


def _plan_absence(seen: Seen) -> list[Step]:
    return [
        step
        for step, needed in (
            (Step.STOP, seen.generation is not None),
            (Step.DROP_DATABASE, seen.database),
            (Step.DROP_ROLE, seen.role),
        )
        if needed
    ]
