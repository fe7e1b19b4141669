"""Gangs under the scheduler: their nodes run together, end together and are tried again together."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from functools import partial

import pytest

from gitflowrun import limits
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.records import GANG, Transition
from gitflowrun.runtime.ipc import events, process
from gitflowrun.runtime.ipc.messages import Exited, Launch, LaunchFailed, Result, Retries, Started
from gitflowrun.runtime.ipc.task_pipes import TaskPipes
from gitflowrun.runtime.scheduler.plan import Shape
from tests.runtime.scheduler.test_course import Bench, Step

SHAPE = Shape(
    "start",
    "end",
    frozenset({"join"}),
    {"start": ("work",), "work": ("join",), "join": ("end",), "end": ()},
)
JUMPS = {
    "start": Transition(("work",), GANG, 3),
    "work": Transition(("join",)),
    "join": Transition(("end",)),
}
NODES = ["work/2", "work/2_node_1", "work/2_node_2"]


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No task has a process."""
    monkeypatch.setattr(process, "left_behind", lambda _: [])
    monkeypatch.setattr(process, "signal_group", lambda *_: None)


def result(launch: Launch, error: str | None = None) -> Result:
    """What a task has made."""
    jump = None if error else JUMPS.get(launch.task.step)
    return Result(launch.serial, {}, {}, (), jump, error=error)


def good(launch: Launch) -> list[Step]:
    """A task that is done at once."""
    return [Started(launch.serial, 7), result(launch), Exited(launch.serial, 0, 0.1, 1)]


def bad(launch: Launch) -> list[Step]:
    """A task that fails at once."""
    return [
        Started(launch.serial, 7), result(launch, "ValueError: no"), Exited(launch.serial, 256, 0.1, 1),
    ]  # fmt: skip


def index(launch: Launch) -> int | None:
    """Which node a launch is of."""
    return launch.frames[-1].index if launch.frames else None


def test_all_nodes_run_at_once_whatever_the_maximum_is() -> None:
    """None ends before all have begun; the join gets them in order, and one commit has all."""
    waiting: list[Launch] = []

    def answer(launch: Launch) -> Sequence[Step]:
        if launch.task.step != "work":
            return good(launch)
        waiting.append(launch)
        if len(waiting) < 3:
            return [Started(launch.serial, 7)]
        return [step for it in reversed(waiting) for step in good(it)]

    bench = Bench(answer, SHAPE, max_workers=1)
    assert bench.run() == (Status.DONE, None)
    assert [str(it.task) for it in bench.launched] == ["start/1", *NODES, "join/3", "end/4"]
    (join,) = [it for it in bench.launched if it.task.step == "join"]
    assert [str(parent.name) for parent in join.parents] == NODES
    assert NODES in [names for names, _ in bench.commits]


def test_a_node_that_fails_ends_the_run_and_the_others_are_kept() -> None:
    """What the others have done is recorded with the run that failed."""
    bench = Bench(lambda it: bad(it) if index(it) == 1 else good(it), SHAPE)
    status, error = bench.run()
    assert status is Status.FAILED
    assert "task 2_node_1) failed: ValueError: no" in (error or "")
    assert sorted(name for names, _ in bench.commits for name in names) == ["start/1", *NODES]
    ended = {str(it.task): it.ok for it in bench.of(events.TaskEnded)}
    assert ended["work/2_node_1"] is False


