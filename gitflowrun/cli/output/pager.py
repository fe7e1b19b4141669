"""Where a command's text goes: a pipe as it is, a terminal through the user's pager. No layout.

git itself pages an external command when `pager.runs` or `git -p` say so and then exports
GIT_PAGER_IN_USE; otherwise the command pages for itself, on a terminal only, with the program that
`git var GIT_PAGER` names (so `git --no-pager runs` works, too).
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO, cast

from gitflowrun.cli.output.style import PLAIN, Style, is_terminal, says_no, style_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from gitflowrun.git.repository import Repository

__all__ = ["Screen", "open_screen"]


@dataclass(frozen=True, slots=True)
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


@contextlib.contextmanager
def open_screen(repo: Repository | None = None, *, page: bool = False) -> Iterator[Screen]:
    """The screen for a command's output, for as long as the context lasts.

    Args:
        repo: The repository whose config decides about colour and pager.
        page: Whether the output may be long.
    """
    config: Mapping[str, str] = repo.config if repo is not None else {}
    style = style_for(sys.stdout, config)
    terminal = is_terminal(sys.stdout)
    person = terminal or os.environ.get("GIT_PAGER_IN_USE") == "true"
    columns = _columns() if person else 0
    pager = _pager(repo) if page and terminal and repo is not None else None
    if pager is None:
        yield Screen(sys.stdout, style, person, columns)
        return
    if says_no(config.get("color.pager", "true")):
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
    return None if command in {"", "cat"} else command


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
        _wait_for(process)


def _wait_for(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    while process.poll() is None:
        # An interrupt is for the pager; it decides when the user has seen enough.
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()
