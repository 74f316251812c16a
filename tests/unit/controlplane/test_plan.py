from __future__ import annotations

import itertools

import pytest

from boxruntime.contract import BoxPhase
from controlplane.provisioning.plan import (
    STEP_TITLES,
    DatabaseLostError,
    Seen,
    Step,
    Wanted,
    plan,
)

NEW = Wanted(present=True)
OLD = Wanted(present=True, established=True)
GONE = Wanted(present=False)
WHOLE = Seen(
    credentials=True,
    role=True,
    database=True,
    database_complete=True,
    generation=1,
    phase=BoxPhase.ASLEEP,
)


def changed(**fields) -> Seen:
    values = {name: getattr(WHOLE, name) for name in Seen.__slots__}
    return Seen(**(values | fields))


def test_a_new_box_takes_every_making_step_in_order():
    assert plan(NEW, Seen()) == [
        Step.CREDENTIALS,
        Step.TEMPLATE,
        Step.ROLE,
        Step.DATABASE,
        Step.START,
        Step.ANSWER,
    ]


def test_a_box_that_is_as_wanted_takes_no_step():
    assert plan(OLD, WHOLE) == []


def test_a_box_that_never_answered_is_not_done_before_it_does():
    assert plan(NEW, WHOLE) == [Step.ANSWER]


def test_a_box_that_its_host_forgot_is_handed_over_without_being_woken():
    assert plan(OLD, changed(generation=None, phase=None)) == [Step.ROLE, Step.START]


def test_a_changed_box_is_handed_over_again():
    wanted = Wanted(present=True, generation=2, established=True)
    assert plan(wanted, WHOLE) == [Step.ROLE, Step.START]


def test_a_box_that_cannot_be_reached_is_handed_over_again():
    assert plan(OLD, changed(reachable=False)) == [Step.ROLE, Step.START]


@pytest.mark.parametrize("lost", [{"role": False}, {"login": False}])
def test_a_role_that_was_shut_out_is_let_in_and_the_box_must_answer(lost: dict[str, bool]):
    assert plan(OLD, changed(**lost)) == [Step.ROLE, Step.START, Step.ANSWER]


def test_a_role_that_may_not_log_in_is_dropped_with_its_box():
    assert Step.DROP_ROLE in plan(GONE, changed(login=False))


def test_a_failing_process_gets_its_own_password_back_and_must_answer():
    assert plan(OLD, changed(phase=BoxPhase.FAILING)) == [Step.ROLE, Step.START, Step.ANSWER]


def test_new_credentials_reach_the_role_and_the_process():
    assert plan(OLD, changed(credentials=False)) == [Step.CREDENTIALS, Step.ROLE, Step.START]


@pytest.mark.parametrize("half_made", [False, True])
def test_a_lost_database_is_never_replaced(half_made: bool):
    with pytest.raises(DatabaseLostError):
        plan(OLD, changed(database=half_made, database_complete=False))


def test_a_half_made_database_of_a_new_box_is_made_anew():
    steps = plan(NEW, changed(database_complete=False))
    assert steps == [Step.TEMPLATE, Step.ROLE, Step.DATABASE, Step.START, Step.ANSWER]


def test_deletion_stops_the_process_before_the_database_and_the_role_last():
    assert plan(GONE, WHOLE) == [Step.STOP, Step.DROP_DATABASE, Step.DROP_ROLE]


def test_deletion_removes_whatever_part_there_is():
    assert plan(GONE, Seen()) == []
    assert plan(GONE, Seen(role=True)) == [Step.DROP_ROLE]
    assert plan(GONE, Seen(database=True)) == [Step.DROP_DATABASE]
    assert plan(GONE, changed(database_complete=False))[1] == Step.DROP_DATABASE


def after(seen: Seen, step: Step) -> Seen:
    """What is seen once a step was done."""
    effects = {
        Step.CREDENTIALS: {"credentials": True},
        Step.TEMPLATE: {},
        Step.ROLE: {"role": True},
        Step.DATABASE: {"database": True, "database_complete": True},
        Step.START: {"generation": 1, "phase": BoxPhase.ASLEEP},
        Step.ANSWER: {"phase": BoxPhase.AWAKE},
        Step.STOP: {"generation": None, "phase": None},
        Step.DROP_DATABASE: {"database": False, "database_complete": False},
        Step.DROP_ROLE: {"role": False},
    }[step]
    return Seen(**({name: getattr(seen, name) for name in Seen.__slots__} | effects))


every_seen = [
    Seen(
        credentials=credentials,
        role=role,
        database=database,
        database_complete=complete,
        generation=generation,
        phase=None if generation is None else BoxPhase.ASLEEP,
    )
    for credentials, role, database, complete, generation in itertools.product(
        [False, True], [False, True], [False, True], [False, True], [None, 1]
    )
    if database or not complete
]


@pytest.mark.parametrize("seen", every_seen)
@pytest.mark.parametrize("wanted", [NEW, GONE])
def test_cut_short_anywhere_and_planned_again_it_completes(wanted: Wanted, seen: Seen):
    steps = plan(wanted, seen)
    for cut in range(len(steps) + 1):
        now = seen
        for step in steps[:cut]:
            now = after(now, step)
        for step in plan(wanted, now):
            now = after(now, step)
        left = plan(wanted, now)
        assert left == ([] if wanted is GONE else [Step.ANSWER])


def test_every_step_has_a_title_for_people():
    assert set(STEP_TITLES) == set(Step)
