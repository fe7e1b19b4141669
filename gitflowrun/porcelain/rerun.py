"""How the program of a run's flow is started again: its words, and where.

The words are those that were typed, from the directory in which they were (`python -m pkg.flow`, `uv run flow.py`),
as far as they mean something here: the file is the one of the work tree at hand, and where the interpreter is not
here, ours takes its place. They are a run's own word, so only those of runs that are trusted are taken.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import NotFound, UntrustedArtifact
from gitflowrun.runs.trust import Trust
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.runs.read import StoredRun


@frozen
class Program:
    """A program to be started.

    Attributes:
        words: Its command line, to which arguments can be added.
        directory: Where it is started.
    """

    words: tuple[str, ...]
    directory: Path


def check_trusted(run: StoredRun) -> None:
    """See that what a run says may be executed here.

    Raises:
        UntrustedArtifact: it is somebody else's run, and nobody has said that it is trusted.
    """
    if not Trust(run.repo).trusts_run(run):
        raise UntrustedArtifact(
            f"{run.pathspec} is not trusted, so nothing that it says is started",
            hint=f"if you trust whoever made it: git runs trust {run.pathspec}",
        )


def program_of(run: StoredRun, top: Path | None) -> Program:
    """What starts the flow of a run.

    Args:
        run: The run, which is trusted.
        top: The work tree whose file is to be started: today's, or one with the run's own code.

    Raises:
        NotFound: the flow's file is not there.
    """
    script = run.info.script
    path = PurePath(script)
    file = Path(script) if path.is_absolute() or top is None else top / path
    if not script or not file.is_file():
        raise NotFound(
            f"{script or 'the file of its flow'!r}, which {run.pathspec} ran, is not there any more",
            hint=f"`git runs rerun --same-code {run.pathspec}` runs the code that it had, "
            f"`git runs checkout {run.pathspec}` writes it to a directory",
        )
    command = typed_words(run.info.environment)
    place = _directory(run.info.environment, top or file.parent)
    if not command:
        return Program((sys.executable, os.path.relpath(file, place)), place)
    first = command[0]
    if shutil.which(os.path.join(place, first) if "/" in first else first) is None:  # noqa: PTH118
        first = sys.executable
    is_module = command[-2:-1] == ("-m",)
    last = command[-1] if is_module else os.path.relpath(file, place)
    return Program((first, *command[1:-1], last), place)


def typed_words(environment: Mapping[str, Any]) -> tuple[str, ...]:
    """The words that started the flow's program, as INFO has them; none where it does not say."""
    words = environment.get("command")
    if not isinstance(words, list | tuple) or len(words) < 2:  # noqa: PLR2004  (an interpreter and a file)
        return ()
    return tuple(map(str, words))


def _directory(environment: Mapping[str, Any], top: Path) -> Path:
    """Where the command was typed, in a work tree; its top where that is not known, or not there."""
    directory = environment.get("directory")
    place = top / directory if isinstance(directory, str) else top
    return place if place.is_dir() and place.resolve().is_relative_to(top.resolve()) else top
