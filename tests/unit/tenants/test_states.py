from __future__ import annotations

import pytest

from tenants.states import (
    BOX_TRANSITIONS,
    JOB_OPEN,
    JOB_TRANSITIONS,
    BoxState,
    JobState,
    TransitionError,
    check_box_transition,
    check_job_transition,
)


def test_every_state_has_a_row_in_its_table():
    assert set(BOX_TRANSITIONS) == set(BoxState)
    assert set(JOB_TRANSITIONS) == set(JobState)


def test_nothing_leads_back_from_deletion():
    assert not BOX_TRANSITIONS[BoxState.DELETING]


def test_every_other_box_may_be_deleted():
    for state in set(BoxState) - {BoxState.DELETING}:
        check_box_transition(state, BoxState.DELETING)


def test_a_job_ends_exactly_where_it_is_not_open():
    assert {state for state, after in JOB_TRANSITIONS.items() if after} == JOB_OPEN


def test_a_requested_box_is_not_ready_at_once():
    with pytest.raises(TransitionError, match="requested to ready"):
        check_box_transition(BoxState.REQUESTED, BoxState.READY)


def test_a_finished_job_is_not_queued_again():
    with pytest.raises(TransitionError):
        check_job_transition(JobState.DONE, JobState.QUEUED)
