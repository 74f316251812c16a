"""Which mould a box is cast from, and how long moulds are kept."""

from __future__ import annotations

import asyncio

import pytest

from boxruntime.contract import BoxSpec
from boxruntime.host import moulds
from boxruntime.host.moulds import Moulds, version_of


class FakeMould:
    """A mould that is ready at once and forks nothing."""

    is_ready = True
    is_forking = False

    def __init__(self):
        self.gone = asyncio.Event()
        self.replaced = asyncio.Event()

    async def wait_ready(self):
        pass

    async def fork(self, box, sockets):
        return 7

    def close(self):
        self.gone.set()


@pytest.fixture
async def begun(monkeypatch):
    tasks = []
    made = Moulds(
        "x:y", lambda pid, status: None, lambda work: tasks.append(asyncio.create_task(work))
    )
    monkeypatch.setattr(made, "_start", lambda version: FakeMould())
    made.begin()
    yield made
    made.close()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("written", "meant"),
    [(None, "4.0.1"), ("", "4.0.1"), ("fhir-3.0.1", "3.0.2"), ("5.0.0", "5.0.0"), ("9", "4.0.1")],
)
def test_the_version_of_a_spec(written, meant):
    environment = {} if written is None else {"AIDBOX_FHIR_VERSION": written}
    assert version_of(BoxSpec(id="a", generation=1, environment=environment)) == meant


async def test_an_idle_mould_ends_and_the_default_stays(begun, monkeypatch):
    assert await begun.fork("1.0.2", "old", []) == 7
    assert await begun.fork("4.0.1", "usual", []) == 7
    begun.rest(())
    assert len(begun._moulds) == 2  # not idle for long enough
    monkeypatch.setattr(moulds, "IDLE_S", 0.0)
    idle = begun._moulds["1.0.2"]
    idle.is_forking = True
    begun.rest(())
    assert not idle.gone.is_set()
    idle.is_forking = False
    begun.rest(())
    assert idle.gone.is_set()
    assert list(begun._moulds) == ["4.0.1"]
    assert await begun.fork("1.0.2", "old", []) == 7
    assert len(begun._moulds) == 2


async def test_a_mould_with_processes_stays(begun, monkeypatch):
    await begun.fork("5.0.0", "busy", [])
    await asyncio.sleep(0.02)
    monkeypatch.setattr(moulds, "IDLE_S", 0.01)
    begun.rest({"5.0.0"})
    assert list(begun._moulds) == ["4.0.1", "5.0.0"]
    await asyncio.sleep(0.02)
    begun.rest(())
    assert list(begun._moulds) == ["4.0.1"]
