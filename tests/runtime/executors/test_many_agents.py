"""What the driver does with each task where there are many agents, and many launches that wait for them."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.names import TaskName
from gitflowrun.runs.records import GANG, ForeachLevel
from gitflowrun.runtime.executors import engine_executor
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.executors.executor_limits import (
    AHEAD_IN_ALL,
    AHEAD_MOST,
    BUSY_LOOKED_AT,
)
from gitflowrun.runtime.executors.waiting_launches import WaitingLaunches
from gitflowrun.runtime.ipc.messages import Launch
from tests.helpers.engine_driver import Driver
from tests.helpers.links import Meeting
from tests.helpers.repos import make_repo
from tests.helpers.runs import open_repo
from tests.helpers.stub_agents import StubAgents


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[[int], StubAgents]]:
    """Makes a driver that has so many agents."""
    meetings = []

    def make(count: int) -> StubAgents:
        meetings.append(Meeting())
        repo = open_repo(make_repo(tmp_path / str(count)))
        return StubAgents(Driver(repo, meetings[-1], most=count), count)

    yield make
    for meeting in meetings:
        meeting.close()


def calls_of(work: Callable[[], object]) -> int:
    """How many functions of Python's are called."""
    called = [0]

    def count(_: FrameType, event: str, __: object) -> None:
        called[0] += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called[0]


@pytest.mark.parametrize(("took", "waiting"), [(0.001, 0), (5.0, 0), (5.0, 300)])
def test_a_task_costs_the_same_however_many_agents_there_are(
    made: Callable[[int], StubAgents], monkeypatch: pytest.MonkeyPatch, took: float, waiting: int
) -> None:
    """And however many launches wait for them; of short tasks some wait at each."""
    monkeypatch.setattr(engine_executor, "AGENT_IDLE", 1000.0)
    calls = []
    for count in (4 * BUSY_LOOKED_AT, 40 * BUSY_LOOKED_AT):
        agents = made(count)
        agents.executor._took = took
        for _ in range(count + agents.executor.ahead("work") + waiting):
            agents.launch()
        agents.turn()
        agents.work(count)  # so that each has met all that is met once
        agents.executor._took = took
        calls.append(calls_of(partial(agents.work, 50)))
    assert calls[1] < 1.5 * calls[0]


def test_launches_that_wait_at_agents_are_limited_in_all(
    made: Callable[[int], StubAgents],
) -> None:
    """What the driver can't launch in that time need not wait anywhere; one may at each."""
    executor = made(1).executor
    executor._took = 0.0001
    for count, ahead in ((2, 2 * AHEAD_MOST), (100, AHEAD_IN_ALL), (3000, 3000)):
        executor._there = count
        assert executor.ahead("work") == ahead


def test_all_agents_have_their_turn(made: Callable[[int], StubAgents]) -> None:
    """Where not all of them are looked at, those that were not are next."""
    agents = made(9 * BUSY_LOOKED_AT)
    agents.executor._took = 0.001
    for _ in agents.agents:
        agents.launch()
    agents.turn()
    assert [len(it.launches) for it in agents.agents] == [1] * len(agents.agents)
    for _ in agents.agents:
        agents.launch()
        agents.turn()
    assert max(len(it.ahead) for it in agents.agents) <= 2
    assert sum(len(it.ahead) for it in agents.agents) == len(agents.agents)


KINDS = (Resources(), Resources(4.0), Resources(1.0, 1.0))
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from([0, 1, 2, 3])),
        st.tuples(st.just("first"), st.sampled_from([0, 1, 2, 3])),
        st.tuples(st.just("take"), st.sampled_from([0, 1, 2])),
        st.tuples(st.just("serial"), st.integers(1, 20)),
        st.tuples(st.just("all"), st.just(0)),
    ),
    max_size=40,
)


def launch_of(serial: int, kind: int) -> Launch:
    """A launch of a step that takes one of `KINDS`; of the fourth kind, a node of a gang."""
    frame = ForeachLevel("start", GANG if kind == len(KINDS) else "items", 4, 0, "")
    return Launch(serial, TaskName(f"s{kind % len(KINDS)}", str(serial)), 0, (frame,), ())


@given(MOVES)
def test_launches_wait_in_order(moves: list[tuple[str, int]]) -> None:
    """Those of one kind of resources in the order in which they came, or before all others if they come back."""
    waiting = WaitingLaunches(lambda launch: KINDS[int(launch.task.step[1:])])
    model: dict[Resources, deque[Launch]] = {kind: deque() for kind in KINDS}
    for serial, (what, number) in enumerate(moves, start=1):
        queue = model[KINDS[number % len(KINDS)]]
        if what == "add":
            queue.append(launch_of(serial, number))
            waiting.add(queue[-1])
        elif what == "first":
            queue.appendleft(launch_of(serial, number))
            waiting.put_first([queue[0]])
        elif what == "take" and queue:
            assert waiting.take(KINDS[number]) is queue.popleft()
        elif what == "serial":
            found = [it for each in model.values() for it in each if it.serial == number]
            assert waiting.take_serial(number) is (found[0] if found else None)
            for each in model.values():
                if found and found[0] in each:
                    each.remove(found[0])
        elif what == "all":
            assert Counter(it.serial for it in waiting.take_all()) == Counter(
                it.serial for each in model.values() for it in each
            )
            model = {kind: deque() for kind in KINDS}
        assert set(waiting.kinds) == {kind for kind, each in model.items() if each}
        for kind, each in model.items():
            assert waiting.count(kind) == len(each)
            assert waiting.first(kind) is (each[0] if each else None)
        assert len(waiting) == sum(map(len, model.values()))
        assert waiting.nodes == sum(it.frames[0].is_gang for each in model.values() for it in each)