def test_all_nodes_are_tried_again_when_one_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that had ended well, too; those that go on are asked to end, then killed."""
    monkeypatch.setattr(limits, "GRACE", 0.01)
    monkeypatch.setattr(limits, "LAST_GRACE", 0.01)

    def answer(launch: Launch) -> Sequence[Step]:
        if index(launch) is None or launch.attempt:
            return good(launch)
        if index(launch) == 2:
            return [Started(launch.serial, 7)]
        return bad(launch) if index(launch) else good(launch)

    bench = Bench(answer, SHAPE, retries={"work": Retries(2)}, max_workers=1)

    def die(serial: int, number: int) -> None:
        bench.killed.append((serial, number))
        if number == signal.SIGKILL:
            bench.later(partial(bench.scheduler.deliver, Exited(serial, number, 0.0, 1)))

    bench.kill = die  # type: ignore[method-assign]
    assert bench.run() == (Status.DONE, None)
    runs = [(str(it.task), it.attempt) for it in bench.launched if it.task.step == "work"]
    assert runs == [(name, attempt) for attempt in (0, 1) for name in NODES]
    slow = next(it.serial for it in bench.launched if index(it) == 2)
    assert bench.killed == [(slow, signal.SIGTERM), (slow, signal.SIGKILL)]
    first = [it for it in bench.of(events.TaskEnded) if not it.ok]
    assert {str(it.task): it.error for it in first} == {
        "work/2": "another node of its gang failed",
        "work/2_node_1": "ValueError: no",
        "work/2_node_2": "another node of its gang failed",
    }
    assert all(it.again for it in first)


def test_a_gang_whose_last_node_fails_is_tried_again_once() -> None:
    """All others have ended well by then."""
    bench = Bench(
        lambda it: bad(it) if index(it) == 2 and not it.attempt else good(it),
        SHAPE,
        retries={"work": Retries(1)},
    )
    assert bench.run() == (Status.DONE, None)
    runs = [(str(it.task), it.attempt) for it in bench.launched if it.task.step == "work"]
    assert runs == [(name, attempt) for attempt in (0, 1) for name in NODES]


def test_a_gang_that_always_fails_fails_the_run() -> None:
    """After its last attempt."""
    bench = Bench(
        lambda it: bad(it) if index(it) == 1 else good(it), SHAPE, retries={"work": Retries(1)}
    )
    assert bench.run()[0] is Status.FAILED
    assert [it.attempt for it in bench.launched if index(it) == 1] == [0, 1]


@pytest.mark.parametrize("fails_at_once", [True, False])
def test_a_gang_for_which_there_are_no_processes_ends_the_run(fails_at_once: bool) -> None:
    """Its nodes would wait for one that never begins."""

    def answer(launch: Launch) -> Sequence[Step]:
        if index(launch) == 2:
            return [LaunchFailed(launch.serial, "no memory")]
        return good(launch)

    bench = Bench(answer, SHAPE)
    if fails_at_once:
        launch = bench.launch

        def refuse(it: Launch, output: TaskPipes) -> None:
            if index(it) == 2:
                raise OSError("no memory")
            launch(it, output)

        bench.launch = refuse  # type: ignore[assignment,method-assign]
    status, error = bench.run()
    assert status is Status.FAILED
    assert (
        "the gang of step 'work' can't run, for which 3 tasks must run at the same time: no memory"
        in (error or "")
    )


def test_what_nodes_have_done_is_not_lost_when_the_run_is_interrupted() -> None:
    """It waits for the others, and is recorded at the end."""

    def answer(launch: Launch) -> Sequence[Step]:
        if index(launch) != 2:
            return good(launch)
        return [
            Started(launch.serial, 7),
            partial(bench.scheduler.interrupt, signal.SIGINT),
            Exited(launch.serial, signal.SIGINT, 0.0, 1),
        ]

    bench = Bench(answer, SHAPE)
    assert bench.run()[0] is Status.INTERRUPTED
    assert sorted(name for names, _ in bench.commits for name in names) == ["start/1", *NODES]
    done = {str(it.task) for it in bench.of(events.TaskEnded) if it.ok}
    assert {"work/2", "work/2_node_1"} <= done


def test_a_failure_that_is_only_recorded_is_that_of_its_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fallback of `@catch`: nodes that end well keep what they have done, and one that waits is ended."""
    monkeypatch.setattr(limits, "GRACE", 0.01)

    def answer(launch: Launch) -> Sequence[Step]:
        if index(launch) is None or launch.attempt or index(launch) == 0:
            return good(launch)
        started = Started(launch.serial, 7)
        return [started, Exited(launch.serial, 9, 0.1, 1)] if index(launch) == 1 else [started]

    bench = Bench(answer, SHAPE, retries={"work": Retries(0, 3)})
    bench.kill = lambda serial, number: bench.later(  # type: ignore[method-assign]
        partial(bench.scheduler.deliver, Exited(serial, number, 0.0, 1))
    )
    assert bench.run() == (Status.DONE, None)
    runs = [
        (str(it.task), it.attempt, it.failure) for it in bench.launched if it.task.step == "work"
    ]
    assert runs == [
        *((name, 0, "") for name in NODES),
        (NODES[1], 1, "killed by SIGKILL"),
        (NODES[2], 1, "another node of its gang failed"),
    ]
    assert any(names[-3:] == NODES for names, _ in bench.commits)


