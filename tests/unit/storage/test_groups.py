"""Requests that share a statement: together, in order, and each with its own failure."""

import asyncio

import asyncpg
import pytest

from boxruntime.storage.groups import MAX_ITEMS, Group


class Statement:
    """Doubles numbers; remembers which came together. Waits for `gate` if there is one."""

    def __init__(self, gate=None):
        self.calls = []
        self.gate = gate

    async def __call__(self, items):
        self.calls.append(items)
        if self.gate is not None:
            await self.gate.wait()
        for item in items:
            if isinstance(item, BaseException):
                raise item
        return [item * 2 for item in items]


async def test_a_lone_item_waits_for_nothing():
    statement = Statement()
    assert await Group(statement).run(3) == 6
    assert statement.calls == [[3]]


async def test_items_of_one_turn_of_the_loop_go_together():
    statement = Statement()
    group = Group(statement)
    assert await asyncio.gather(*(group.run(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert statement.calls == [[0, 1, 2, 3, 4]]


async def test_what_comes_while_a_statement_runs_goes_with_the_next():
    statement = Statement(asyncio.Event())
    group = Group(statement)
    first = group.run(1)
    await asyncio.sleep(0.01)
    rest = [group.run(n) for n in range(2, MAX_ITEMS + 4)]
    await asyncio.sleep(0.01)
    assert statement.calls == [[1]]
    statement.gate.set()
    assert await first == 2
    assert await asyncio.gather(*rest) == [n * 2 for n in range(2, MAX_ITEMS + 4)]
    assert [len(call) for call in statement.calls] == [1, MAX_ITEMS, 2]


async def test_only_the_guilty_item_fails():
    statement = Statement()
    group = Group(statement)
    guilty = asyncpg.UniqueViolationError("x")
    results = await asyncio.gather(
        group.run(1), group.run(guilty), group.run(3), return_exceptions=True
    )
    assert results == [2, guilty, 6]
    assert statement.calls[1:] == [[1], [guilty], [3]]


@pytest.mark.parametrize(
    "failure",
    [ConnectionError("gone"), asyncpg.AdminShutdownError("x"), asyncpg.QueryCanceledError("x")],
)
async def test_nothing_is_sent_twice_when_the_commit_is_not_known(failure):
    statement = Statement()
    group = Group(statement)
    results = await asyncio.gather(group.run(1), group.run(failure), return_exceptions=True)
    assert results == [failure, failure]
    assert len(statement.calls) == 1
    assert await group.run(4) == 8


async def test_a_client_that_goes_away_takes_nobody_along():
    statement = Statement(asyncio.Event())
    group = Group(statement)
    going, staying = group.run(1), group.run(2)
    await asyncio.sleep(0.01)
    going.cancel()
    statement.gate.set()
    assert await staying == 4
    assert going.cancelled()


async def test_items_do_not_wait_for_a_statement_that_hangs():
    hanging = asyncio.Event()

    async def run_many(items):
        if 0 in items:
            await hanging.wait()
        return items

    group = Group(run_many)
    stuck = group.run(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await asyncio.wait_for(asyncio.gather(group.run(1), group.run(2)), 5) == [1, 2]
    assert not stuck.done()
    hanging.set()
    assert await stuck == 0
