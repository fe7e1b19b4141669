"""The plan of a run: a flow's graph, unrolled as its tasks finish. A pure data structure.

A split makes a *barrier* with one slot per branch or item. Every task carries the innermost barrier it is
inside of and its slot there. A task that arrives at a join fills its slot; the last one makes the join
ready, whose parents are the slots in order and whose own place is that of the split. Nesting needs no further
rule.

A foreach of ten thousand items is one entry of the queue, unrolled one task at a time. Each step costs
the same however many there are.

A task that has finished may not be followed before it is published: what it makes possible is held back
until `release`. Task ids are given by the scheduler when it takes a task.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gitflowrun.errors import FlowError
from gitflowrun.runs.records import ForeachFrame
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from gitflowrun.runs.records import Transition
    from gitflowrun.runtime.ipc.messages import Parent


@frozen
class Shape:
    """The steps of a graph and how they follow each other.

    Attributes:
        start: The first step.
        end: The last one.
        joins: The steps that take inputs.
        following: The steps that each step leads to.
    """

    start: str
    end: str
    joins: frozenset[str]
    following: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, graph: Mapping[str, Any]) -> Shape:
        """The shape of a `_graph_info`."""
        steps = graph["steps"]
        return cls(
            graph["start_step"],
            graph["end_step"],
            frozenset(name for name, step in steps.items() if step["type"] == "join"),
            {name: tuple(step["next"]) for name, step in steps.items()},
        )

    def downstream(self, step: str) -> frozenset[str]:
        """A step and every step that can follow it."""
        seen = {step}
        waiting = [step]
        while waiting:
            for target in self.following.get(waiting.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return frozenset(seen)


class _Barrier:
    """A split that is open: who has arrived where its branches meet again."""

    __slots__ = ("arrived", "frames", "join", "missing", "place")

    def __init__(self, width: int, frames: tuple[ForeachFrame, ...], place: _Place | None) -> None:
        self.missing = width
        self.arrived: list[Parent | None] = [None] * width
        self.frames = frames
        self.place = place
        self.join: str | None = None


_Place = tuple[_Barrier, int]
"""Where a task is: the innermost open split around it, and its slot there."""


@frozen(eq=False)
class PlannedTask:
    """A task that may run.

    Attributes:
        step: Its step.
        parents: The finished tasks it follows, in the order of the split.
        frames: The foreach levels it is in, outermost first.
        is_join: Whether its step takes inputs.
        index: Its position among the children of a foreach.
        place: Where it is among open splits; for the plan alone.
    """

    step: str
    parents: tuple[Parent, ...]
    frames: tuple[ForeachFrame, ...] = ()
    is_join: bool = False
    index: int | None = None
    place: _Place | None = None


class _Items:
    """The children of a foreach that have not been taken yet."""

    __slots__ = ("barrier", "frame", "parents", "step", "taken", "values")

    def __init__(
        self,
        step: str,
        parent: Parent,
        frame: ForeachFrame,
        values: tuple[str, ...],
        barrier: _Barrier,
    ) -> None:
        self.step = step
        self.parents = (parent,)
        self.frame = frame
        self.values = values
        self.barrier = barrier
        self.taken = 0

    def __len__(self) -> int:
        return self.frame.num_splits - self.taken

    def take(self) -> PlannedTask:
        index = self.taken
        self.taken += 1
        outer = self.frame
        value = self.values[index] if index < len(self.values) else ""
        frame = ForeachFrame(outer.step, outer.var, outer.num_splits, index, value)
        frames = (*self.barrier.frames, frame)
        return PlannedTask(
            self.step, self.parents, frames, index=index, place=(self.barrier, index)
        )


class Plan:
    """The state of one run: what may run now, and what that makes possible when it finishes.

    Args:
        shape: The flow's graph.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._queue: deque[PlannedTask | _Items] = deque()
        self._queued = 0
        self._held: list[PlannedTask | _Items] = []
        self.finished = False
        """Whether the end step has finished."""
        self.put_back([PlannedTask(shape.start, ())])

    @property
    def queued(self) -> int:
        """How many tasks may run now."""
        return self._queued

    @property
    def held(self) -> int:
        """How many tasks wait for `release`."""
        return sum(len(item) if isinstance(item, _Items) else 1 for item in self._held)

    def release(self) -> None:
        """What has finished is published: let it be followed."""
        self._queued += self.held
        self._queue.extend(self._held)
        self._held.clear()

    def take(self) -> PlannedTask | None:
        """The next task to run; None while there is none."""
        if not self._queue:
            return None
        self._queued -= 1
        first = self._queue[0]
        if isinstance(first, PlannedTask):
            return self._queue.popleft()  # type: ignore[return-value]
        task = first.take()
        if not len(first):
            self._queue.popleft()
        return task

    def put_back(self, tasks: Iterable[PlannedTask]) -> None:
        """Let tasks that were taken be taken again, before all others."""
        tasks = list(tasks)
        self._queue.extendleft(reversed(tasks))
        self._queued += len(tasks)

    def finish(
        self,
        task: PlannedTask,
        done: Parent,
        transition: Transition | None,
        values: tuple[str, ...] = (),
    ) -> None:
        """Note that a task is done, and what `self.next` said in it.

        Args:
            task: The task as it was taken.
            done: The same, as those that follow it refer to it.
            transition: What `self.next` said; None at the end.
            values: Of a foreach: its items as text.

        Raises:
            FlowError: the transition does not fit the graph.
        """
        if transition is None or not transition.targets:
            if task.step != self.shape.end:
                raise FlowError(f"step {task.step!r} ended without saying where to go on")
            self.finished = True
            return
        for target in transition.targets:
            if target not in self.shape.following:
                raise FlowError(
                    f"step {task.step!r} leads to {target!r}, which is no step of this flow",
                    hint="was the step renamed since the run that is resumed?",
                )
        if transition.foreach is not None:
            self._split_foreach(task, done, transition, values)
        elif len(transition.targets) > 1:
            barrier = _Barrier(len(transition.targets), task.frames, task.place)
            for slot, target in enumerate(transition.targets):
                self._go(target, done, task.frames, (barrier, slot))
        else:
            self._go(transition.targets[0], done, task.frames, task.place)

    def _split_foreach(
        self, task: PlannedTask, done: Parent, transition: Transition, values: tuple[str, ...]
    ) -> None:
        width = transition.num_splits or 0
        if not width or transition.foreach is None:
            raise FlowError(f"the foreach in step {task.step!r} has no items")
        barrier = _Barrier(width, task.frames, task.place)
        frame = ForeachFrame(task.step, transition.foreach, width, 0)
        self._held.append(_Items(transition.targets[0], done, frame, values, barrier))

    def _go(
        self, target: str, done: Parent, frames: tuple[ForeachFrame, ...], place: _Place | None
    ) -> None:
        if target not in self.shape.joins:
            self._held.append(PlannedTask(target, (done,), frames, place=place))
            return
        if place is None:
            raise FlowError(f"join {target!r} is reached without a split before it")
        barrier, slot = place
        barrier.join = barrier.join or target
        if barrier.join != target or barrier.arrived[slot] is not None:
            raise FlowError(
                f"the branches of one split meet in both {barrier.join!r} and {target!r}"
            )
        barrier.arrived[slot] = done
        barrier.missing -= 1
        if not barrier.missing:
            parents = tuple(parent for parent in barrier.arrived if parent is not None)
            self._held.append(
                PlannedTask(target, parents, barrier.frames, is_join=True, place=barrier.place)
            )
