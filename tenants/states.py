"""The states of a box and of a job, each with its one transition table.

A box state says what the platform is doing about the box; whether its process sleeps or serves
this second is the box host's business (`boxruntime.contract.BoxPhase`).
"""

from __future__ import annotations

from enum import StrEnum, unique
from types import MappingProxyType


@unique
class BoxState(StrEnum):
    REQUESTED = "requested"  # recorded; no job has begun
    PROVISIONING = "provisioning"  # a job makes it for the first time
    READY = "ready"  # it has answered a request
    REPAIRING = "repairing"  # it was ready, something is missing, a job restores it
    FAILED = "failed"  # jobs gave up; a person must act
    DELETING = "deleting"  # nothing leads back; the row goes when all else is gone


BOX_TRANSITIONS = MappingProxyType(
    {
        BoxState.REQUESTED: frozenset({BoxState.PROVISIONING, BoxState.FAILED, BoxState.DELETING}),
        BoxState.PROVISIONING: frozenset({BoxState.READY, BoxState.FAILED, BoxState.DELETING}),
        BoxState.READY: frozenset({BoxState.REPAIRING, BoxState.FAILED, BoxState.DELETING}),
        BoxState.REPAIRING: frozenset({BoxState.READY, BoxState.FAILED, BoxState.DELETING}),
        BoxState.FAILED: frozenset({BoxState.PROVISIONING, BoxState.REPAIRING, BoxState.DELETING}),
        BoxState.DELETING: frozenset(),
    }
)

BOX_SETTLED = frozenset({BoxState.READY, BoxState.FAILED})
"""States in which no job is under way or due."""


@unique
class JobState(StrEnum):
    QUEUED = "queued"  # recorded; the broker may or may not know of it
    RUNNING = "running"  # a worker has begun it (and may have died since: see the box's lock)
    DONE = "done"
    FAILED = "failed"  # given up after several attempts
    DROPPED = "dropped"  # overtaken: its box is being deleted


JOB_TRANSITIONS = MappingProxyType(
    {
        JobState.QUEUED: frozenset({JobState.RUNNING, JobState.DROPPED, JobState.FAILED}),
        JobState.RUNNING: frozenset(
            {JobState.QUEUED, JobState.DONE, JobState.FAILED, JobState.DROPPED}
        ),
        JobState.DONE: frozenset(),
        JobState.FAILED: frozenset(),
        JobState.DROPPED: frozenset(),
    }
)

JOB_OPEN = frozenset({JobState.QUEUED, JobState.RUNNING})


class TransitionError(RuntimeError):
    """A change of state that its table does not have."""


def check_box_transition(before: BoxState, after: BoxState) -> None:
    """Raises TransitionError unless `before` may become `after`."""
    if after not in BOX_TRANSITIONS[before]:
        raise TransitionError(f"A box does not go from {before} to {after}.")


def check_job_transition(before: JobState, after: JobState) -> None:
    """Raises TransitionError unless `before` may become `after`."""
    if after not in JOB_TRANSITIONS[before]:
        raise TransitionError(f"A job does not go from {before} to {after}.")