def test_what_nodes_have_done_is_kept_where_a_zygote_is_lost_in_a_fallback() -> None:
    """They are not begun again: nobody waits for them any more."""
    lost: list[Launch] = []

    def answer(launch: Launch) -> Sequence[Step]:
        if index(launch) != 1 or lost:
            return good(launch)
        if launch.attempt:
            lost.append(launch)
            return [bench.scheduler.executor_lost]
        return [Started(launch.serial, 7), Exited(launch.serial, 9, 0.1, 1)]

    bench: Bench = Bench(answer, SHAPE, substitute=lambda: bench, retries={"work": Retries(0, 3)})
    assert bench.run() == (Status.DONE, None)
    runs = [(str(it.task), it.attempt) for it in bench.launched if it.task.step == "work"]
    assert runs == [*((name, 0) for name in NODES), (NODES[1], 1), (NODES[1], 1)]


@pytest.mark.parametrize("have_ended", [False, True])
def test_nodes_of_a_lost_zygote_begin_again_together(have_ended: bool) -> None:
    """However few may run at a time, and with those that had ended well: the lost one may wait for them."""
    lost: list[Launch] = []

    def answer(launch: Launch) -> Sequence[Step]:
        if index(launch) is None or lost:
            return good(launch)
        if index(launch) == 2:
            lost.append(launch)
            return [bench.scheduler.executor_lost]
        return good(launch) if have_ended else [Started(launch.serial, 7)]

    bench: Bench = Bench(answer, SHAPE, max_workers=1, substitute=lambda: bench)
    assert bench.run() == (Status.DONE, None)
    runs = [(str(it.task), it.attempt) for it in bench.launched if it.task.step == "work"]
    assert runs == [(name, 0) for name in NODES * 2]
    assert sorted(name for names, _ in bench.commits for name in names).count(NODES[0]) == 1


def test_nodes_of_a_lost_zygote_that_are_tried_again_anyway() -> None:
    """One has failed, and the others were about to be ended: all begin their next attempt."""
    lost: list[Launch] = []

    def answer(launch: Launch) -> Sequence[Step]:
        if index(launch) is None or launch.attempt:
            return good(launch)
        if index(launch) == 2:
            lost.append(launch)
            return [Started(launch.serial, 7), bench.scheduler.executor_lost]
        return bad(launch)

    bench: Bench = Bench(answer, SHAPE, substitute=lambda: bench, retries={"work": Retries(1)})
    assert bench.run() == (Status.DONE, None)
    assert lost
    runs = [(str(it.task), it.attempt) for it in bench.launched if it.task.step == "work"]
    assert runs == [(name, attempt) for attempt in (0, 1) for name in NODES]


@pytest.mark.parametrize("was_ended", [False, True])
def test_a_node_of_a_lost_zygote_has_not_failed_beside_one_that_has(
    was_ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `@catch` it begins again, and gets as long as the others had; one that was being ended has failed."""
    monkeypatch.setattr(limits, "GRACE", 0.05 if was_ended else 0.3)
    lost: list[Launch] = []

    def answer(launch: Launch) -> Sequence[Step]:
        if index(launch) == 1 and not launch.attempt:
            return [Started(launch.serial, 7), Exited(launch.serial, 9, 0.1, 1)]
        if index(launch) != 2 or launch.attempt:
            return good(launch)
        lost.append(launch)
        if len(lost) > 1:
            for step in good(launch):
                bench.later(partial(bench.scheduler.deliver, step), 0.2)  # type: ignore[arg-type]
            return []
        if not was_ended:
            bench.later(bench.scheduler.executor_lost, 0.2)
        return [Started(launch.serial, 7)]

    bench: Bench = Bench(answer, SHAPE, substitute=lambda: bench, retries={"work": Retries(0, 3)})
    bench.kill = lambda *_: bench.later(bench.scheduler.executor_lost)  # type: ignore[method-assign]
    assert bench.run() == (Status.DONE, None)
    runs = [
        (str(it.task), it.attempt, it.failure) for it in bench.launched if it.task.step == "work"
    ]
    first = [(name, 0, "") for name in NODES]
    caught = (NODES[1], 1, "killed by SIGKILL")
    if was_ended:
        assert runs == [*first, caught, (NODES[2], 1, "another node of its gang failed")]
    else:
        assert runs == [*first, (NODES[2], 0, ""), caught]
