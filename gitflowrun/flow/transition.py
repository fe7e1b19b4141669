"""What a call of `self.next(...)` does at run time: check it, count the items of a foreach, choose a switch's case.

A scheduler plans with the graph that was read from the source, so a call that says anything else than the
source is refused. Each refusal is an InvalidNext with the user's file and line.
"""

from __future__ import annotations

import operator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import FlowError, InvalidNext
from gitflowrun.flow.foreach import brief, is_single_use, items_artifact, needs_list
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.members import is_artifact
from gitflowrun.flow.steps import is_step, steps_of
from gitflowrun.limits import MOST_SPLITS
from gitflowrun.names import nearest
from gitflowrun.runs.records import GANG, Transition

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from gitflowrun.flow.task_state import TaskState


MOST_NODES = 1_000
"""Tasks of a gang: all of them are processes at the same time, with files that the scheduler has open."""
_OPTIONS = ("foreach", "condition", "num_parallel")


def choose(
    flow: object,
    state: TaskState,
    targets: tuple[object, ...],
    options: dict[str, Any],
    frame: FrameType,
) -> tuple[Transition, tuple[str, ...]]:
    """Examine a call of `self.next`.

    Args:
        flow: The flow object. Items that can't be stored as they are become attributes of it.
        state: Its state; when it runs no step, the call is not compared to the source.
        targets: The call's positional arguments.
        options: The call's keyword arguments.
        frame: Where the call is.

    Returns:
        The transition, and the items of a foreach as short texts, in order.

    Raises:
        InvalidNext: the call breaks a rule.
    """
    call = _Call(flow, state, frame)
    call.check_form(targets, options)
    if "condition" in options:
        return call.switch(targets[0], options["condition"]), ()
    names = tuple(call.name_of(target) for target in targets)
    foreach = options.get("foreach")
    if state.step is not None:
        call.check_against_source(names, next(iter(options), "plain"), foreach=foreach)
    if "num_parallel" in options:
        return Transition(names, GANG, call.count_nodes(options["num_parallel"])), ()
    if foreach is None:
        return Transition(names), ()
    values = call.split(foreach)
    return Transition(names, foreach, len(values)), values


