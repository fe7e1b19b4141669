"""The stream that a command writes to: standard output or a pager, with or without colours.

git itself pages an external command when `pager.runs` or `git -p` say so and then exports GIT_PAGER_IN_USE;
otherwise the command pages for itself, on a terminal only, with the program that `git var GIT_PAGER` names (so
`git --no-pager runs` works, too).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # not the `signal.py` of a flow's directory
import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, TextIO, cast

from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gitflowrun.git.repository import Repository


# What git gives a shell to look at, in a program's name.
_SHELL_SYNTAX = frozenset("|&;<>()$`\\\"'*?[#~=%")


def _wrapped_in(code: int) -> Callable[[Style, str], str]:
    """The method of a style that gives a text an attribute of SGR, the terminals' "select graphic rendition"."""

    def paint(self: Style, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[m" if self.colour and text else text

    return paint


@frozen
class Style:
    """Wraps text in terminal colours, or leaves it alone when `colour` is off."""

    colour: bool

    bold = _wrapped_in(1)  # headings and names
    dim = _wrapped_in(2)  # what matters less
    red = _wrapped_in(31)  # failure; what was removed
    green = _wrapped_in(32)  # success; what was added
    yellow = _wrapped_in(33)  # ids, as git colours object names; warnings
    cyan = _wrapped_in(36)  # what is going on; tags

    def status(self, word: str, text: str | None = None) -> str:
        """`text` (or the word itself) in the colour of a run's status."""
        shown = word if text is None else text
        paint = {
            "done": self.green,
            "failed": self.red,
            "damaged": self.red,
            "interrupted": self.yellow,
            "running": self.cyan,
        }
        return paint.get(word, str)(shown)


PLAIN = Style(colour=False)
_NO = frozenset({"never", "false", "no", "off", "0"})


def says_no(value: str) -> bool:
    """Whether a value of git config switches something off."""
    return value.lower() in _NO


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` is a terminal; a closed stream is none."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def obeys_commands(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that knows commands: an editor's, or one that nobody named, shows them."""
    return is_terminal(stream) and os.environ.get("TERM", "dumb") != "dumb"


def reset_signals() -> None:
    """Undo what whoever started this program, or the flow's module, did to the signals that we live by.

    Where SIGCHLD is ignored, exit codes are lost, also to git; where it is blocked, nobody hears of a task's end; and a
    run whose SIGINT is blocked can't be stopped. What ignores the other signals (`nohup`, a shell's `&`) means it.
    """
    with contextlib.suppress(ValueError):  # in a thread, which the flow's program may be in
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(
        _signal.SIG_UNBLOCK, {_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGCHLD}
    )


def style_for(stream: TextIO, config: Mapping[str, str] | None = None) -> Style:
    """The style for what is written to `stream`.

    The first that speaks decides: NO_COLOR, FORCE_COLOR, `color.runs`, `color.ui`; then whether
    a terminal reads, or git's pager, which shows colours.

    Args:
        stream: Where the text goes.
        config: git config, keys in lower case.
    """
    config, environ = config or {}, os.environ
    if environ.get("NO_COLOR"):
        return PLAIN
    if environ.get("FORCE_COLOR"):
        return Style(colour=environ["FORCE_COLOR"] != "0")
    wish = config.get("color.runs", config.get("color.ui", "auto"))
    if wish.lower() == "always" or says_no(wish):
        return Style(colour=not says_no(wish))
    if environ.get("GIT_PAGER_IN_USE") == "true":
        return Style(colour=not says_no(config.get("color.pager", "true")))
    return Style(colour=obeys_commands(stream))


@frozen
class Screen:
    """What a command writes to.

    Attributes:
        out: The stream.
        style: Colours, if wanted.
        person: Whether somebody looks at it (a terminal or a pager): relative times, cut cells.
        columns: The width to fit a person's table into.
        now: The moment that relative times are relative to.
    """

    out: TextIO
    style: Style = PLAIN
    person: bool = False
    columns: int = 80
    now: float = field(default_factory=time.time)

    def line(self, text: str = "") -> None:
        """Write one line."""
        self.out.write(text + "\n")

    def lines(self, lines: Iterable[str]) -> None:
        """Write lines, each as it comes."""
        self.out.writelines(f"{line}\n" for line in lines)


@contextlib.contextmanager
def open_screen(repo: Repository, *, page: bool = False) -> Iterator[Screen]:
    """The screen for a command's output, for as long as the context lasts.

    Args:
        repo: The repository whose config decides about colour and pager.
        page: Whether the output may be long.
    """
    style = style_for(sys.stdout, repo.config)
    terminal = is_terminal(sys.stdout)
    person = terminal or os.environ.get("GIT_PAGER_IN_USE") == "true"
    columns = _columns() if person else 0
    pager = _pager(repo) if page and terminal else None
    if pager is None:
        yield Screen(sys.stdout, style, person, columns)
        return
    if says_no(repo.config.get("color.pager", "true")):
        style = PLAIN
    with _piped_to(pager) as stream:
        yield Screen(stream, style, person, columns)


def _columns() -> int:
    import shutil

    return max(shutil.get_terminal_size().columns, 20)


def _pager(repo: Repository) -> str | None:
    """The shell command that pages, or None when none is wanted."""
    if says_no(repo.config.get("pager.runs", "true")):
        return None
    command = repo.git.run("var", "GIT_PAGER").decode(errors="surrogateescape").strip()
    return None if command in {"", "cat"} or not _can_start(command) else command


def _can_start(command: str) -> bool:
    """Whether a pager is installed, as far as one can know before a shell runs it; git shows all without it, too."""
    import shutil

    program = command.split(maxsplit=1)[0]
    if _SHELL_SYNTAX.intersection(program) or shutil.which(program):
        return True
    with contextlib.suppress(OSError):
        sys.stderr.write(f"warning: the pager {program!r} is not installed\n")
    return False


@contextlib.contextmanager
def _piped_to(command: str) -> Iterator[TextIO]:
    import subprocess

    # The defaults git gives its own pager: quit if one screen suffices, keep colours, no clearing.
    environ = {"LESS": "FRX", "LV": "-c", **os.environ, "GIT_PAGER_IN_USE": "true"}
    process = subprocess.Popen(  # noqa: S602  (the user's own setting, run by a shell as git does)
        command, shell=True, stdin=subprocess.PIPE, env=environ, text=True, errors="surrogateescape"
    )
    assert process.stdin is not None
    try:
        yield cast("TextIO", process.stdin)
    except BrokenPipeError:  # the reader quit before the end, as readers do
        pass
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        while process.poll() is None:
            # An interrupt is for the pager; it decides when the user has seen enough.
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
