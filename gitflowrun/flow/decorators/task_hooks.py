"""The hooks of a step's decorators around one attempt of a task.

1. `runtime_task_created`, `runtime_step_cli`: the environment.
2. `task_pre_step`, then the step as `task_decorate` has wrapped it, then `task_post_step`; each of the lowest
   decorator first, so that the uppermost is around all others. Decorators that users have written are around
   the step within this (`user_decorators.wrapped_step`).
3. What any of these raises goes to `task_exception` of all; the task has failed unless one of them returns True.
4. `task_finished`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gitflowrun import entry_point
from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.attempts import user_retries
from gitflowrun.flow.decorators.base import (
    VARIABLES,
    AbsentPart,
    StepCommand,
    StepDecorator,
    is_variable,
)
from gitflowrun.flow.foreach import brief
from gitflowrun.flow.task_state import state_of
from gitflowrun.flow.user_decorators.wrapped_step import WrappedStep
from gitflowrun.runs.records import Metadatum, Transition
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gitflowrun.flow.graph import FlowGraph
    from gitflowrun.flow.user_decorators.user_step import UserStepDecorator

_HOOKS = (
    "runtime_task_created", "runtime_step_cli", "task_pre_step", "task_decorate", "task_post_step", "task_exception",
    "task_finished",
)  # fmt: skip


class MetaDatum:
    """An entry of a task's metadata, as decorators give it; Metaflow's class of that name.

    Args:
        field: The entry's name.
        value: Its value.
        type: What kind of value it is.
        tags: Metaflow's tags of it, which are not kept.
    """

    def __init__(
        self,
        field: str,
        value: object,
        type: str | None = None,  # noqa: A002  (Metaflow's name)
        tags: Iterable[str] = (),
    ) -> None:
        self.field = field
        self.value = value
        self.type = type or field
        self.tags = tuple(tags)


@mutable
class TaskMetadata:
    """What decorators note about a task while it runs: the `metadata` that their hooks get.

    Attributes:
        attempt: The number of the attempt.
        entries: What was noted.
    """

    attempt: int = 0
    entries: list[Metadatum] = field(default_factory=list)

    def register_metadata(
        self,
        run_id: object,
        step_name: object,
        task_id: object,
        metadata: Iterable[Any],
    ) -> None:
        """Note entries about the running task.

        Args:
            run_id: The run, which is that of the task.
            step_name: The step, likewise.
            task_id: The task, likewise.
            metadata: `MetaDatum`s, or anything with their attributes.
        """
        for it in metadata:
            kind = str(getattr(it, "type", None) or it.field)
            entry = Metadatum(str(it.field), str(it.value), kind, time.time(), self.attempt)
            self.entries.append(entry)


class StepHooks:
    """Which decorators of a step override which hooks: found once, before its tasks are forked.

    Args:
        decorators: The decorators, the lowest first.

    Attributes:
        retries: How often the step is tried again when it fails.

    Raises:
        DecoratorError: one does not say how often.
    """

    def __init__(self, decorators: Sequence[StepDecorator]) -> None:
        self.retries = user_retries(decorators)
        self._overriding = {
            hook: [it for it in decorators if _overrides(it, hook)] for hook in _HOOKS
        }

    def __getitem__(self, hook: str) -> Sequence[StepDecorator]:
        """The decorators to call for a hook."""
        return self._overriding[hook]

    def at_work(self, *args: Any) -> TaskHooks:
        """They at one attempt of a task; the arguments are those of `TaskHooks` after the first."""
        return TaskHooks(self, *args)


def _overrides(decorator: StepDecorator, hook: str) -> bool:
    own = getattr(getattr(decorator, hook), "__func__", None)
    return own is not getattr(StepDecorator, hook)


def _variables(env: Any, what: str) -> dict[str, str]:
    """What a decorator has made of the variables of a task; numbers and paths become texts. Raises DecoratorError."""
    if not isinstance(env, Mapping):
        raise DecoratorError(
            f"{what} has made cli_args.env a {type(env).__name__}",
            hint="it is a dictionary of texts",
        )
    for name, value in env.items():
        is_kind = isinstance(value, str | int | float | os.PathLike)
        if not is_kind or not is_variable(name, value):
            shown = repr(brief(name)) if isinstance(name, str) else brief(name)
            raise DecoratorError(
                f"{what} sets cli_args.env[{shown}] ({type(value).__name__}), which can't be in an environment",
                hint=f"names and values are texts; {VARIABLES}",
            )
    return {name: str(value) for name, value in env.items()}


class TaskHooks:
    """The decorators of a step at work on one attempt of a task.

    Args:
        hooks: The decorators by what they override.
        wrappers: Those that users have written, which are around the step itself, likewise.
        flow: The flow object of the task.
        graph: The flow's graph.
        step: The step's name.
        run: The run's id.
        task: The task's id.
        attempt: The number of the attempt.
        index: The task's position in the innermost foreach.
        inputs: The pathspecs of the tasks it follows, without the flow.
        ubf_context: Of a gang's node: whether it is the control task, in Metaflow's words.

    Attributes:
        metadata: What they have noted about the task.
    """

    def __init__(
        self,
        hooks: StepHooks,
        wrappers: Sequence[UserStepDecorator],
        flow: Any,
        graph: FlowGraph,
        step: str,
        run: str,
        task: str,
        attempt: int,
        index: int | None,
        inputs: Sequence[str],
        ubf_context: str | None = None,
    ) -> None:
        self._ubf_context = ubf_context
        self._hooks = hooks
        self._wrappers = wrappers
        self._flow = flow
        self._graph = graph
        self._step = step
        self._run = run
        self._task = task
        self._counts = attempt, hooks.retries
        self._index = index
        self._inputs = inputs
        self._before: dict[str, str | None] = {}
        self.metadata = TaskMetadata(attempt)

    def set_environment(self) -> None:
        """Let the decorators change the process' environment before anything else of the task."""
        if not self._counts[0]:  # a further attempt is of the same task
            is_cloned = False
            for it in self._hooks["runtime_task_created"]:
                it.runtime_task_created(
                    None, self._task, self._index, self._inputs, is_cloned, self._ubf_context
                )
        if not self._hooks["runtime_step_cli"]:
            return
        program = [sys.executable, *entry_point.through, sys.argv[0]]
        command = StepCommand(entrypoint=program, commands=["step"], command_args=[self._step])
        variables: dict[str, str] = {}
        for it in self._hooks["runtime_step_cli"]:
            it.runtime_step_cli(command, *self._counts, self._ubf_context)
            variables = _variables(command.env, f"@{it.name} of step {self._step!r}")
        for name, value in variables.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value

    def before(self, inputs: Any = None) -> None:
        """Act before the step; a join's inputs are passed."""
        if not self._hooks["task_pre_step"]:
            return
        flow_name = type(self._flow).__name__
        path = f"{flow_name}/{self._run}/{self._step}/{self._task}"
        datastore = AbsentPart(
            "datastore", flow_name=flow_name, run_id=self._run, step_name=self._step,
            task_id=self._task, attempt=self._counts[0], pathspec=path,
        )  # fmt: skip
        for it in self._hooks["task_pre_step"]:
            it.task_pre_step(
                self._step, datastore, self.metadata, self._run, self._task, self._flow, self._graph,
                *self._counts, self._ubf_context, inputs,
            )  # fmt: skip

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function to call in place of a step's."""
        for it in self._hooks["task_decorate"]:
            function = it.task_decorate(
                function, self._flow, self._graph, *self._counts, self._ubf_context
            )
        attempt, retries = self._counts
        if not self._wrappers or attempt > retries:  # an attempt that only records a lost process
            return function
        return WrappedStep(self._wrappers, function, self._flow, self._graph, self._step)

    def after(self) -> None:
        """Act after a step that has returned."""
        for it in self._hooks["task_post_step"]:
            it.task_post_step(self._step, self._flow, self._graph, *self._counts)

    def handle(self, error: BaseException) -> bool:
        """Act on an error; whether the task counts as done nevertheless."""
        where = (self._step, self._flow, self._graph, *self._counts)
        handled = [it.task_exception(error, *where) for it in self._hooks["task_exception"]]
        self.take_transition()
        vars(self._flow).pop("_transition", None)
        return any(handled)

    def take_transition(self) -> None:
        """Take what decorators say follows a step that has not come to its `self.next`, where Metaflow's say it."""
        state, said = state_of(self._flow), vars(self._flow).get("_transition")
        if isinstance(said, tuple) and state is not None and state.transition is None:
            del vars(self._flow)["_transition"]
            state.transition = Transition(tuple(map(str, said[0])))

    def finish(self, *, is_ok: bool) -> None:
        """Act at the end of the attempt, and give the environment back: the next task may run in this process."""
        for it in self._hooks["task_finished"]:
            it.task_finished(self._step, self._flow, self._graph, is_ok, *self._counts)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
