"""What decorators and mutators that users write have in common: arguments, names, and their place on a step or class.

The class itself stands behind the `@`, with arguments or without: `@Timed` and `@Timed(unit="s")` are both an object
of the class `Timed`, whose `init` gets the arguments when the flow is completed. So a class of the user's has no
`__init__`, and its objects are declared on a step (`wrappers`, `mutators` of its function) or on a class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from gitflowrun.errors import DecoratorError, GitflowrunError
from gitflowrun.flow.decorators.base import plain_data
from gitflowrun.flow.decorators.declare import (
    flow_mutators,
    misplaced,
    named,
)
from gitflowrun.flow.failure import users_line_of
from gitflowrun.flow.foreach import brief
from gitflowrun.flow.secret_names import is_called_secret
from gitflowrun.flow.steps import is_step, located, user_line
from gitflowrun.flow.task_state import TaskHolder
from gitflowrun.masking import SHOWN
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self
T = TypeVar("T")

_PACKAGE = "gitflowrun"


@mutable
class Declared:
    """How a decorator or mutator was written.

    Attributes:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        statically_defined: Whether it stands in the flow's source, or was added by what does.
        inserted_by: The full names of the mutators that have added it, the first one in front.
        where: File and line of the user's that have made it.
        is_ready: Whether `init` was called.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    statically_defined: bool = True
    inserted_by: tuple[str, ...] = ()
    where: tuple[str, int] | None = None
    is_ready: bool = False


