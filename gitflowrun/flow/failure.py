"""What ended a step, as text for people: the exception's class, what it says, and a traceback of the user's frames."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from gitflowrun.errors import FlowError, GitflowrunError, MetaflowException

if TYPE_CHECKING:
    import traceback
    from collections.abc import Callable

# Frames of these files are left out of tracebacks.
_FLOW_DIR = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120  (pathlib is an import)
_PACKAGE_DIR = os.path.dirname(os.path.dirname(_FLOW_DIR)) + os.sep  # noqa: PTH120
_OF_VALUES = (_FLOW_DIR, f"{_PACKAGE_DIR}artifacts{os.sep}config_value.py")


class MetaflowExceptionWrapper(Exception):
    """An exception as text, which can be stored and read without the code that has raised it.

    Args:
        type: Its class, such as `builtins.ValueError`; or the exception, which says all of it.
        exception: What it says.
        stacktrace: Where it was raised.
    """

    def __init__(
        self,
        type: str | BaseException = "",  # noqa: A002  (Metaflow's names)
        exception: str = "",
        stacktrace: str = "",
    ) -> None:
        if isinstance(type, BaseException):
            error = type
            type, exception, stacktrace = class_of(error), message_of(error), explained(error)  # noqa: A001
        super().__init__(exception)
        self.type = type
        self.exception = exception
        self.stacktrace = stacktrace

    @classmethod
    def of(cls, error: BaseException) -> MetaflowExceptionWrapper:
        """What there is to say of an exception."""
        return cls(error)

    def __str__(self) -> str:
        return self.stacktrace

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MetaflowExceptionWrapper) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.type, self.exception, self.stacktrace))


def class_of(error: BaseException) -> str:
    """The class of an exception, with its module."""
    return class_names(type(error))


def _own_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


class_names: Callable[[type], str] = _own_name
"""What classes of exceptions are called where they are stored."""

_tops: dict[str, str] = {}


def tell_copy(top: str, work_tree: str) -> None:
    """Have tracebacks name the files of a work tree where those of a copy of it have run."""
    _tops[top] = work_tree


def _in_work_tree(text: str) -> str:
    for top, work_tree in _tops.items():
        text = text.replace(f'File "{top}/', f'File "{work_tree}/')
        text = text.replace(f"  raised in {top}/", f"  raised in {work_tree}/")
    return text


def explained(error: BaseException) -> str:
    """The text that explains an exception to the person who wrote the step: their frames, none of ours.

    A flow's own mistakes (a wrong `self.next`, a merge that can't be) are a sentence with a line number;
    everything else is a traceback from the user's outermost frame on.
    """
    import traceback

    trace = traceback.TracebackException.from_exception(error, compact=True)
    # Where our own errors, or an interrupt, came up within the package helps nobody; where a codec failed may.
    is_ours = isinstance(error, GitflowrunError | KeyboardInterrupt)
    _leave_out(trace, (_PACKAGE_DIR,) if is_ours else _OF_VALUES)
    if isinstance(error, FlowError) and (error.line is not None or not trace.stack):
        return f"{error.headline}: {error}\n"
    if isinstance(error, MetaflowException) and not is_ours:
        last = trace.stack[-1] if trace.stack else None
        where = f"  raised in {last.filename}, line {last.lineno}, in {last.name}\n" if last else ""
        return f"{error.headline}: {error}\n{_in_work_tree(where)}"
    text = _in_work_tree(_renamed("".join(trace.format()), error))
    if isinstance(error, SystemExit):
        text += f"the step called sys.exit({error.code!r}): return from it instead\n"
    return text


def _renamed(text: str, error: BaseException) -> str:
    """A traceback with the names for classes that `class_names` gives."""
    links: list[BaseException | None] = [error]
    seen: set[int] = set()
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        own, told = _own_name(type(link)), class_of(link)
        if own != told:
            text = re.sub(rf"^{re.escape(own)}(?=:|$)", told, text, flags=re.MULTILINE)
        links += (link.__cause__, link.__context__)
    return text


def _leave_out(trace: traceback.TracebackException, ours: tuple[str, ...]) -> None:
    for other in (trace.__cause__, trace.__context__):
        if other is not None:
            _leave_out(other, ours)
    stack = trace.stack
    stack[:] = [frame for frame in stack if not frame.filename.startswith(ours)]


def message_of(error: BaseException) -> str:
    """What an exception says."""
    try:
        return error.told if isinstance(error, MetaflowException) else str(error)
    except Exception:  # noqa: BLE001  (a user's __str__ may raise anything)
        return f"<a {type(error).__name__} that can't be shown>"


def users_line_of(error: BaseException) -> tuple[str, int] | None:
    """File and line of the innermost frame of an error that is not this package's; None where all are."""
    trace, found = error.__traceback__, None
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_PACKAGE_DIR):
            found = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return found
