"""The entry point of flow programs: the function that `MyFlow()` calls at the end of a flow file.

`FlowSpec` stands far below the command line, and a module imports only what is below it. So the facade, which
ties the layers together, assigns the command line's function here, and `FlowSpec.__init__` calls it. Python
executes the facade (`gitflowrun/__init__.py`) before any other module of the package: the function is there
whatever a program imports first, and as it is the first, it also sees where the program is at that time.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing `typing` costs more than all of this package's facade
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

run_program: Callable[[type], NoReturn]
"""Be the program of a flow class: its command line, or one of its tasks. Ends the process."""
explain_uncaught: Callable[[], None]
"""Have errors of ours that a flow's module does not catch end the program with their words, and no traceback."""

through: tuple[str, ...] = ()
"""What stands between the interpreter and a flow's file where another program executes it."""


def _none() -> str:
    return ""


default_decospecs: Callable[[], str] = _none
"""The decorators of all steps where no variable names any, as text with spaces between: extension packages'."""


def _current_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  (pathlib is an import)
    except FileNotFoundError:  # it was deleted, which is no reason not to run
        return None


imported_in = _current_directory()
"""The directory in which the program was when it first imported something of this package."""
