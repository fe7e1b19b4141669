"""The plan of a run: a flow's graph, unrolled as its tasks finish. A pure data structure.

A split makes a *barrier* with one slot per branch or item. Every task carries the innermost barrier it is
inside of and its slot there. A task that arrives at a join fills its slot; the last one makes the join
ready, whose parents are the slots in order and whose own place is that of the split. Nesting needs no further
rule.

A foreach of ten thousand items is one entry of the queue, unrolled one task at a time. Each step costs
the same however many there are. A gang is a foreach all whose tasks are taken one right after the other: they run
at the same time.

A switch needs nothing here: its task has said which of its cases follows. A step that leads to itself is followed by
another task of it, in the same place, which knows how many there were: nothing grows with the number.

A task that has finished may not be followed before it is published: what it makes possible is held back
until `release`. Task ids are given by the scheduler when it takes a task.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import FlowError
from gitflowrun.limits import MOST_SPLITS
from gitflowrun.runs.records import ForeachLevel, Transition
from gitflowrun.values import frozen, mutable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.runtime.ipc.messages import Parent


@frozen
class Shape:
    """The steps of a graph and how they follow each other.

    Attributes:
        start: The first step.
        end: The last one.
        joins: The steps that take inputs.
        loops: The steps that may lead to themselves.
        following: The steps that each step leads to.
    """

    start: str
    end: str
    joins: frozenset[str]
    following: Mapping[str, tuple[str, ...]]
    loops: frozenset[str] = frozenset()

    @classmethod
    def of(cls, graph: Mapping[str, Any]) -> Shape:
        """The shape of a `_graph_info`."""
        steps = graph["steps"]
        return cls(
            graph["start_step"],
            graph["end_step"],
            frozenset(name for name, step in steps.items() if step["type"] == "join"),
            {name: tuple(step["next"]) for name, step in steps.items()},
            frozenset(name for name, step in steps.items() if name in step["next"]),
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


@mutable
class _Barrier:
    """A split that is open: who has arrived where its branches meet again."""

    arrived: list[Parent | None]
    frames: tuple[ForeachLevel, ...]
    place: _Place | None
    missing: int
    join: str | None = None

    @classmethod
    def of(cls, task: PlannedTask, width: int) -> _Barrier:
        """The split that a task makes, into so many branches or items."""
        return cls([None] * width, task.frames, task.place, width)


_Place = tuple[_Barrier, int]
"""Where a task is: the innermost open split around it, and its slot there."""


@frozen(eq=False)
class PlannedTask:
    """A task that may run.

    Attributes:
        step: Its step.
        parents: The finished tasks it follows, in the order of the split.
        frames: The foreach levels it is in, outermost first.
        index: Its position among the children of a foreach.
        iterations: Of a step that may lead to itself: how often it has run before.
        place: Where it is among open splits; for the plan alone.
    """

    step: str
    parents: tuple[Parent, ...]
    frames: tuple[ForeachLevel, ...] = ()
    index: int | None = None
    iterations: tuple[int, ...] = ()
    place: _Place | None = None

    @property
    def gang(self) -> ForeachLevel | None:
        """The level of the gang that it is a node of."""
        return self.frames[-1] if self.frames and self.frames[-1].is_gang else None


@mutable
class _Items:
    """The children of a foreach that have not been taken yet."""

    step: str
    parents: tuple[Parent]
    frame: ForeachLevel
    values: tuple[str, ...]
    barrier: _Barrier
    iterations: tuple[int, ...] = ()
    taken: int = 0

    def __len__(self) -> int:
        return self.frame.num_splits - self.taken

    def take(self) -> PlannedTask:
        index = self.taken
        self.taken += 1
        outer = self.frame
        value = self.values[index] if index < len(self.values) else ""
        frame = ForeachLevel(outer.step, outer.var, outer.num_splits, index, value)
        frames = (*self.barrier.frames, frame)
        return PlannedTask(
            self.step, self.parents, frames, index, self.iterations, (self.barrier, index)
        )


class Plan:
    """The state of one run: what may run now, and what that makes possible when it finishes.

    Args:
        shape: The flow's graph.

    Attributes:
        queued: How many tasks may run now.
        finished: Whether the end step has finished.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._queue: deque[PlannedTask | _Items] = deque([PlannedTask(shape.start, ())])
        self._held: list[PlannedTask | _Items] = []
        self._tasks: Counter[str] = Counter()
        self.queued = 1
        self.finished = False

    @property
    def held(self) -> int:
        """How many tasks wait for `release`."""
        return sum(len(item) if isinstance(item, _Items) else 1 for item in self._held)

    def release(self) -> None:
        """What has finished is published: let it be followed."""
        self.queued += self.held
        self._queue.extend(self._held)
        self._held.clear()

    def take(self) -> PlannedTask | None:
        """The next task to run; None while there is none."""
        if not self._queue:
            return None
        self.queued -= 1
        first = self._queue[0]
        if isinstance(first, PlannedTask):
            return self._queue.popleft()  # type: ignore[return-value]
        task = first.take()
        if not len(first):
            self._queue.popleft()
        return task

    @property
    def next_step(self) -> str | None:
        """The step of the next task to run; None while there is none."""
        return self._queue[0].step if self._queue else None

    @property
    def owes_node(self) -> bool:
        """Whether the next task is a node of a gang whose first one was taken: it must not wait for its turn."""
        first = self._queue[0] if self._queue else None
        if isinstance(first, _Items):
            return first.frame.is_gang and first.taken > 0
        return first is not None and first.gang is not None and bool(first.index)

    def put_back(self, tasks: list[PlannedTask]) -> None:
        """Let tasks that were taken be taken again, before all others."""
        self._queue.extendleft(reversed(tasks))
        self.queued += len(tasks)

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
            FlowError: the transition does not fit the graph, or leads to more tasks than a step can have.
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
            barrier = _Barrier.of(task, len(transition.targets))
            for slot, target in enumerate(transition.targets):
                self._go(target, done, task.frames, (barrier, slot))
        else:
            target = transition.targets[0]
            before = task.iterations if target == task.step else ()
            self._go(target, done, task.frames, task.place, before)

    def skip(self, split: PlannedTask, join: str, arrived: tuple[Parent, ...]) -> None:
        """Note that the task of a split is done, and so is all that lies between it and its join.

        Args:
            split: The task as it was taken.
            join: The step where its branches meet.
            arrived: The tasks that the join follows, in the order of the split.
        """
        self._hold(PlannedTask(join, arrived, split.frames, place=split.place))

    def _split_foreach(
        self, task: PlannedTask, done: Parent, transition: Transition, values: tuple[str, ...]
    ) -> None:
        width = transition.num_splits or 0
        if not width or transition.foreach is None:
            raise FlowError(f"the foreach in step {task.step!r} has no items")
        target = transition.targets[0]
        self._count(target, width)
        barrier = _Barrier.of(task, width)
        frame = ForeachLevel(task.step, transition.foreach, width, 0)
        items = _Items(target, (done,), frame, values, barrier, self._iterations(target))
        self._held.append(items)

    def _go(
        self,
        target: str,
        done: Parent,
        frames: tuple[ForeachLevel, ...],
        place: _Place | None,
        before: tuple[int, ...] = (),
    ) -> None:
        if target not in self.shape.joins:
            number = self._iterations(target, before)
            self._hold(PlannedTask(target, (done,), frames, iterations=number, place=place))
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
            self._hold(PlannedTask(target, parents, barrier.frames, place=barrier.place))

    def _iterations(self, step: str, before: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The number of a task of a step that may lead to itself, after the one that has led to it."""
        if step not in self.shape.loops:
            return ()
        return (before[0] + 1,) if before else (0,)

    def _hold(self, task: PlannedTask) -> None:
        """Let a task wait for `release`."""
        self._count(task.step)
        self._held.append(task)

    def _count(self, step: str, number: int = 1) -> None:
        """Count the tasks of a step: all are one directory, however many foreaches lead to it."""
        self._tasks[step] += number
        if self._tasks[step] > MOST_SPLITS:
            raise FlowError(
                f"step {step!r} would have more than {MOST_SPLITS:,} tasks",
                hint="let an iteration do more than one round of work"
                if step in self.shape.loops
                else "foreaches within one another multiply: let a task take several items",
            )


class SpunPlan(Plan):
    """The plan of one task, which nothing follows, whatever it says.

    Args:
        shape: The flow's graph.
        task: The task.
    """

    def __init__(self, shape: Shape, task: PlannedTask) -> None:
        super().__init__(shape)
        self._queue = deque([task])

    def finish(
        self,
        task: PlannedTask,  # noqa: ARG002  (the base's signature, here and below)
        done: Parent,  # noqa: ARG002
        transition: Transition | None,  # noqa: ARG002
        values: tuple[str, ...] = (),  # noqa: ARG002
    ) -> None:
        """Note that it is done."""
        self.finished = True