class _Call:
    """A call of `self.next` that is examined."""

    def __init__(self, flow: object, state: TaskState, frame: FrameType) -> None:
        self.flow = flow
        self.state = state
        self.step = state.step or frame.f_code.co_name
        self.source = frame.f_code.co_filename
        self.line = frame.f_lineno

    def refuse(self, message: str, hint: str | None = None) -> InvalidNext:
        return InvalidNext(message, hint=hint, line=self.line, source=self.source)

    def check_form(self, targets: tuple[object, ...], options: dict[str, Any]) -> None:
        if self.state.transition is not None:
            raise self.refuse(
                f"step {self.step!r} calls self.next twice",
                "a step has one self.next, as its last statement",
            )
        for name in options:
            if name not in _OPTIONS:
                raise self.refuse(
                    f"self.next has no argument {name!r}",
                    "it takes steps, foreach='name', condition='name' and num_parallel=number",
                )
        if not targets:
            raise self.refuse(
                f"self.next in step {self.step!r} names no step", "write self.next(self.<step>)"
            )
        if len(options) > 1:
            together = " and ".join(options)
            raise self.refuse(f"{together} in step {self.step!r} can't go together")
        is_switch = any(isinstance(target, dict) for target in targets)
        if is_switch != ("condition" in options) or (is_switch and len(targets) > 1):
            raise self.refuse(
                f"the switch in step {self.step!r} is not one dictionary with condition='name'",
                "write self.next({'case': self.<step>, ...}, condition='name')",
            )
        for name, value in options.items():
            if name != "num_parallel" and not isinstance(value, str):
                raise self.refuse(
                    f"{name} in step {self.step!r} is {type(value).__name__}, not text",
                    f"pass the name of an attribute: {name}='items'",
                )
            if len(targets) != 1:
                raise self.refuse(
                    f"{name} in step {self.step!r} leads to {len(targets)} steps, not to one"
                )

    def name_of(self, target: object) -> str:
        function = getattr(target, "__func__", None)
        if function is None or getattr(target, "__self__", None) is not self.flow:
            raise self.refuse(
                f"step {self.step!r} passes {brief(target)!r} to self.next, which is no step of this flow",
                "pass steps as self.next(self.<step>)",
            )
        name = str(getattr(function, "name", function.__name__))
        if getattr(type(self.flow), name, None) is not function:  # it stands there by another name
            steps = steps_of(type(self.flow)).items()
            name = next((found for found, step in steps if step is function), name)
        if not is_step(function):
            raise self.refuse(
                f"step {self.step!r} leads to {name!r}, which is no step",
                f"put @step in front of `def {name}`",
            )
        return name

    def check_against_source(
        self, targets: Iterable[str], form: str, *, foreach: str | None = None
    ) -> None:
        node = FlowGraph.of(type(self.flow))[self.step]
        targets = list(targets)
        if sorted(targets) != sorted(node.out_funcs):
            raise self.refuse(
                f"step {self.step!r} leads to {_listed(targets)}, but its last statement says "
                f"{_listed(node.out_funcs)}",
                "a step has one self.next, as its last statement",
            )
        is_other = foreach != node.foreach_param and not self.state.is_rerouted
        if form != node.form or is_other:
            said, written = (
                f"foreach={name!r}" if name or kind in {"plain", "foreach"} else kind
                for name, kind in ((foreach, form), (node.foreach_param, node.form))
            )
            raise self.refuse(
                f"step {self.step!r} splits by {said}, but its last statement says {written}"
            )

    def switch(self, cases: Any, name: str) -> Transition:
        """The case that the attribute `name` chooses."""
        steps = {key: self.name_of(target) for key, target in cases.items()}
        if self.state.step is not None:
            self.check_switch(list(dict.fromkeys(steps.values())), len(steps), name)
        value = self.attribute(name, f"the condition self.{name} of step {self.step!r}")
        try:
            # The key itself: True is found under 1, and what is recorded is what stands in the source.
            chosen = next(key for key in steps if key == value) if value in steps else None
        except (TypeError, ValueError, StopIteration):  # not to be found by: a list, an array
            chosen = None
        if chosen is None:
            listed = ", ".join(repr(key) for key in steps)
            raise self.refuse(
                f"self.{name} of step {self.step!r} is {brief(repr(value))}, which is no case of its switch",
                f"the cases are {listed}; values are compared as they are, '1' is not 1",
            )
        return Transition((steps[chosen],), case=str(chosen))

    def check_switch(self, targets: list[str], count: int, name: str) -> None:
        node = FlowGraph.of(type(self.flow))[self.step]
        if node.form == "condition" and count < len(node.switch_cases):
            raise self.refuse(
                f"of the {len(node.switch_cases)} cases in step {self.step!r} two have the same key",
                "keys that come from a config must differ from the others",
            )
        self.check_against_source(targets, "condition")
        if name != node.condition and not self.state.is_rerouted:
            raise self.refuse(
                f"step {self.step!r} decides by condition={name!r}, but its last statement says "
                f"condition={node.condition!r}"
            )

    def count_nodes(self, count: object) -> int:
        """The number of a gang's nodes."""
        if isinstance(count, bool) or not hasattr(type(count), "__index__"):
            raise self.refuse(
                f"num_parallel in step {self.step!r} is {brief(repr(count))}, no whole number",
                "it is the number of tasks that run together: num_parallel=4",
            )
        nodes = operator.index(count)  # type: ignore[arg-type]  # which has it
        if not 1 <= nodes <= MOST_NODES:
            raise self.refuse(
                f"num_parallel in step {self.step!r} is {nodes:,}",
                f"a gang has 1 to {MOST_NODES:,} tasks, which all run at the same time",
            )
        return nodes

    def split(self, name: str) -> tuple[str, ...]:
        """The items of a foreach as texts. Stores them as a list where the attribute won't do."""
        limit = min(self.state.max_num_splits, MOST_SPLITS)
        items = self.items(name)
        is_stored = self.is_stored(name)
        if is_single_use(items):
            items = list(islice(items, limit + 1))
            if is_stored:
                setattr(self.flow, name, items)
        texts = [brief(item) for item in islice(items, limit + 1)]
        if not texts:
            raise self.refuse(
                f"foreach over self.{name} in step {self.step!r} has no items",
                "a foreach needs at least one item",
            )
        if len(texts) > limit:
            count = f" {len(items)}" if hasattr(items, "__len__") else ""
            raise self.refuse(
                f"foreach over self.{name} in step {self.step!r} has more than {limit} items",
                f"raise the maximum with --max-num-splits{count}"
                if limit < MOST_SPLITS
                else "no foreach can have more; let a task take several items",
            )
        if needs_list(items) or not is_stored:
            self.state.kept_items[items_artifact(len(self.state.frames))] = list(items)
        return tuple(texts)

    def is_stored(self, name: str) -> bool:
        """Whether tasks find the attribute as this one has left it: the class computes it anew, or has it otherwise."""
        values, state = vars(self.flow), self.state
        with suppress(FlowError):  # which the end of the step tells with its line
            if name in values and is_artifact(self.flow, state, name, values[name]):
                return True
        in_run = state.parameters.names() if state.parameters else ()
        return name in in_run or state.source_of(name) is not None

    def attribute(self, name: str, what: str) -> Any:
        try:
            return getattr(self.flow, name)
        except AttributeError:
            names = [key for key in dir(self.flow) if not key.startswith("_")]
            close = " or ".join(f"self.{key}" for key in nearest(name, names))
            raise self.refuse(
                f"{what}: there is no such attribute",
                f"did you mean {close}?" if close else f"assign self.{name} before self.next",
            ) from None

    def items(self, name: str) -> Any:
        value = self.attribute(name, f"foreach over self.{name} in step {self.step!r}")
        try:
            iter(value)
        except TypeError as error:
            raise self.refuse(
                f"foreach over self.{name} in step {self.step!r}: {error}",
                "a foreach iterates over a list, a string, a range or anything else that can be iterated",
            ) from None
        return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"self.{name}" for name in names) or "nothing"
