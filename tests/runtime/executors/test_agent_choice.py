"""Which agents of an engine get which launches, and when: steps that take different things, and launches ahead."""

import signal
from dataclasses import dataclass

import pytest

from gitflowrun.names import TaskName
from gitflowrun.runs.records import GANG, ForeachLevel
from gitflowrun.runtime.executors import engine_executor
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Kill,
    Launch,
    LaunchFailed,
    LaunchLost,
    Started,
)
from gitflowrun.runtime.ipc.remote_messages import (
    AgentReady,
    AgentStop,
    Recall,
    Recalled,
    TaskBegins,
    TaskLost,
    TaskPlaced,
)
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
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
        launch = Launch(serial, TaskName("start", str(serial)), 0, (node,), (PARENT,))
        narrow.executor.launch(launch, TaskPipes(narrow.meeting.loop))
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
    monkeypatch.setattr(driver.executor, "_took", 0.045)
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
    assert driver.executor.ahead("work") == 0
    agent = quick_agent(driver, monkeypatch)
    assert driver.executor.ahead("work") == 2
    assert placed(driver) == [1, 2]
    agent.says(result_of(2), Exited(2, 0, 0.0, 0))
    driver.hears(Exited, 2)
    assert placed(driver) == [1, 2, 3]
    agent.says(result_of(3), Exited(3, 0, 0.0, 0))
    driver.hears(Exited, 3)
    assert placed(driver) == [1, 2, 3, 4]


