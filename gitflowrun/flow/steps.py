"""The `@step` decorator, which functions of a class are steps, and the line of the user's that is being executed.

Nothing of graphs or of execution.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from gitflowrun import entry_point

if TYPE_CHECKING:
    from types import FrameType

    from gitflowrun.errors import FlowError

F = TypeVar("F", bound=Callable[..., Any])
RESERVED_STEPS = frozenset({"name", "next", "input", "index", "cmd"})


@overload
def step(f: F) -> F: ...
@overload
def step(
    f: None = None,
    *,
    start: bool = False,
    end: bool = False,
    node_info: Mapping[str, object] | None = None,
) -> Callable[[F], F]: ...
def step(
    f: F | None = None,
    *,
    start: bool = False,
    end: bool = False,
    node_info: Mapping[str, object] | None = None,
) -> F | Callable[[F], F]:
    """Make a method a step of its flow.

    Args:
        f: The method, when used without parentheses.
        start: Begin the flow here, whatever the step's name.
        end: End the flow here, whatever the step's name.
        node_info: Facts to show with the step in the graph, for tools.
    """

    def mark(function: F) -> F:
        target: Any = function
        target.is_step = True
        target.name = function.__name__
        # Decorators, those that users have written, and mutators, under Metaflow's names.
        for kept in ("decorators", "wrappers", "config_decorators"):
            if kept not in vars(target):  # what is a step already keeps its own
                setattr(target, kept, [])
        target.is_start = start
        target.is_end = end
        target.node_info = dict(node_info or {})
        return function

    return mark if f is None else mark(f)


def is_step(member: object) -> bool:
    """Whether a class attribute is a step."""
    return callable(member) and getattr(member, "is_step", False) is True


def defining_classes(cls: type) -> dict[str, type]:
    """Every attribute name of `cls` and the class it is taken from, bases first, in order of definition."""
    return {name: base for base in reversed(cls.__mro__) for name in vars(base)}


def steps_of(cls: type) -> dict[str, Callable[..., Any]]:
    """The steps of a flow by name: inherited ones first, each class's in the order it defines them."""
    members = ((name, vars(owner)[name]) for name, owner in defining_classes(cls).items())
    return {name: member for name, member in members if is_step(member)}


def unwrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The user's own function beneath decorators.

    Decorators that use `functools.wraps` say what they wrap; for others the function of the step's name is
    looked for among what the wrapper closes over.
    """
    seen = {id(function)}
    while True:
        inner = getattr(function, "__wrapped__", None) or _enclosed(name, function)
        if inner is None or id(inner) in seen:
            return function
        seen.add(id(inner))
        function = inner


def _enclosed(name: str, function: Callable[..., Any]) -> Callable[..., Any] | None:
    if getattr(function, "__name__", name) == name:
        return None
    for cell in getattr(function, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:  # the cell is still empty
            continue
        if callable(content) and getattr(content, "__name__", None) == name:
            found: Callable[..., Any] = content
            return found
    return None


def user_line() -> tuple[str, int] | None:
    """File and line of the innermost frame that is not of the flow language; None where there is none."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  (the only way to look at frames without `inspect`, which is slow)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("gitflowrun.flow."):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def located(error: FlowError) -> FlowError:
    """The error with the user's file and line; uncaught, it ends the program without a traceback."""
    error.source, error.line = user_line() or (None, None)
    entry_point.explain_uncaught()
    return error
