"""What a call of `self.next(...)` does at run time: check it, count the items of a foreach, return the Transition.

A scheduler plans with the graph that was read from the source, so a call that says anything else than the
source is refused. Each refusal is an InvalidNext with the user's file and line.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import InvalidNext
from gitflowrun.flow.foreach import brief, is_single_use, items_artifact, needs_list
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.steps import is_step, steps_of
from gitflowrun.limits import MOST_SPLITS
from gitflowrun.names import nearest
from gitflowrun.runs.records import Transition

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from gitflowrun.flow.task_state import TaskState


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
    names = tuple(call.name_of(target) for target in targets)
    foreach = options.get("foreach")
    if state.step is not None:
        call.check_against_source(names, foreach)
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
            if name in {"condition", "num_parallel"}:
                raise self.refuse(f"self.next(..., {name}=...) is not available in gitflowrun")
            if name != "foreach":
                raise self.refuse(
                    f"self.next has no argument {name!r}", "it takes steps and foreach='name'"
                )
        if not targets:
            raise self.refuse(
                f"self.next in step {self.step!r} names no step", "write self.next(self.<step>)"
            )
        if "foreach" not in options:
            return
        if not isinstance(options["foreach"], str):
            raise self.refuse(
                f"foreach in step {self.step!r} is {type(options['foreach']).__name__}, not text",
                "pass the name of an attribute: foreach='items'",
            )
        if len(targets) != 1:
            raise self.refuse(
                f"foreach in step {self.step!r} leads to {len(targets)} steps, not to one"
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

    def check_against_source(self, targets: tuple[str, ...], foreach: str | None) -> None:
        node = FlowGraph.of(type(self.flow))[self.step]
        if sorted(targets) != sorted(node.out_funcs):
            raise self.refuse(
                f"step {self.step!r} leads to {_listed(targets)}, but its last statement says "
                f"{_listed(node.out_funcs)}",
                "a step has one self.next, as its last statement",
            )
        if foreach != node.foreach_param:
            raise self.refuse(
                f"step {self.step!r} splits by foreach={foreach!r}, but its last statement says "
                f"foreach={node.foreach_param!r}"
            )

    def split(self, name: str) -> tuple[str, ...]:
        """The items of a foreach as texts. Stores them as a list where the attribute won't do."""
        limit = min(self.state.max_num_splits, MOST_SPLITS)
        items = self.items(name)
        if is_single_use(items):
            items = list(islice(items, limit + 1))
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
        if needs_list(items):
            self.state.kept_items[items_artifact(len(self.state.frames))] = list(items)
        return tuple(texts)

    def items(self, name: str) -> Any:
        try:
            value = getattr(self.flow, name)
        except AttributeError:
            names = [key for key in dir(self.flow) if not key.startswith("_")]
            close = " or ".join(f"self.{key}" for key in nearest(name, names))
            raise self.refuse(
                f"foreach over self.{name} in step {self.step!r}: there is no such attribute",
                f"did you mean {close}?" if close else f"assign self.{name} before self.next",
            ) from None
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