def test_an_executor_that_begins_with_nothing_more_gives_back_what_waits(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for an agent at once, what waits at one when that says that it has not begun; the others go on."""
    agent = quick_agent(driver, monkeypatch)
    driver.launch(5)
    driver.executor.withdraw()
    assert driver.hears(LaunchLost).serial == 5
    agent.hears(Recall, 2)
    assert [it.serial for it in agent.all_of(Recall)] == [3, 4]
    agent.says(Recalled(4), result_of(2), Exited(2, 0, 0.0, 0), TaskBegins(3))  # too late for 3
    assert driver.hears(LaunchLost, 2).serial == 4
    agent.says(result_of(3), Exited(3, 0, 0.0, 0))
    assert driver.hears(Exited, 3).serial == 3
    assert placed(driver) == [1, 2, 3]


def test_what_waited_at_an_agent_that_is_lost_is_given_back_where_nothing_more_begins(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other agent gets it."""
    agent = quick_agent(driver, monkeypatch)
    asked = list(driver.engine.calls)
    driver.executor.withdraw()
    agent.hears(Recall, 2)
    agent.link.close()
    assert driver.hears(TaskLost).serial == 2
    driver.hears(LaunchLost, 2)
    assert [it.serial for it in driver.messages if isinstance(it, LaunchLost)] == [3, 4]
    driver.meeting.turn_for(0.1)
    assert list(driver.engine.calls) == asked


def test_what_waited_and_was_interrupted_has_not_begun(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it has not failed, either, whichever the agent has heard of first."""
    agent = quick_agent(driver, monkeypatch)
    driver.launch(5)
    driver.executor.withdraw()
    for serial in (2, 3, 4, 5):
        driver.executor.kill(serial, signal.SIGINT)
    agent.hears(Recall, 2)
    agent.says(Recalled(3), Recalled(4))
    driver.hears(LaunchLost, 3)
    assert {it.serial for it in driver.messages if isinstance(it, LaunchLost)} == {3, 4, 5}
    assert [it.serial for it in driver.messages if isinstance(it, Exited)] == [1]


def test_other_agents_are_asked_for_where_launches_wait_at_one(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as launches, or as there may be: who was quick so far may be slow with what waits there."""
    agent = quick_agent(driver, monkeypatch)
    assert list(driver.engine.calls) == [1, 2, 3]
    other = driver.agent(3)
    assert agent.hears(Recall).serial == 4
    agent.says(Recalled(4))
    assert other.hears(Launch).serial == 4
    for serial in range(5, 20):
        driver.launch(serial)
    driver.meeting.turn_for(0.1)
    assert list(driver.engine.calls) == [1, 2, 3, 4]


def test_what_waits_at_an_agent_that_can_not_begin_has_lost_nothing(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits again."""
    agent = quick_agent(driver, monkeypatch)
    agent.says(result_of(2), Exited(2, 0, 0.0, 0), LaunchFailed(3, "too many processes"))
    assert driver.hears(TaskLost).serial == 3
    other = driver.agent(2)
    assert other.hears(Launch).serial == 4
    assert [it.serial for it in driver.messages if isinstance(it, TaskLost)] == [3]


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
    assert driver.executor.ahead("work") == 0
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
    monkeypatch.setattr(driver.executor, "_took", 0.06)
    driver.launch(3)
    first.hears(Launch, 2)
    second.says(result_of(two), Exited(two, 0, 0.0, 0))
    assert first.hears(Recall).serial == 3
    first.says(Recalled(3))
    assert second.hears(Launch, 2).serial == 3
    driver.meeting.turn_for(0.05)
    assert placed(driver) == [*sorted([one, two]), 3]


@dataclass(frozen=True)
class Wanted:
    """A launch that waits at an agent, and is wanted back from there for another one.

    Attributes:
        keeper: The agent that runs a task, and has launch 3 ahead.
        running: The task that it runs.
        idle: The one that has nothing to do.
    """

    keeper: FakeAgent
    running: int
    idle: FakeAgent


@pytest.fixture
def wanted(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Wanted:
    """Launch 3, once its agent was asked to give it back."""
    driver.launch(1)
    driver.launch(2)
    keeper, idle = driver.agent(1), driver.agent(2)
    running, ended = keeper.hears(Launch).serial, idle.hears(Launch).serial
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 60.0)
    monkeypatch.setattr(driver.executor, "_took", 0.06)
    driver.launch(3)
    keeper.hears(Launch, 2)
    idle.says(result_of(ended), Exited(ended, 0, 0.0, 0))
    assert keeper.hears(Recall).serial == 3
    return Wanted(keeper, running, idle)


def test_a_kill_that_comes_after_a_recall(driver: Driver, wanted: Wanted) -> None:
    """The agent, which has dropped the launch, passes it over: the launch ends all the same, and begins nowhere."""
    driver.executor.kill(3, signal.SIGSTOP)
    driver.executor.kill(3, signal.SIGINT)
    wanted.keeper.says(Recalled(3))
    assert driver.hears(Exited, 2) == Exited(3, signal.SIGINT, 0.0, 0)
    driver.meeting.turn_for(0.05)
    assert [it.serial for it in wanted.idle.all_of(Launch)] == [3 - wanted.running]


def test_a_kill_of_what_was_taken_for_begun(driver: Driver, wanted: Wanted) -> None:
    """The same, where the task before it has ended meanwhile."""
    wanted.keeper.says(result_of(wanted.running), Exited(wanted.running, 0, 0.0, 0))
    driver.meeting.turn_until(lambda: 3 in placed(driver))
    driver.executor.kill(3, signal.SIGKILL)
    wanted.keeper.says(Recalled(3))
    driver.meeting.turn_until(lambda: Exited(3, signal.SIGKILL, 0.0, 0) in driver.messages)
    driver.meeting.turn_for(0.05)
    assert len(wanted.keeper.all_of(Launch) + wanted.idle.all_of(Launch)) == 3


def test_a_kill_that_nobody_has_obeyed(driver: Driver, wanted: Wanted) -> None:
    """The agent has ended before: the launch is lost with it, and not given to another one as if nothing was."""
    driver.executor.kill(3, signal.SIGINT)
    wanted.keeper.link.close()
    assert {driver.hears(TaskLost, number).serial for number in (1, 2)} == {wanted.running, 3}
    driver.meeting.turn_for(0.05)
    assert len(wanted.idle.all_of(Launch)) == 1


def test_a_launch_comes_back_that_was_taken_for_begun(driver: Driver, wanted: Wanted) -> None:
    """The task before it has ended, but it lacked records: it is given again, and the one behind it begins."""
    driver.launch(4)
    wanted.idle.hears(Launch, 2)
    driver.launch(5)
    driver.launch(6)
    wanted.keeper.says(result_of(wanted.running), Exited(wanted.running, 0, 0.0, 0))
    driver.meeting.turn_until(lambda: 3 in placed(driver))
    wanted.keeper.says(Recalled(3))
    driver.meeting.turn_until(lambda: len(placed(driver)) > 4)
    serials = [it.serial for it in (*wanted.keeper.all_of(Launch), *wanted.idle.all_of(Launch))]
    assert sorted(serials) == [1, 2, 3, 3, 4, 5, 6]


def test_launches_of_other_steps_that_wait_hinder_no_recall(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for an agent that the engine has no place for."""
    driver.resources["train"] = Resources(gpu=1)
    driver.launch(1)
    driver.launch(2)
    first, second = driver.agent(1), driver.agent(2)
    one, two = first.hears(Launch).serial, second.hears(Launch).serial
    driver.launch(3, "train/3")
    driver.meeting.turn_until(lambda: 3 in driver.engine.calls)
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 60.0)
    monkeypatch.setattr(driver.executor, "_took", 0.06)
    driver.launch(4)
    driver.launch(5)
    driver.meeting.turn_until(lambda: len(first.all_of(Launch) + second.all_of(Launch)) == 4)
    for serial in (two, second.hears(Launch, 2).serial):
        second.says(result_of(serial), Exited(serial, 0, 0.0, 0))
    first.says(Recalled(first.hears(Recall).serial))
    assert second.hears(Launch, 3).serial == first.hears(Launch, 2).serial
    assert one in placed(driver)


def test_an_agent_that_is_ready_late_gets_what_waits_at_another(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was asked for has gone elsewhere meanwhile."""
    driver.launch(1)
    first = driver.agent()
    driver.finish(first, 1)
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 0.0)
    driver.launch(2)
    driver.launch(3)
    first.hears(Launch, 2)
    second = driver.agent(2, ready=False)
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 60.0)
    monkeypatch.setattr(driver.executor, "_took", 0.045)
    driver.launch(4)
    first.hears(Launch, 4)
    second.says(AgentReady("h2", 33, "3.11.7", shares_disk=False))
    first.says(Recalled(first.hears(Recall).serial))
    assert second.hears(Launch).serial == 4


def test_a_recall_that_comes_too_late(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The launch has begun: another one is wanted back, from another agent."""
    for serial in (1, 2, 3):
        driver.launch(serial)
    agents = [driver.agent(number) for number in (1, 2, 3)]
    running = [it.hears(Launch).serial for it in agents]
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 60.0)
    monkeypatch.setattr(driver.executor, "_took", 0.06)
    driver.launch(4)
    driver.launch(5)
    driver.meeting.turn_until(lambda: sum(len(it.all_of(Launch)) for it in agents) == 5)
    (idle,) = [it for it in agents if len(it.all_of(Launch)) == 1]
    ended = running[agents.index(idle)]
    idle.says(result_of(ended), Exited(ended, 0, 0.0, 0))
    driver.meeting.turn_until(lambda: any(it.all_of(Recall) for it in agents))
    (late,) = [it for it in agents if it.all_of(Recall)]
    (other,) = [it for it in agents if it not in (late, idle)]
    late.says(Started(late.hears(Recall).serial, 22))
    other.says(Recalled(other.hears(Recall).serial))
    assert idle.hears(Launch, 2).serial == other.hears(Recall).serial


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
