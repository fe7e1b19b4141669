"""The flow's program as it was started: the command that was typed, its file, what it has loaded from elsewhere.

A command that is composed of a path often does not work (`python -m pkg.flow`, `uv run`, another interpreter, a
path with spaces), so hints begin with the words that were typed.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from gitflowrun import entry_point

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType


def typed_command() -> tuple[str, ...]:
    """The command line of this process without the arguments that the flow's program got.

    Returns:
        Words that, with other arguments behind them, start the program again.
    """
    arguments = sys.argv[1:]
    for words in (_wrapper(), sys.orig_argv):
        start = len(words) - len(arguments)
        if start > 0 and words[start:] == arguments:
            return tuple(words[:start])
    return sys.executable, sys.argv[0]


def start_directory() -> str | None:
    """Where the command was typed, whatever directory the user's modules have gone to since.

    Python itself keeps what it has found there before any module ran: the absolute path of the program's file, and
    for `-m` the first entry of its path. Where the command names neither, what counts is where the program was
    when it imported us.

    Returns:
        The directory; None when it is not there any more.
    """
    words = typed_command()
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None) or ""
    if words[-2:-1] == ("-m",):
        place = _top(main, file)
        if sys.path[:1] == [place]:
            return place
    else:
        place, slash, _ = file.rpartition(f"/{words[-1].removeprefix('./')}")
        if slash and not words[-1].startswith("/") and file.endswith(words[-1].removeprefix("./")):
            return place or slash
    return entry_point.imported_in


def _top(main: ModuleType, file: str) -> str:
    """The directory in which `python -m` has found a module whose file this is."""
    for _ in (main.__spec__.name if main.__spec__ else "").split("."):
        file = os.path.dirname(file)  # noqa: PTH120
    return file


def start_again(argv: Sequence[str]) -> tuple[str, ...]:
    """What starts this program anew from the directory that it is in now, which its modules may have gone to.

    Args:
        argv: `sys.argv` as other processes may see it.
    """
    words = [sys.executable, *sys.orig_argv[1:]]
    if len(argv) > 1 and words[1 - len(argv) :] == sys.argv[1:]:
        words[1 - len(argv) :] = argv[1:]
    place = len(words) - len(sys.argv)
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if place < 1 or not file or not os.path.isabs(file):  # noqa: PTH117  (pathlib is an import)
        return tuple(words)
    path = old = os.environ.get("PYTHONPATH", "")
    try:
        here = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # it was deleted
        here = ""
    began = start_directory()
    if old and began and began != here:
        # An entry may be relative, and an empty one is the directory itself.
        path = os.pathsep.join(os.path.join(began, it) for it in old.split(os.pathsep))  # noqa: PTH118
    if words[place] == sys.argv[0]:
        words[place] = file
    elif words[place - 1] == "-m" and main.__spec__ is not None:
        top = _top(main, file)
        if top != here:
            path = os.pathsep.join([top, path] if path else [top])
    if path != old:
        words[:0] = ["/usr/bin/env", f"PYTHONPATH={path}"]
    return tuple(words)


def _wrapper() -> list[str]:
    """The words of `uv run`, which waits for the interpreter it has started; none without it."""
    if "UV" not in os.environ:
        return []
    try:
        with open(f"/proc/{os.getppid()}/cmdline", "rb") as file:  # noqa: PTH123  (pathlib is an import)
            words = os.fsdecode(file.read()).split("\0")[:-1]
    except OSError:
        return []
    return words if words and words[0].rpartition("/")[2] == "uv" else []


def spelled(command: tuple[str, ...], *words: str) -> str:
    """A command as one types it into a shell: `command` with other arguments behind it."""
    import shlex

    return shlex.join([*command, *words])


def flow_file(flow_cls: type) -> str | None:
    """The file that a flow is written in, links followed; None for code without a file: stdin, a notebook."""
    from gitflowrun.runtime.worker.loaded_code import is_known  # the scheduler loads no workers

    for name in (flow_cls.__module__, "__main__"):
        file: str | None = getattr(sys.modules.get(name), "__file__", None)
        if file and not is_known(file, ()):
            return os.path.realpath(file)
    return None


def modules_outside(top: Path) -> tuple[str, ...]:
    """The user's modules that are loaded from files outside of a work tree: no snapshot of it has them.

    Args:
        top: The work tree.

    Returns:
        The modules by name, of a package one, each with its file.
    """
    from gitflowrun.runtime.worker.loaded_code import NOT_THE_USERS, is_known

    prefixes = (
        f"{top}/",
        *NOT_THE_USERS,
        sys.executable.rpartition("/")[0] + "/",  # what pip makes for entry points
    )
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__dict__", {}).get("__file__")  # no `getattr`: modules may be lazy
        if not isinstance(file, str) or is_known(file, prefixes):
            continue
        path = os.path.realpath(file)
        if not is_known(path, prefixes):
            found.setdefault(name.partition(".")[0], path)
    return tuple(f"{name} ({path})" for name, path in found.items())
