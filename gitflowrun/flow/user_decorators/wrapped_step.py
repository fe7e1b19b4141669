"""A step with the decorators that users have written, as one attempt of a task runs it.

1. `pre_step` of each, the uppermost first, until one leaves the step out or replaces what it is on.
2. The step, or what was put in its place.
3. `post_step` of each whose `pre_step` has returned, the lowest first, with what the one below it has ended with.
4. Where the step was left out, replaced or has failed without consequences, the transition that its source has.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError, InvalidNext
from gitflowrun.flow.flowspec import FlowSpec
from gitflowrun.flow.foreach import brief
from gitflowrun.flow.steps import steps_of, unwrap
from gitflowrun.flow.task_state import state_of
from gitflowrun.flow.user_decorators.user_decorator import (
    copied,
    declared,
    initialise,
    short_name,
)
from gitflowrun.runs.records import CONFIG_CASE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gitflowrun.flow.graph import FlowGraph
    from gitflowrun.flow.user_decorators.user_step import UserStepDecorator

_OF_NEXT = ("foreach", "condition", "num_parallel")


class WrappedStep:
    """What to call in place of a step's function.

    Args:
        wrappers: The decorators, the lowest first.
        function: The step, as decorators of other kinds have made it.
        flow: The flow object of the task.
        graph: The flow's graph.
        step: The step's name.
    """

    def __init__(
        self,
        wrappers: Sequence[UserStepDecorator],
        function: Callable[..., Any],
        flow: Any,
        graph: FlowGraph,
        step: str,
    ) -> None:
        self._wrappers = [copied(it) for it in reversed(wrappers)]  # an object for each attempt
        self._function = function
        self._flow = flow
        self._graph = graph
        self._step = step
        self._returned: Any = None
        self._goes_on: dict[str, Any] | None = None
        self._misuse: DecoratorError | None = None

    def __call__(self, *inputs: Any) -> Any:
        """Run the step with its decorators."""
        for it in self._wrappers:
            initialise(it, f"step {self._step!r}")
        self._run(0, inputs)
        self._go_on()
        return self._returned

    def _run(self, depth: int, inputs: tuple[Any, ...]) -> None:
        """Run the decorator at a depth, with all that is below it."""
        if depth == len(self._wrappers):
            self._returned = self._function(*inputs)
            return
        it = self._wrappers[depth]
        replacement = it.pre_step(self._step, self._flow, inputs[0] if inputs else None)
        try:
            if it.skip_step is not False:
                self._goes_on = self._arguments(it, it.skip_step)
            elif replacement is not None:
                self._replace(it, replacement, inputs)
            else:
                self._run(depth + 1, inputs)
        except BaseException as error:
            ended = self._leave(it, error)
            # The run is to end, or the decorator is wrong, whatever one makes of that.
            if isinstance(error, KeyboardInterrupt) or error is self._misuse:
                raise
            if ended is not None:
                raise ended  # noqa: B904  (it has been raised here, or says itself what it comes from)
            self._goes_on = self._goes_on or {}
        else:
            ended = self._leave(it, None)
            if ended is not None:
                raise ended

    def _replace(self, it: UserStepDecorator, replacement: object, inputs: tuple[Any, ...]) -> None:
        if not callable(replacement):
            raise self._misused(it, f"puts {brief(repr(replacement))} in place of the step", "")
        returned = replacement(self._flow, *inputs)
        if returned is not None and returned is not False:
            self._goes_on = self._arguments(it, returned)

    def _leave(self, it: UserStepDecorator, error: BaseException | None) -> BaseException | None:
        """Call `post_step`; what the decorator ends with."""
        returned: Any = it.post_step(self._step, self._flow, error)
        ended, arguments = returned if _is_pair(returned) else (returned, None)
        if arguments is not None:
            self._goes_on = self._arguments(it, arguments)
        if ended is None or isinstance(ended, BaseException):
            return ended
        raise self._misused(
            it,
            f"returns {brief(repr(returned))} from post_step",
            "return the exception, None where there is none, or a pair of that and a dictionary for self.next",
        )

    def _arguments(self, it: UserStepDecorator, given: object) -> dict[str, Any]:
        """The arguments of `self.next` that differ from the step's own."""
        if given is True:
            return {}
        if not isinstance(given, dict):
            raise self._misused(
                it,
                f"goes on with {brief(repr(given))}",
                "give True, or a dictionary with arguments of self.next",
            )
        for key in given:
            if key not in _OF_NEXT:
                raise self._misused(
                    it, f"gives self.next the argument {key!r}", f"it has {', '.join(_OF_NEXT)}"
                )
        return dict(given)

    def _misused(self, it: UserStepDecorator, what: str, hint: str) -> DecoratorError:
        source, line = declared(it).where or (None, None)
        self._misuse = DecoratorError(
            f"@{short_name(it)} of step {self._step!r} {what}",
            hint=hint or None,
            line=line,
            source=source,
        )
        return self._misuse

    def _go_on(self) -> None:
        """Say what follows, where the step has not said it or a decorator has said otherwise."""
        state, node = state_of(self._flow), self._graph[self._step]
        given = self._goes_on
        if given is None or state is None or (state.transition is not None and not given):
            return
        if node.is_end_step:
            if given:
                raise DecoratorError(
                    f"a decorator of step {self._step!r} gives arguments for self.next, and the flow ends there",
                    line=node.func_lineno,
                    source=node.source_file,
                )
            return
        state.transition, state.split_values, state.is_rerouted = None, (), True
        try:
            options = {} if node.form == "plain" else {node.form: self._own(node), **given}
            if node.form == "plain":
                options = given
            FlowSpec.next(self._flow, *self._targets(node), **options)
        except InvalidNext as error:
            raise InvalidNext(
                error.message, hint=error.hint, line=node.func_lineno, source=node.source_file
            ) from None

    def _own(self, node: Any) -> Any:
        """The value of the argument of `self.next` that the step's source has."""
        if node.form == "foreach":
            return node.foreach_param
        return node.condition if node.form == "condition" else self._evaluated(node.num_parallel)

    def _targets(self, node: Any) -> list[Any]:
        steps = steps_of(type(self._flow))
        bound = {it: MethodType(steps[it], self._flow) for it in node.out_funcs if it in steps}
        if node.form != "condition":
            return list(bound.values())
        return [{self._case(key): bound[target] for key, target in node.switch_cases.items()}]

    def _case(self, key: Any) -> Any:
        is_of_config = isinstance(key, str) and key.startswith(CONFIG_CASE)
        return self._evaluated(f"self.{key.removeprefix(CONFIG_CASE)}") if is_of_config else key

    def _evaluated(self, text: Any) -> Any:
        """The value of an expression in the step's source, which is the user's own code."""
        if not isinstance(text, str):
            return text
        function: Any = unwrap(self._step, steps_of(type(self._flow))[self._step])
        names = {"self": self._flow, function.__code__.co_varnames[0]: self._flow}
        try:
            return eval(text, function.__globals__, names)  # noqa: S307  (as said)
        except Exception as error:
            raise DecoratorError(
                f"step {self._step!r} was left out, and {text!r} of its self.next can't be told: {error}",
                hint="give it: a dictionary with the arguments of self.next",
            ) from error


def _is_pair(returned: object) -> bool:
    return isinstance(returned, tuple) and len(returned) == 2  # noqa: PLR2004  (an exception and arguments)
