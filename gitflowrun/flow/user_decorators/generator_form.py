"""`@user_step_decorator`: a generator function as a decorator of steps, whose `yield` is the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.foreach import brief
from gitflowrun.flow.steps import located
from gitflowrun.flow.user_decorators.user_decorator import declared, short_name
from gitflowrun.flow.user_decorators.user_step import UserStepDecorator

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

USER_SKIP_STEP: dict[str, Any] = {}
"""What a generator yields to leave the step out and go on as the step would."""
_GENERATOR = 0x20  # inspect.CO_GENERATOR, without the import
_WITH_ATTRIBUTES = 4
_HINT = "write one `yield`: it stands for the step; `yield USER_SKIP_STEP` leaves the step out"


class _GeneratorDecorator(UserStepDecorator):
    """A decorator made of a generator function: each task runs a generator of its own."""

    function: Any = None
    _generator: Generator[Any, None, None] | None = None

    @classmethod
    def _refusal(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        if args:
            return "write its arguments by name: @NAME(ARGUMENT=VALUE)"
        if kwargs and _count(cls.function) != _WITH_ATTRIBUTES:
            return "give the function a fourth argument, which takes them: (step_name, flow, inputs, attributes)"
        return None

    def init(self, **attributes: Any) -> None:
        """Take the arguments, which the function gets."""

    def pre_step(
        self, step_name: str, flow: Any, inputs: Any | None = None
    ) -> Callable[..., Any] | None:
        """Run the generator up to its `yield`."""
        takes_attributes = _count(type(self).function) == _WITH_ATTRIBUTES
        more = (dict(declared(self).kwargs),) if takes_attributes else ()
        self._generator = type(self).function(step_name, flow, inputs, *more)
        try:
            yielded = next(self._generator)
        except StopIteration:
            raise self._misused(step_name, "ended without a `yield`") from None
        if yielded is None:
            return None
        if isinstance(yielded, dict):
            self.skip_step = yielded
            return None
        if callable(yielded):
            replacement: Callable[..., Any] = yielded
            return replacement
        self._generator.close()
        raise self._misused(step_name, f"yields {brief(repr(yielded))}")

    def post_step(
        self,
        step_name: str,
        flow: Any,  # noqa: ARG002  (the base's signature)
        exception: BaseException | None = None,
    ) -> BaseException | None:
        """Run the rest of the generator; what the step has raised is raised at the `yield`."""
        generator = self._generator
        assert generator is not None
        try:
            if exception is None:
                next(generator)
            else:
                generator.throw(exception)
        except StopIteration as stopped:
            # A step's own StopIteration passes through a generator as a RuntimeError (PEP 479), or as it is.
            return exception if stopped is exception else None
        except RuntimeError as error:
            if isinstance(exception, StopIteration) and error.__cause__ is exception:
                return exception
            return error
        except BaseException as error:  # noqa: BLE001  (what the step ends with)
            return error
        generator.close()
        return self._misused(step_name, "yields twice")

    def _misused(self, step: str, what: str) -> DecoratorError:
        code = type(self).function.__code__
        return DecoratorError(
            f"@{short_name(self)} of step {step!r} {what}",
            hint=_HINT,
            line=code.co_firstlineno,
            source=code.co_filename,
        )


def user_step_decorator(
    function: Callable[..., Iterator[Any]] | None = None, /, *more: Any, **options: Any
) -> type[UserStepDecorator]:
    """Make a generator function a decorator of steps.

    Args:
        function: A generator function of `(step_name, flow, inputs)`, or with a fourth argument `attributes`: the
            arguments of the decorator, by name. It yields once. What is before the `yield` runs before the step,
            what the step raises is raised there, and what is behind it runs afterwards. It yields None for the step;
            a dictionary to leave the step out, with the arguments of `self.next` that differ from the step's own;
            a function to call that in place of the step.
        *more: There are no more arguments.
        **options: Likewise.

    Raises:
        DecoratorError: it is no such function.
    """
    problem = _problem(function, has_arguments=bool(more or options))
    if problem is not None or function is None:
        raise located(problem or DecoratorError(_HINT))
    body: dict[str, Any] = {
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "function": function,
    }
    return type(function.__name__, (_GeneratorDecorator,), body)


def _problem(function: Any, *, has_arguments: bool) -> DecoratorError | None:
    """Why a function can't be a decorator of steps."""
    if has_arguments or function is None:
        return DecoratorError(
            "@user_step_decorator takes no arguments",
            hint="write it alone above a generator function",
        )
    code = getattr(function, "__code__", None)
    name = getattr(function, "__name__", type(function).__name__)
    if code is None or isinstance(function, type) or not code.co_flags & _GENERATOR:
        return DecoratorError(
            f"@user_step_decorator is for generator functions, and {name!r} is none", hint=_HINT
        )
    if _count(function) not in {3, _WITH_ATTRIBUTES}:
        return DecoratorError(
            f"the generator function {name!r} of @user_step_decorator takes the wrong arguments",
            hint=f"write def {name}(step_name, flow, inputs), or with `attributes` as the fourth",
        )
    return None


def _count(function: Any) -> int:
    return int(function.__code__.co_argcount)
