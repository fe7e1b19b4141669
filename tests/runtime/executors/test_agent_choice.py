"""Which agents of an engine get which launches, and when: steps that take different things, and launches ahead."""

import signal

import pytest

from gitflowrun.names import TaskName
from gitflowrun.runs.records import GANG, ForeachLevel
from gitflowrun.runtime.executors import engine_executor
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Kill,
    Launch,
    Started,
)
from gitflowrun.runtime.ipc.remote_messages import (
    AgentStop,
    Recall,
    Recalled,
    TaskBegins,
    TaskLost,
    TaskPlaced,
)
from tests.helpers.engine_driver import (
    PARENT,
    Driver,
    FakeAgent,
    result_of,
)


def test_steps_get_agents_with_what_they_take(driver: Driver) -> None:
    """An agent serves only steps of the same resources."""
    large = Resources(cpu=4, gpu=1)
    driver.resources["train"] = large
    driver.launch(1)
    agent = driver.agent(1)
    serial = agent.hears(Launch).serial
    agent.says(result_of(serial), Exited(serial, 0, 0.0, 0))
    driver.hears(Exited)
    driver.launch(2, "train/2")
    driver.meeting.turn_until(lambda: 2 in driver.engine.calls)
    assert driver.engine.calls[2][1] == large


def test_an_idle_agent_makes_place_for_one_with_other_resources(narrow: Driver) -> None:
    """Where there are as many as there may be; and that one for the next."""
    narrow.resources["train"] = large = Resources(gpu=1)
    narrow.launch(1)
    first = narrow.agent(1)
    narrow.finish(first, 1)
    narrow.launch(2, "train/2")
    second = narrow.agent(2)
    assert narrow.engine.calls[2][1] == large
    assert first.hears(AgentStop)
    narrow.finish(second, 2)
    narrow.launch(3)
    narrow.finish(narrow.agent(3), 3)


def test_an_agent_on_its_way_that_nothing_waits_for_makes_place(narrow: Driver) -> None:
    """Its launch was ended before the engine had a worker for it."""
    narrow.resources["train"] = Resources(gpu=1)
    narrow.launch(1, "train/1")
    narrow.meeting.turn_until(lambda: 1 in narrow.engine.calls)
    narrow.executor.kill(1, signal.SIGTERM)
    narrow.launch(2)
    narrow.finish(narrow.agent(2), 2)
    assert narrow.engine.cancelled == [1]


def test_only_agents_without_tasks_make_place(driver: Driver) -> None:
    """Of four the one whose task has ended."""
    driver.resources["train"] = Resources(gpu=1)
    for serial in (1, 2, 3, 4):
        driver.launch(serial)
    agents = [driver.agent(number) for number in (1, 2, 3, 4)]
    driver.finish(agents[2], agents[2].hears(Launch).serial)
    driver.launch(5, "train/5")
    driver.finish(driver.agent(5), 5)
    stopped = [any(isinstance(it, AgentStop) for it in agent.told) for agent in agents]
    assert stopped == [False, False, True, False]


def test_each_node_of_a_gang_has_an_agent(narrow: Driver) -> None:
    """However many agents there may be: nodes may wait for each other."""
    for serial in (1, 2):
        node = ForeachLevel("start", GANG, 2, serial - 1)
        narrow.executor.launch(
            Launch(serial, TaskName("start", str(serial)), 0, (node,), (PARENT,)), -1, -1
        )
    first, second = narrow.agent(1), narrow.agent(2)
    assert {first.hears(Launch).serial, second.hears(Launch).serial} == {1, 2}


def test_a_launch_that_comes_while_others_wait_is_assigned(driver: Driver) -> None:
    """It goes to the agent that is free for it, though the others go on waiting."""
    driver.resources["train"] = Resources(gpu=1)
    driver.launch(1)
    agent = driver.agent(1)
    driver.finish(agent, 1)
    driver.launch(2, "train/2")
    driver.meeting.turn_until(lambda: 2 in driver.engine.calls)
    driver.launch(3)
    driver.finish(agent, 3)


