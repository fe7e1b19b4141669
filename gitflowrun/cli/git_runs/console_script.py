"""The program `git runs` as it is installed: an interrupt ends it without a word while its modules are loaded.

They take most of the time of a short command, and Python would print the traceback of an import.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` itself takes longer to load than all that is here

TYPE_CHECKING = False  # as does `typing`
if TYPE_CHECKING:
    from typing import NoReturn

_theirs = _signal.getsignal(_signal.SIGINT)
if _theirs is _signal.default_int_handler:  # else whoever has started us wants it ignored
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

from gitflowrun.cli.git_runs import main  # noqa: E402


def program() -> NoReturn:
    """Be the program."""
    _signal.signal(_signal.SIGINT, _theirs)
    main.program()


if __name__ == "__main__":
    program()
