"""`@catch`: let a flow go on when a step has failed for good."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError, FailureHandledByCatch
from gitflowrun.flow.decorators.base import StepDecorator
from gitflowrun.flow.decorators.declare import StepDeclaration
from gitflowrun.flow.failure import MetaflowExceptionWrapper
from gitflowrun.flow.members import taken_by
from gitflowrun.flow.task_state import state_of, task_label
from gitflowrun.runs.records import CAUGHT, Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import ClassVar

_FALLBACKS = (
    3  # attempts that do nothing but record the failure: the machine may fail in them as well
)
_SPLITS = {
    "foreach": "a foreach",
    "split-foreach": "a foreach",
    "split-switch": "a condition",
}


class CatchDecorator(StepDecorator):
    """Let the flow go on when the step has failed, after all retries: whatever its `self.next` says comes next.

    What the step had assigned until then is kept. Steps that follow must expect what it had not.

    Args:
        var: The artifact for the exception: None where there was none.
        print_exception: Whether to print it in the task's log.
    """

    name = "catch"
    defaults: ClassVar[Mapping[str, Any]] = {"var": None, "print_exception": True}

    def step_init(self, flow: Any, graph: Any, step_name: str, *_: Any) -> None:
        """Refuse steps where nobody could tell how to go on, and names that can't be artifacts."""
        node = graph[step_name]
        if node.type in _SPLITS:
            raise DecoratorError(
                f"@catch can't be on step {step_name!r}: a step that fails names no items for {_SPLITS[node.type]}",
                hint="move what may fail to a step of its own",
                line=node.func_lineno,
                source=node.source_file,
            )
        var = self.attributes["var"]
        if var is None:
            return
        is_name = isinstance(var, str) and var.isidentifier()
        taken = is_name and taken_by(type(flow), var)
        if not is_name or taken:
            raise DecoratorError(
                f"@catch of step {step_name!r}: var={var!r} can't name an artifact"
                + f": it is {taken} of the flow" * bool(taken),
                hint='write another name: @catch(var="failure")',
                line=node.func_lineno,
                source=node.source_file,
            )

    def step_task_retry_count(self) -> tuple[int, int]:
        """No retries of the step, and attempts that record the failure of a process."""
        return 0, _FALLBACKS

    def task_decorate(
        self,
        step_func: Callable[..., Any],
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
        ubf_context: Any,
    ) -> Callable[..., Any]:
        """The step itself, and no more of it when all its attempts have failed."""
        if retry_count <= max_user_code_retries:
            return step_func

        def fallback(*_: object) -> None:
            state = state_of(flow)
            failure = state.failure if state is not None else ""
            raise FailureHandledByCatch(
                f"the task failed in {retry_count} attempt{'s' * (retry_count > 1)}, and its code could not say why: "
                f"{failure or 'its process was lost'}"
            )

        return fallback

    def task_post_step(
        self, step_name: str, flow: Any, graph: Any, retry_count: int, max_user_code_retries: int
    ) -> None:
        """Say that nothing was caught."""
        if self.attributes["var"]:
            setattr(flow, self.attributes["var"], None)

    def task_exception(
        self,
        exception: BaseException,
        step_name: str,
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
    ) -> bool:
        """Store the exception and choose where to go on, unless the step is tried again."""
        # What ends the process on purpose is nobody's failure.
        if retry_count < max_user_code_retries or isinstance(exception, KeyboardInterrupt):
            return False
        caught = MetaflowExceptionWrapper.of(exception)
        if self.attributes["print_exception"]:
            lines = [f"@catch caught an exception from {task_label(flow)}"]
            lines += [f">  {line}" for line in caught.stacktrace.rstrip("\n").split("\n")]
            with suppress(AttributeError, OSError, ValueError):  # the step may have closed it
                sys.stdout.write("\n".join([*lines, ""]))
        setattr(flow, CAUGHT, caught)
        if self.attributes["var"]:
            setattr(flow, self.attributes["var"], caught)
        state = state_of(flow)
        if state is not None and (state.transition is None or state.transition.foreach is not None):
            targets = tuple(graph[step_name].out_funcs)
            state.transition = Transition(targets) if targets else None
            state.split_values = ()
        return True


catch = StepDeclaration(CatchDecorator)