def test_agents_without_tasks_go_home(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while; the next launch gets another one."""
    monkeypatch.setattr(engine_executor, "AGENT_IDLE", 0.05)
    driver.launch(1)
    agent = driver.agent()
    serial = agent.hears(Launch).serial
    agent.says(result_of(serial), Exited(serial, 0, 0.0, 0))
    assert agent.hears(AgentStop)
    driver.launch(2)
    driver.agent(2).hears(Launch)


def quick_agent(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> FakeAgent:
    """An agent that runs task 2, while 3 and 4 wait there, for it was quick with the first one."""
    driver.launch(1)
    agent = driver.agent()
    driver.finish(agent, 1)
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 60.0)
    monkeypatch.setattr(driver.executor, "_took", 0.009)
    driver.launch(2)
    assert agent.hears(Launch, 2).serial == 2
    driver.launch(3)
    driver.launch(4)
    assert agent.hears(Launch, 4).serial == 4
    agent.says(Started(2, 22))
    driver.hears(Started)
    return agent


def placed(driver: Driver) -> list[int]:
    """The launches that have begun, in order."""
    return [it.serial for it in driver.messages if isinstance(it, TaskPlaced)]


def test_a_quick_agent_gets_launches_ahead(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each counts as begun when the one before it has ended; the scheduler is asked for so many more."""
    assert driver.executor.ahead == 0
    agent = quick_agent(driver, monkeypatch)
    assert driver.executor.ahead == 2
    assert placed(driver) == [1, 2]
    agent.says(result_of(2), Exited(2, 0, 0.0, 0))
    driver.hears(Exited, 2)
    assert placed(driver) == [1, 2, 3]
    agent.says(result_of(3), Exited(3, 0, 0.0, 0))
    driver.hears(Exited, 3)
    assert placed(driver) == [1, 2, 3, 4]


def test_a_slow_agent_gets_nothing_ahead(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits there waits long, and would not be at another agent that comes."""
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 0.0)
    driver.launch(1)
    agent = driver.agent()
    driver.finish(agent, 1)
    driver.launch(2)
    driver.launch(3)
    agent.hears(Launch, 2)
    driver.meeting.turn_for(0.1)
    assert driver.executor.ahead == 0
    assert len(agent.all_of(Launch)) == 2


def test_what_has_not_begun_is_not_lost_with_an_agent(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes to another one; what ran is lost."""
    agent = quick_agent(driver, monkeypatch)
    agent.link.close()
    assert driver.hears(TaskLost).serial == 2
    other = driver.agent(2)
    assert other.hears(Launch).serial == 3
    driver.meeting.turn_for(0.1)
    assert [it.serial for it in driver.messages if isinstance(it, TaskLost)] == [2]


@pytest.mark.parametrize("why", ["it has said so", "nobody knows"])
def test_what_may_have_begun_is_lost_with_an_agent(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Nothing is run twice without being recorded: its last words may not have come."""
    agent = quick_agent(driver, monkeypatch)
    if why == "it has said so":
        agent.says(TaskBegins(3))
        driver.meeting.turn_until(lambda: 3 in placed(driver))
        agent.link.close()
    else:
        driver.executor.ended(1, "its machine is gone")
    lost = {driver.hears(TaskLost, number).serial for number in (1, 2)}
    assert lost == {2, 3}


def test_an_idle_agent_gets_what_waits_at_another(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recalled, and placed where it begins."""
    driver.launch(1)
    driver.launch(2)
    first, second = driver.agent(1), driver.agent(2)
    one, two = first.hears(Launch).serial, second.hears(Launch).serial
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 60.0)
    monkeypatch.setattr(driver.executor, "_took", 0.012)
    driver.launch(3)
    first.hears(Launch, 2)
    second.says(result_of(two), Exited(two, 0, 0.0, 0))
    assert first.hears(Recall).serial == 3
    first.says(Recalled(3))
    assert second.hears(Launch, 2).serial == 3
    driver.meeting.turn_for(0.05)
    assert placed(driver) == [*sorted([one, two]), 3]


def test_a_launch_that_waits_at_an_agent_is_killed_there(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has never begun."""
    agent = quick_agent(driver, monkeypatch)
    driver.executor.kill(4, signal.SIGINT)
    assert agent.hears(Kill) == Kill(4, signal.SIGINT)
    agent.says(Exited(4, signal.SIGINT, 0.0, 0))
    assert driver.hears(Exited, 2).serial == 4
    assert placed(driver) == [1, 2]
    agent.says(result_of(2), Exited(2, 0, 0.0, 0))
    driver.hears(Exited, 3)
    assert placed(driver) == [1, 2, 3]