class UserDecorator:
    """The base of decorators and mutators that users write.

    Attributes:
        decorator_name: Its full name: that of its module, a point, its own.
        of: What it is for: `steps` or `flows`.
        kept_in: The list of a step's function that it is kept in.
    """

    decorator_name: ClassVar[str] = ""
    of: ClassVar[str] = "steps"
    kept_in: ClassVar[str] = "wrappers"
    _is_base: ClassVar[bool] = True
    _declared: Declared

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Classes of this package are there to derive from, unless they say otherwise themselves.
        cls._is_base = vars(cls).get("_is_base", cls.__module__.startswith(f"{_PACKAGE}."))
        cls.decorator_name = f"{cls.__module__}.{cls.__name__}"

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A decorator with these arguments; or the step or class, decorated, where that is the only one."""
        try:
            if len(args) == 1 and not kwargs and _is_target(args[0]):
                decorated: Self = put(made(cls, (), {}), args[0])
                return decorated
            decorator: Self = made(cls, args, kwargs)
        except DecoratorError as error:
            raise located(error) from None
        return decorator

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what `__new__` has kept."""

    def init(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments that the decorator was given; implement it where it takes any."""

    def __call__(self, target: T) -> T:
        """The step or class, decorated."""
        try:
            return put(self, target)
        except DecoratorError as error:
            raise located(error) from None

    def __set_name__(self, owner: type, name: str) -> None:
        error = DecoratorError(
            f"@{short_name(self)} is for {self.of}, and {name!r} of {owner.__name__} is none",
            hint=f"write @{short_name(self)} above @step, and @step above the function",
        )
        error.source, error.line = declared(self).where or (None, None)
        misplaced.setdefault(owner, []).append((name, self, error))

    @classmethod
    def _refusal(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Why it can't have these arguments, as what to do about it; None where it can."""
        if (args or kwargs) and cls.init is UserDecorator.init:
            return f"give {cls.__name__} a method init that takes them: def init(self, ...)"
        return None

    @property
    def name(self) -> str:
        """The full name."""
        return full_name(self)

    @property
    def attributes(self) -> dict[str, Any]:
        """The arguments, positional ones as `_args`."""
        return {"_args": list(self._declared.args), **self._declared.kwargs}

    def describe(self) -> dict[str, Any]:
        """It as plain data, in the form of Metaflow's `_graph_info`."""
        return described(self)

    def __repr__(self) -> str:
        return f"<@{short_name(self)}>"


def made(
    kind: type[Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    statically_defined: bool = True,
    inserted_by: tuple[str, ...] = (),
) -> Any:
    """A decorator or mutator of a kind with these arguments.

    Raises:
        DecoratorError: the class can't be used, or takes no such arguments.
    """
    if kind._is_base:  # noqa: SLF001  (ours)
        raise DecoratorError(
            f"{kind.__name__} is there to derive from", hint=f"write class Mine({kind.__name__})"
        )
    decorator = object.__new__(kind)
    decorator._declared = Declared(
        tuple(args), dict(kwargs), statically_defined, inserted_by, user_line()
    )
    check_arguments(decorator)
    return decorator


def copied(decorator: Any) -> Any:
    """The decorator as it was written, which has seen no flow yet."""
    again = object.__new__(type(decorator))
    vars(again).update(vars(decorator))
    old = declared(decorator)
    again._declared = Declared(
        old.args, dict(old.kwargs), old.statically_defined, old.inserted_by, old.where
    )
    return again


def declared(decorator: Any) -> Declared:
    """How a decorator or mutator was written."""
    found: Declared = decorator._declared  # noqa: SLF001
    return found


def full_name(decorator: Any) -> str:
    """The name with that of the module."""
    return str(type(decorator).decorator_name)


def short_name(decorator: Any) -> str:
    """The name as it is written."""
    return type(decorator).__name__


def described(decorator: Any) -> dict[str, Any]:
    """A decorator or mutator as plain data, in the form of Metaflow's `_graph_info`."""
    how = declared(decorator)
    is_of_flow = decorator.of == "flows"
    return {
        "name": short_name(decorator) if is_of_flow else full_name(decorator),
        "attributes": {
            "_args": [plain_data(it) for it in how.args],
            **{
                key: SHOWN if is_called_secret(key) else plain_data(it)
                for key, it in how.kwargs.items()
            },
        },
        "statically_defined": how.statically_defined,
        "inserted_by": list(how.inserted_by) or None,
    }


def check_arguments(decorator: Any) -> None:
    """See that a decorator which is given arguments takes some.

    Raises:
        DecoratorError: it does not.
    """
    how, kind = declared(decorator), type(decorator)
    refusal = kind._refusal(how.args, how.kwargs)  # noqa: SLF001  (ours)
    if refusal is None:
        return
    what = how.args[0] if how.args else next(iter(how.kwargs))
    if len(how.args) == 1 and not how.kwargs and hasattr(what, "__qualname__"):
        raise _not_for(decorator, what)  # a function or a class, which it was written above
    raise DecoratorError(
        f"@{kind.__name__} can't take the argument {brief(repr(what))}", hint=refusal
    )


def initialise(decorator: Any, place: str) -> None:
    """Call `init` of a decorator or mutator, once.

    Args:
        decorator: It.
        place: What it is on, for errors.

    Raises:
        DecoratorError: `init` fails, or takes other arguments.
    """
    how = declared(decorator)
    if how.is_ready:
        return
    how.is_ready = True
    try:
        decorator.init(*how.args, **how.kwargs)
    except Exception as error:
        raise failed(error, decorator, place, "init") from error


def failed(error: Exception, decorator: Any, place: str, method: str) -> DecoratorError:
    """The error that says which decorator has failed with another one, and in which line of the user's."""
    what = f"{short_name(decorator)}.{method} of {place}"
    source, line = users_line_of(error) or declared(decorator).where or (None, None)
    if isinstance(error, GitflowrunError):
        return DecoratorError(f"{what}: {error.message}", hint=error.hint, line=line, source=source)
    return DecoratorError(
        f"{what} failed: {type(error).__name__}: {error}", line=line, source=source
    )


def put(decorator: Any, target: T) -> T:
    """Declare a decorator or mutator on a step or a flow class, which is returned.

    Raises:
        DecoratorError: it is none of these, or the wrong one.
    """
    if decorator.of == "flows":
        if not _is_flow(target):
            raise _not_for(decorator, target)
        cls: Any = target
        flow_mutators.setdefault(cls, []).append(decorator)
        return target
    if not is_step(target) or isinstance(target, type):
        raise _not_for(decorator, target)
    getattr(target, decorator.kept_in).append(decorator)  # the lowest first, as Python applies them
    return target


def _is_target(it: object) -> bool:
    return _is_flow(it) or is_step(it)


def _is_flow(it: object) -> bool:
    return isinstance(it, type) and issubclass(it, TaskHolder)


def _not_for(decorator: Any, target: object) -> DecoratorError:
    name, of = short_name(decorator), decorator.of
    is_function = callable(target) and not isinstance(target, type)
    if of == "flows":
        hint = "write it above a class that derives from FlowSpec"
    else:
        hint = f"write @{name} above @step" if is_function else "write it above @step"
    return DecoratorError(f"@{name} is for {of}, and {named(target)} is none", hint=hint)
