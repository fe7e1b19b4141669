"""A failed step told to the person who wrote it: their frames and their lines, none of ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitflowrun.errors import FlowError, GitflowrunError

if TYPE_CHECKING:
    import traceback

__all__ = ["describe", "exception_map"]

_ROOM = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120  (pathlib is an import)
_PACKAGE = os.path.dirname(os.path.dirname(_ROOM)) + os.sep  # noqa: PTH120


def describe(error: BaseException) -> str:
    """The text that explains an exception of a step.

    A flow's own mistakes (a wrong `self.next`, a merge that can't be) are a sentence with a line number;
    everything else is a traceback from the user's outermost frame on.
    """
    if isinstance(error, FlowError) and (error.line is not None or error.__traceback__ is None):
        return _sentence(error)
    import traceback

    told = traceback.TracebackException.from_exception(error, compact=True)
    # Where our own errors were raised within the package helps nobody; where a codec failed may.
    _strip(told, _PACKAGE if isinstance(error, GitflowrunError) else _ROOM)
    text = "".join(told.format())
    if isinstance(error, SystemExit):
        text += f"the step called sys.exit({error.code!r}): return from it instead\n"
    if isinstance(error, GitflowrunError) and error.hint:
        text += f"hint: {error.hint}\n"
    return text


def exception_map(error: BaseException) -> dict[str, str]:
    """An exception as plain data: the private artifact `_exception` of a failed task."""
    kind = type(error)
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": _message(error),
        "stacktrace": describe(error),
    }


def _sentence(error: FlowError) -> str:
    hint = f"hint: {error.hint}\n" if error.hint else ""
    return f"{error.headline}: {error}\n{hint}"


def _strip(told: traceback.TracebackException, ours: str) -> None:
    for other in (told.__cause__, told.__context__):
        if other is not None:
            _strip(other, ours)
    stack = told.stack
    stack[:] = [frame for frame in stack if not frame.filename.startswith(ours)] or stack[:]


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (a user's __str__ may raise anything)
        return f"<a {type(error).__name__} that can't be shown>"
