"""The order in which tasks may run, against a naive model of flows."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import FlowError
from gitflowrun.git.objects import NULL_OID
from gitflowrun.names import TaskName
from gitflowrun.runs.records import Transition
from gitflowrun.runtime.ipc.messages import Parent
from gitflowrun.runtime.scheduler.plan import Plan, PlannedTask, Shape

START = Parent(TaskName("s0", "1"), NULL_OID)


@dataclass
class Block:
    """A piece of a flow: a step, followed by a foreach or static branches that end in a join."""

    width: int = 0
    branches: list[list[Block]] = field(default_factory=list)


@dataclass
class Flow:
    """A graph drawn from blocks, and how often each of its steps runs."""

    following: dict[str, tuple[str, ...]] = field(default_factory=dict)
    joins: set[str] = field(default_factory=set)
    widths: dict[str, int] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)

    def draw(self, blocks: list[Block], times: int) -> tuple[str, str]:
        """Add blocks in a row; the first and the last step."""
        first = last = ""
        for block in blocks:
            head = self._step(times)
            tail = head
            if block.branches:
                tail = self._step(times, is_join=True)
                inner = times * (block.width or 1)
                ends = [self.draw(branch, inner) for branch in block.branches]
                self.following[head] = tuple(start for start, _ in ends)
                for _, end in ends:
                    self.following[end] = (tail,)
                if block.width:
                    self.widths[head] = block.width
            if last:
                self.following[last] = (head,)
            first, last = first or head, tail
        return first, last

    def _step(self, times: int, *, is_join: bool = False) -> str:
        name = f"s{len(self.times)}"
        self.times[name] = times
        self.following[name] = ()
        if is_join:
            self.joins.add(name)
        return name

    def transition(self, step: str) -> Transition | None:
        """What the step says with `self.next`."""
        width = self.widths.get(step)
        targets = self.following[step]
        return Transition(targets, "items" if width else None, width) if targets else None


blocks = st.recursive(
    st.builds(Block),
    lambda inner: st.one_of(
        st.builds(
            Block,
            st.integers(1, 4),
            st.lists(st.lists(inner, min_size=1, max_size=2), min_size=1, max_size=1),
        ),
        st.builds(
            Block,
            st.just(0),
            st.lists(st.lists(inner, min_size=1, max_size=2), min_size=2, max_size=3),
        ),
    ),
    max_leaves=6,
)


def _plan(flow: Flow, first: str, last: str) -> Plan:
    return Plan(Shape(first, last, frozenset(flow.joins), flow.following))


@given(
    st.lists(blocks, min_size=1, max_size=3), st.integers(1, 5), st.randoms(use_true_random=False)
)
def test_every_task_runs_once_after_all_it_needs(
    drawn: list[Block], workers: int, chance: random.Random
) -> None:
    """Whatever the order of finishing, each step runs as often as its nesting says, parents first."""
    flow = Flow()
    first, last = flow.draw(drawn, 1)
    plan = _plan(flow, first, last)
    done: set[TaskName] = set()
    seen: dict[str, list[PlannedTask]] = {}
    running: list[PlannedTask] = []
    while running or plan.queued:
        while len(running) < workers and (task := plan.take()):
            running.append(task)
        task = running.pop(chance.randrange(len(running)))
        assert all(parent.name in done for parent in task.parents)
        seen.setdefault(task.step, []).append(task)
        name = TaskName(task.step, str(len(done)))
        done.add(name)
        plan.finish(task, Parent(name, NULL_OID), flow.transition(task.step), ("a", "b"))
        plan.release()
    assert {step: len(tasks) for step, tasks in seen.items()} == flow.times
    assert plan.finished
    assert plan.take() is None
    for tasks in seen.values():
        places = {tuple(frame.index for frame in task.frames) for task in tasks}
        assert len(places) == len(tasks), "two tasks of a step at one place"


def _run(
    plan: Plan, transitions: dict[str, Transition | None], order: int = 1
) -> list[PlannedTask]:
    tasks: list[PlannedTask] = []
    ready: list[PlannedTask] = []
    while plan.queued or ready:
        while task := plan.take():
            ready.append(task)
        task = ready.pop(0 if order > 0 else -1)
        tasks.append(task)
        index = "" if task.index is None else f"{task.index}"
        done = Parent(TaskName(task.step, f"{task.step}{index}"), NULL_OID)
        plan.finish(task, done, transitions[task.step], ("x", "y", "z"))
        plan.release()
    return tasks


FOREACH = Shape("a", "d", frozenset("c"), {"a": ("b",), "b": ("c",), "c": ("d",), "d": ()})
STEPS = {
    "a": Transition(("b",), "xs", 3),
    "b": Transition(("c",)),
    "c": Transition(("d",)),
    "d": None,
}


@pytest.mark.parametrize("order", [1, -1])
def test_inputs_come_in_split_order(order: int) -> None:
    """A join's parents are in the order of the items, in whatever order they finish."""
    join = next(task for task in _run(Plan(FOREACH), STEPS, order) if task.step in FOREACH.joins)
    assert [parent.name.task for parent in join.parents] == ["b0", "b1", "b2"]
    assert join.frames == ()


def test_frames_say_step_variable_width_index_and_value() -> None:
    """The child of a foreach knows its level."""
    task = next(task for task in _run(Plan(FOREACH), STEPS) if task.index == 1)
    (frame,) = task.frames
    assert (frame.step, frame.var, frame.num_splits, frame.index, frame.value) == (
        "a",
        "xs",
        3,
        1,
        "y",
    )


def test_a_wide_foreach_is_held_until_published_and_unrolled_as_it_is_taken() -> None:
    """Ten thousand items are counted, not built, and none runs before its split is published."""
    plan = Plan(FOREACH)
    start = plan.take()
    assert start is not None
    plan.finish(start, START, Transition(("b",), "xs", 10_000))
    assert plan.queued == 0
    assert plan.held == 10_000
    assert plan.take() is None
    plan.release()
    assert plan.queued == 10_000
    assert len(plan._queue) == 1
    taken = [task for _ in range(3) if (task := plan.take())]
    assert [task.index for task in taken] == [0, 1, 2]
    plan.put_back(taken)
    assert plan.queued == 10_000
    again = plan.take()
    assert again is taken[0]


def test_no_step_has_more_tasks_than_a_directory_can_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """What foreaches within one another come to is counted, before the tasks that are too many run."""
    monkeypatch.setattr("gitflowrun.runtime.scheduler.plan.MOST_SPLITS", 10)
    following = {"a": ("b",), "b": ("c",), "c": ("d",), "d": ("e",), "e": ()}
    plan = Plan(Shape("a", "e", frozenset({"d", "e"}), following))
    start = plan.take()
    assert start is not None
    plan.finish(start, START, Transition(("b",), "xs", 4))
    plan.release()
    for width in (5, 5):
        outer = plan.take()
        assert outer is not None
        plan.finish(outer, START, Transition(("c",), "ys", width))
    outer = plan.take()
    assert outer is not None
    with pytest.raises(
        FlowError, match=r"(?s)step 'c' would have more than 10 tasks.* several items"
    ):
        plan.finish(outer, START, Transition(("c",), "ys", 1))
    assert plan.held == 10


@pytest.mark.parametrize("width", [10**12, 2**64 - 1])
def test_a_split_that_says_it_has_more_items_than_there_can_be(width: int) -> None:
    """As the record of an origin may that somebody has forged: nothing is made for them before they are counted."""
    plan = Plan(Shape("a", "e", frozenset({"d"}), {"a": ("b",), "b": ("d",), "d": ("e",), "e": ()}))
    start = plan.take()
    assert start is not None
    with pytest.raises(FlowError, match=r"step 'b' would have more than 100,000 tasks"):
        plan.finish(start, START, Transition(("b",), "xs", width))


@pytest.mark.parametrize(
    ("transition", "message"),
    [
        (None, "without saying where"),
        (Transition(("gone",)), "no step of this flow"),
        (Transition(("c",)), "without a split"),
        (Transition(("b",), "xs", 0), "no items"),
        (Transition(("b",), "xs"), "no items"),
    ],
)
def test_a_transition_that_does_not_fit_is_refused(
    transition: Transition | None, message: str
) -> None:
    """A record of another version of the flow can't lead the plan astray."""
    plan = Plan(FOREACH)
    start = plan.take()
    assert start is not None
    with pytest.raises(FlowError, match=message):
        plan.finish(start, START, transition)


def test_downstream_of_a_step() -> None:
    """A step and all that may follow it."""
    assert FOREACH.downstream("b") == {"b", "c", "d"}


def test_the_shape_of_a_graph() -> None:
    """First and last step, joins by their type, and where each step leads."""
    steps = {
        name: {"next": list(to), "type": "join" if name in FOREACH.joins else "linear"}
        for name, to in FOREACH.following.items()
    }
    assert Shape.of({"start_step": "a", "end_step": "d", "steps": steps}) == FOREACH


def test_a_split_that_is_done_is_skipped() -> None:
    """The join is what follows, with those that arrived there, where the split was."""
    plan = Plan(FOREACH)
    assert not plan.finished
    split = plan.take()
    assert split is not None
    arrived = tuple(Parent(TaskName("b", str(n)), NULL_OID) for n in range(3))
    plan.skip(split, "c", arrived)
    assert plan.held == 1
    plan.release()
    join = plan.take()
    assert join is not None
    assert (join.step, join.parents, join.frames, join.place) == ("c", arrived, (), split.place)


def test_a_split_within_another_is_skipped_at_its_place() -> None:
    """What follows its join arrives where the split would have."""
    following = {"a": ("b",), "b": ("c",), "c": ("d",), "d": ("e",), "e": ()}
    plan = Plan(Shape("a", "e", frozenset({"d", "e"}), following))
    start = plan.take()
    assert start is not None
    plan.finish(start, START, Transition(("b",), "xs", 2))
    plan.release()
    for place in range(2):
        split = plan.take()
        assert split is not None
        plan.skip(split, "d", (START,))
        assert split.index == place
    plan.release()
    for place in range(2):
        join = plan.take()
        assert join is not None
        assert [frame.index for frame in join.frames] == [place]
        plan.finish(join, Parent(TaskName("d", str(place)), NULL_OID), Transition(("e",)))
    plan.release()
    end = plan.take()
    assert end is not None
    assert [parent.name.task for parent in end.parents] == ["0", "1"]


@pytest.mark.parametrize("twice", [True, False])
def test_branches_that_meet_in_two_places_are_refused(twice: bool) -> None:
    """So is one that arrives where it has been: records of another version, or a stranger's, may say so."""
    plan = Plan(
        Shape("a", "d", frozenset({"c", "d"}), {"a": ("b",), "b": ("c", "d"), "c": (), "d": ()})
    )
    start = plan.take()
    assert start is not None
    plan.finish(start, START, Transition(("b", "b")))
    plan.release()
    first, second = plan.take(), plan.take()
    assert first is not None
    assert second is not None
    plan.finish(first, START, Transition(("c",)))
    with pytest.raises(FlowError, match="meet in both"):
        plan.finish(first if twice else second, START, Transition(("c" if twice else "d",)))
